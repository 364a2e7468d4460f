import assert from "node:assert/strict";
import { test } from "node:test";
import type { StoreHealth } from "../../../client/contract.ts";
import { overviewAlone, ownOverview } from "../../../registry/page/overview.ts";

const context = { requestId: "r", signal: new AbortController().signal };

test("a registry that stands alone tells of its stores, without their addresses", async () => {
  const blobs: StoreHealth = {
    kind: "blob",
    address: "unix:///secret.sock",
    ready: true,
    id: "i",
    driver: "io.example",
    driverVersion: "1",
  };
  const meta: StoreHealth = {
    kind: "meta",
    address: "secret:1",
    ready: false,
    problem: "it is away",
    reason: "BACKEND_DOWN",
  };
  const own = ownOverview({
    state: () => ({
      stores: [
        { ...blobs, prefix: "" },
        { ...meta, prefix: "team" },
        { ...blobs, beside: true },
      ],
      problem: "a store is not usable",
    }),
    version: "0.1.0",
  });
  const overview = await overviewAlone(own)(context);
  assert.deepEqual(overview, {
    members: [
      {
        id: "",
        isSelf: true,
        isReachable: true,
        version: "0.1.0",
        problem: "a store is not usable",
        stores: [
          { kind: "blob", ready: true, id: "i", driver: "io.example", driverVersion: "1" },
          { kind: "meta", ready: false, prefix: "team", problem: "it is away", reason: "BACKEND_DOWN" },
          { kind: "blob", ready: true, role: "move", id: "i", driver: "io.example", driverVersion: "1" },
        ],
      },
    ],
  });
  assert.doesNotMatch(JSON.stringify(overview), /secret/);
});
