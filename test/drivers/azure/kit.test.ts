/** The conformance kit on the azure driver, two replicas on one container of Azurite. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { assertReported, KIT_MS, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { missing } from "../../helpers/tools.ts";
import { azureStore, startCommand } from "./azure.ts";
import { startAzurite } from "./azurite.ts";

describe("the azure driver under the conformance kit", { skip: missing("azurite", "azure-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("passes: lasting, for any number of processes", { timeout: KIT_MS }, async () => {
    const { env } = await azureStore(await startAzurite(scope));
    const result = await runKit(scope, { addresses: [], start: [startCommand(), startCommand()], env });
    assert.equal(result.driver?.name, "io.outrigger.azure");
    assert.deepEqual(
      { ...result.profiles },
      {
        handshake: "passed",
        process: "passed",
        meta: "not-claimed",
        blob: "passed",
        resume: "passed",
        replicas: "passed",
        "fast-paths": "passed",
      },
    );
    assertReported("azure", result);
  });
});
