/** The streaming store but for its uploads: large immutable bytes by key (blob.*). */
import type { Group } from "../contract.ts";
import { blobChangeTests } from "./blob-change.ts";
import { blobKeyTests } from "./blob-keys.ts";
import { blobLastingTests } from "./blob-lasting.ts";
import { blobListTests } from "./blob-list.ts";
import { blobPutTests } from "./blob-put.ts";
import { blobReadTests } from "./blob-read.ts";
import { blobStatTests } from "./blob-stat.ts";
import { blobModelTests } from "./models.ts";

export const blob: Group = {
  name: "blob",
  profile: "blob",
  summary: "The blob store: Stat, Read, Put, Move, Delete, List and Count, alone, in races and after a kill.",
  requires: { store: "blob" },
  tests: [
    ...blobKeyTests,
    ...blobStatTests,
    ...blobReadTests,
    ...blobPutTests,
    ...blobChangeTests,
    ...blobListTests,
    ...blobModelTests,
    ...blobLastingTests,
  ],
};
