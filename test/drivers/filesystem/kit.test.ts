/** The filesystem driver under the conformance kit, over kill -9 and with files read in place. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { assertReported, runKit } from "../../helpers/kit.ts";
import { initialiseRoot } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";

test("the filesystem driver passes the kit", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const root = tempFolder(scope, "root");
  await initialiseRoot(root);
  const result = await runKit(scope, {
    addresses: [`unix://${join(tempFolder(scope), "d.sock")}`],
    start: [`node --import tsx cli/main.ts driver filesystem --root ${root} --log-level warn`],
    flags: ["--local-root", root],
  });
  assert.deepEqual(
    [result.profiles.resume, result.profiles["fast-paths"], result.profiles.replicas],
    ["passed", "passed", "not-claimed"],
  );
  assertReported("filesystem", result);
});
