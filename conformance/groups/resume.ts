/** Over kill -9: what was acknowledged is there, what was not is there whole or not at all, and everybody can go on. */
import type { Group } from "../contract.ts";
import { metaTests } from "./resume/meta.ts";
import { uploadTests } from "./resume/uploads.ts";

export const resume: Group = {
  name: "resume",
  profile: "resume",
  summary: "The driver is killed with -9 in the middle of its work and started again: nothing acknowledged is lost.",
  requires: { capability: "DURABLE", start: true },
  tests: [...uploadTests, ...metaTests],
};
