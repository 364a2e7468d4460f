/** Uploads against one process: Append and all that goes with it, and what readers see of a commit. */
import type { Group } from "../contract.ts";
import { commitTests } from "./uploads/commit.ts";
import { lifecycleTests } from "./uploads/lifecycle.ts";
import { modelTests } from "./uploads/model.ts";
import { openTests } from "./uploads/open.ts";
import { streamTests } from "./uploads/stream.ts";
import { takeoverTests } from "./uploads/takeover.ts";
import { visibleTests } from "./uploads/visible.ts";

export const uploads: Group = {
  name: "uploads",
  profile: "blob",
  summary: "Uploads go on where they stopped, one stream at a time, and become blobs whole, checked and once.",
  requires: { store: "blob" },
  tests: [
    ...openTests,
    ...streamTests,
    ...takeoverTests,
    ...commitTests,
    ...lifecycleTests,
    ...visibleTests,
    ...modelTests,
  ],
};
