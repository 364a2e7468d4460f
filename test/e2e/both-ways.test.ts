/**
 * A bug: pushes and pulls at once stopped each other for ever. Node's http2 session does not read while a write of its
 * own is in progress, so bulk bytes need a connection for each direction.
 */
import { after, describe, it } from "node:test";
import { seededContent } from "../helpers/oci.ts";
import { startPair } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";

describe("pushes beside pulls", () => {
  const scope = new Scope();
  after(scope.close);

  it("do not stop each other", async () => {
    const { client } = (await startPair(scope)).registry;
    const pulled = seededContent("pulled", 4_000_000);
    await client.pushBlob("both/ways", pulled);
    await Promise.all(
      Array.from({ length: 8 }, async (_, worker) => {
        for (let round = 0; round < 2; round++) {
          if (worker % 2 === 0) await client.pullBlob("both/ways", pulled, { timeoutMs: 25_000 });
          else {
            const content = seededContent(`${worker}/${round}`, 4_000_000);
            await client.pushBlob("both/ways", content, { timeoutMs: 25_000 });
          }
        }
      }),
    );
  });
});
