/** What INFO says of replicas, as --wait-replicas reads it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { judge, readInfo } from "../../../drivers/redis/requirements.ts";

const settings = {
  address: { shown: "127.0.0.1:6379" },
  allowLoss: true,
  assumeDurable: false,
  waitReplicas: 2,
} as Parameters<typeof judge>[2];

function judged(...replicas: readonly string[]): number {
  const lines = ["redis_version:7.2.0", "role:master", "maxmemory_policy:noeviction"];
  const slaves = replicas.map((text, index) => `slave${index}:ip=10.0.0.${index},port=6379,${text}`);
  return judge(readInfo([...lines, ...slaves].join("\r\n")), undefined, settings).replicas;
}

test("a replica counts that is online and was heard of in the last 4 s", () => {
  judged("state=online,offset=7,lag=0", "state=online,offset=7,lag=4");
  for (const far of [
    "state=online,offset=7,lag=5",
    "state=wait_bgsave,offset=0,lag=0",
    "state=send_bulk,offset=0,lag=0",
    "state=online,offset=7",
    "offset=7,lag=0",
  ]) {
    assert.throws(() => judged("state=online,offset=7,lag=0", far), /has 1 replicas .* of 2 that --wait-replicas/, far);
  }
});
