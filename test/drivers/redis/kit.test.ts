/** The conformance kit on the redis driver: two processes on a redis-server, every group, also over kill -9. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { assertReported, KIT_MS, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { missing } from "../../helpers/tools.ts";
import { initialise, RedisServer, startCommand } from "./redis.ts";

describe("the redis driver under the conformance kit", { skip: missing("redis-server", "redis-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("passes: lasting, for any number of processes", { timeout: KIT_MS }, async () => {
    const server = await RedisServer.start(scope);
    await initialise(server.url);
    const start = startCommand(server.url);
    const result = await runKit(scope, { addresses: [], start: [start, start] });
    assert.equal(result.driver?.name, "io.outrigger.redis");
    assert.deepEqual(
      { ...result.profiles },
      {
        handshake: "passed",
        process: "passed",
        meta: "passed",
        blob: "not-claimed",
        resume: "passed",
        replicas: "passed",
        "fast-paths": "not-claimed",
      },
    );
    assertReported("redis", result);
  });
});
