/** Every group, in the order in which they run: one line each. */
import type { Group } from "../contract.ts";
import { blob } from "./blob.ts";
import { calls } from "./calls.ts";
import { fastPaths, noFastPaths } from "./fast-paths.ts";
import { handshake } from "./handshake.ts";
import { meta } from "./meta.ts";
import { processGroup } from "./process.ts";
import { replicas } from "./replicas.ts";
import { resume } from "./resume.ts";
import { uploads } from "./uploads.ts";

// "calls" is the last: it looks back at every answer of the run.
export const groups: readonly Group[] = [
  handshake,
  meta,
  blob,
  uploads,
  resume,
  replicas,
  fastPaths,
  noFastPaths,
  processGroup,
  calls,
];
