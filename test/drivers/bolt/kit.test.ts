/** The conformance kit on the bolt driver: every group, also over kill -9. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { assertReported, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { missing } from "../../helpers/tools.ts";
import { newFile, program } from "./bolt.ts";

describe("the bolt driver under the conformance kit", { skip: missing("outrigger-driver-bolt") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("passes, and claims a durable meta store", async () => {
    const file = await newFile(scope);
    const address = `unix://${join(dirname(file), "kit.sock")}`;
    // The kit says where to listen, by OUTRIGGER_LISTEN.
    const start = `${program()} --file ${file}`;
    const result = await runKit(scope, { addresses: [address], start: [start] });
    const passed = result.groups.flatMap(({ tests }) => tests.filter(({ state }) => state === "passed"));
    // Claimed, and so tested.
    for (const rule of ["meta.write.03/counter", "meta.durable.01/killed", "process.drain.01"])
      assert.ok(
        passed.some(({ test }) => test.startsWith(rule)),
        rule,
      );
    assertReported("bolt", result);
  });
});
