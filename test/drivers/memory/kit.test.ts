/** The memory driver under the conformance kit: it claims nothing that a kill would disprove. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { assertReported, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";

test("the memory driver passes the kit", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const result = await runKit(scope, {
    addresses: [`unix://${join(tempFolder(scope), "d.sock")}`],
    start: ["node --import tsx cli/main.ts driver memory --log-level warn"],
  });
  assert.deepEqual([result.profiles.blob, result.profiles.meta], ["passed", "passed"]);
  assertReported("memory", result);
});
