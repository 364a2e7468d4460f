/** Two processes on one backend: whatever one has acknowledged, the other knows, and only one of them writes at a time. */
import type { Group } from "../contract.ts";
import { blobTests } from "./replicas/blobs.ts";
import { metaTests } from "./replicas/meta.ts";
import { uploadTests } from "./replicas/uploads.ts";

export const replicas: Group = {
  name: "replicas",
  profile: "replicas",
  summary: "Two processes serve one backend as if they were one.",
  requires: { capability: "REPLICAS", replicas: true },
  tests: [...uploadTests, ...blobTests, ...metaTests],
};
