/** Cloud Storage as an object store, against a real fake-gcs-server, with what it leaves out in a proxy before it. */

import { openGcsStore } from "../../../drivers/gcs/open.ts";
import { systemClock } from "../../../proto/clock.ts";
import { objectStoreSuite } from "../../helpers/object-store-suite.ts";
import type { Scope } from "../../helpers/processes.ts";
import { missing } from "../../helpers/tools.ts";
import { startConditions } from "./conditions.ts";
import { optionsFor, startServer } from "./gcs.ts";

async function open(scope: Scope, backend: "memory" | "filesystem", prefix: string) {
  const server = await startServer(scope, backend);
  const { address } = await startConditions(scope, server.address);
  const context = { clock: systemClock, signal: AbortSignal.timeout(30_000) };
  const [{ store }, { store: other }] = await Promise.all([
    openGcsStore(optionsFor(address, { prefix }), context),
    openGcsStore(optionsFor(address, { prefix }), context),
  ]);
  return { store, other };
}

const skip = missing("fake-gcs-server", "gcs-sdk");
objectStoreSuite("gcs", (scope) => open(scope, "memory", ""), { skip });
objectStoreSuite("gcs under a prefix", (scope) => open(scope, "memory", "team/blobs"), { skip, names: 40 });
