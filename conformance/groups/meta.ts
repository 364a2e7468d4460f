/** The atomic store: small values, all-or-none writes (meta.*). */
import type { Group } from "../contract.ts";
import { metaGetTests } from "./meta-get.ts";
import { metaKeyTests } from "./meta-keys.ts";
import { metaLastingTests } from "./meta-lasting.ts";
import { metaListTests } from "./meta-list.ts";
import { metaRaceTests } from "./meta-races.ts";
import { metaWriteTests } from "./meta-write.ts";
import { metaModelTests } from "./models.ts";

export const meta: Group = {
  name: "meta",
  profile: "meta",
  summary: "The meta store: Get, List, Count and Write, alone, in races and after a kill.",
  requires: { store: "meta" },
  tests: [
    ...metaKeyTests,
    ...metaGetTests,
    ...metaListTests,
    ...metaWriteTests,
    ...metaRaceTests,
    ...metaModelTests,
    ...metaLastingTests,
  ],
};
