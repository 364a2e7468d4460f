/** The conformance kit on the dynamodb driver: two replicas on one table of DynamoDB Local, also over kill -9. */

import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { shellCommand } from "../../helpers/compiled.ts";
import { assertReported, KIT_MS, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { missing } from "../../helpers/tools.ts";
import { flagsOf, initialise, newTable } from "./dynamodb.ts";
import { credentials, startDynamodbLocal } from "./dynamodb-local.ts";

describe("the dynamodb driver under the conformance kit", { skip: missing("dynamodb-local", "dynamodb-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("passes: lasting, for any number of processes", { timeout: KIT_MS }, async () => {
    const { address } = await startDynamodbLocal(scope);
    const options = { table: newTable(), endpoint: `http://${address}` };
    await initialise(options);
    const start = `exec ${shellCommand("driver", "dynamodb", ...flagsOf(options))}`;
    const result = await runKit(scope, { addresses: [], start: [start, start], env: credentials });
    const passed = result.groups.flatMap(({ tests }) => tests.filter(({ state }) => state === "passed"));
    // Claimed, and so tested.
    for (const rule of ["meta.write.03/counter", "meta.durable.01/killed", "meta.seen.01", "process.drain.01"])
      assert.ok(
        passed.some(({ test }) => test.startsWith(rule)),
        rule,
      );
    assertReported("dynamodb", result);
  });
});
