/** Every group, in the order in which they run: one line each. */
import type { Group } from "../contract.ts";
import { handshake } from "./handshake.ts";
import { meta } from "./meta.ts";
import { uploads } from "./uploads.ts";

export const groups: readonly Group[] = [handshake, meta, uploads];
