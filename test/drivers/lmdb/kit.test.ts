/** The conformance kit on the lmdb driver: every group, also over kill -9. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { shellCommand } from "../../helpers/compiled.ts";
import { assertReported, KIT_MS, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { missing } from "../../helpers/tools.ts";
import { initialise } from "./lmdb.ts";

describe("the lmdb driver under the conformance kit", { skip: missing("lmdb-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("passes, and claims a durable meta store", { timeout: KIT_MS }, async () => {
    const folder = await initialise(join(tempFolder(scope, "lmdb"), "store"));
    const start = `exec ${shellCommand("driver", "lmdb", "--folder", folder)}`;
    const result = await runKit(scope, { addresses: [], start: [start] });
    const passed = result.groups.flatMap(({ tests }) => tests.filter(({ state }) => state === "passed"));
    // Claimed, and so tested.
    for (const rule of ["meta.write.03/counter", "meta.durable.01/killed", "process.drain.01"])
      assert.ok(
        passed.some(({ test }) => test.startsWith(rule)),
        rule,
      );
    assertReported("lmdb", result);
  });
});
