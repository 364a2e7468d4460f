/** Who a driver says it is, and whether it can be believed. */
import assert from "node:assert/strict";
import type { DescribeResponse } from "../../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import { limits } from "../../proto/limits.ts";
import type { Context, Group, StoreKind } from "../contract.ts";
import { Fault } from "../faults.ts";
import { kindOf } from "../requirements.ts";

/** "At once", on a machine that does something else as well. */
const AT_ONCE_MS = 2_000;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const apis: Readonly<Record<StoreKind, string>> = { blob: "outrigger.blob", meta: "outrigger.meta" };
const kinds = Object.keys(apis) as StoreKind[];

const asked = (coreName: string) => ({ coreName, coreVersion: "0.0.0", apis: {} });

function idsOf(described: DescribeResponse): Record<string, string> {
  return Object.fromEntries(described.stores.map((store) => [String(store.kind), store.id]));
}

export const handshake: Group = {
  name: "handshake",
  profile: "handshake",
  summary: "Version and Describe: who the driver is, and what it claims.",
  requires: {},
  tests: [
    {
      id: "handshake.version.01",
      title: "Version is answered within 2 s, also on a connection that has just been made",
      async run(ctx) {
        const tookMs: number[] = [];
        for (let round = 0; round < 3; round++) {
          tookMs.push((await ctx.answer("handshake.Version", {})).tookMs);
          const startedMs = performance.now();
          await ctx.connect().handshake.version({});
          tookMs.push(performance.now() - startedMs);
        }
        // The kit's own machine may stumble; a driver that looks something up does so each time.
        const quickest = Math.min(...tookMs);
        assert.ok(quickest < AT_ONCE_MS, `the quickest of ${tookMs.length} answers took ${Math.round(quickest)} ms`);
      },
    },
    {
      id: "handshake.version.02",
      title: "Version lists the API of every store, each major once",
      async run(ctx) {
        const { api } = await ctx.handshake.version({});
        for (const [name, { versions }] of Object.entries(api)) {
          const majors = versions.map(({ major }) => major);
          assert.ok(majors.length > 0, `${name} is listed without a version`);
          assert.equal(new Set(majors).size, majors.length, `${name} has a major twice: ${majors.join(", ")}`);
          if (Object.values(apis).includes(name))
            assert.ok(!majors.includes(0), `${name} has major 0: there is no such package`);
        }
        const { stores } = await ctx.handshake.describe(asked("outrigger-conformance"));
        for (const kind of kinds) {
          if (stores.some((store) => kindOf(store) === kind))
            assert.ok(api[apis[kind]], `a ${kind} store is described, but ${apis[kind]} is not listed`);
        }
      },
    },
    {
      id: "handshake.version.02/describe",
      title: "Describe lists the same versions",
      async run(ctx) {
        const { api } = await ctx.handshake.version({});
        const described = await ctx.handshake.describe(asked("outrigger-conformance"));
        assert.deepEqual({ ...described.apis }, { ...api }, "Describe's apis differ from Version's api");
      },
    },
    {
      id: "handshake.describe.01",
      title: "Describe says the same each time, to everybody, on every connection",
      async run(ctx) {
        const first = await ctx.handshake.describe(asked("outrigger-conformance"));
        const chosen = { "outrigger.blob": { major: 1, minor: 0 }, "outrigger.meta": { major: 1, minor: 0 } };
        const others = [
          await ctx.handshake.describe(asked("another-core")),
          await ctx.handshake.describe({ coreName: "outrigger-registry", coreVersion: "9.9.9", apis: chosen }),
          await ctx.connect().handshake.describe(asked("")),
        ];
        for (const other of others) assert.deepEqual(other, first, "Describe answered differently");
      },
    },
    {
      id: "handshake.describe.02",
      title: "Describe holds one store of each kind whose API is served",
      async run(ctx) {
        const { stores, apis: listed } = await ctx.handshake.describe(asked("outrigger-conformance"));
        assert.ok(stores.length > 0, "there is no store");
        for (const store of stores)
          assert.ok(kindOf(store) !== undefined, `a store's kind is ${store.kind}, which is neither blob nor meta`);
        for (const kind of kinds) {
          const count = stores.filter((store) => kindOf(store) === kind).length;
          const due = listed[apis[kind]] === undefined ? 0 : 1;
          assert.equal(count, due, `${count} ${kind} stores, where ${apis[kind]} is ${due ? "" : "not "}served`);
        }
      },
    },
    {
      id: "handshake.describe.03",
      title: "every store that is described is served",
      async run(ctx) {
        for (const kind of kinds) {
          if (!ctx.described.stores.some((store) => kindOf(store) === kind)) continue;
          const prefix = ctx.prefix;
          await served(kind, kind === "blob" ? ctx.blob.count({ prefix }) : ctx.meta.count({ prefix }));
        }
      },
    },
    {
      id: "handshake.describe.03/limits",
      title: "the limits that are told leave room for what the contract promises",
      async run(ctx) {
        for (const store of ctx.described.stores) {
          // upload_ttl_ms belongs to blob.expiry.01.
          const { maxValueBytes = 0, persistStepBytes = 0 } = store.limits ?? {};
          const kind = kindOf(store);
          if (kind === "blob")
            assert.ok(persistStepBytes >= 0 && Number.isSafeInteger(persistStepBytes), "persist_step_bytes is no size");
          if (kind === "meta" && maxValueBytes !== 0)
            assert.ok(maxValueBytes >= limits.valueBytes, `max_value_bytes is ${maxValueBytes}: less than 256 KiB`);
        }
      },
    },
    {
      id: "handshake.describe.03/sign-url",
      title: "where SIGN_URL is claimed, SignUrl is served",
      requires: { store: "blob", capability: "SIGN_URL" },
      async run(ctx) {
        await served("SIGN_URL", ctx.blob.signUrl({ key: ctx.key("absent"), ttlMs: 60_000 }));
      },
    },
    {
      id: "handshake.describe.03/local-file",
      title: "where LOCAL_FILE is claimed, LocateFile is served",
      requires: { store: "blob", capability: "LOCAL_FILE" },
      async run(ctx) {
        await served("LOCAL_FILE", ctx.blob.locateFile({ what: "key", key: ctx.key("absent") }));
      },
    },
    {
      id: "handshake.describe.04",
      title: "a store's id is a UUID",
      async run(ctx) {
        const { stores } = await ctx.handshake.describe(asked("outrigger-conformance"));
        for (const { id, kind } of stores) assert.match(id, UUID, `the id of ${kind} is no UUID`);
      },
    },
    {
      id: "handshake.describe.04/restart",
      title: "the ids are the same after kill -9 and a new start",
      requires: { start: true, capability: "DURABLE" },
      async run(ctx) {
        await same(ctx, async () => {
          await ctx.driver.kill();
          await ctx.driver.start();
          return ctx.connect().handshake.describe(asked("outrigger-conformance"));
        });
      },
    },
    {
      id: "handshake.describe.04/replica",
      title: "the ids are the same on every replica",
      requires: { replicas: true, capability: "REPLICAS" },
      async run(ctx) {
        const [, replica] = ctx.peers;
        if (replica !== undefined) await same(ctx, () => replica.handshake.describe(asked("outrigger-conformance")));
      },
    },
  ],
};

async function same(ctx: Context, again: () => Promise<DescribeResponse>): Promise<void> {
  const before = ctx.described.stores
    .filter(({ capabilities }) => capabilities.includes("DURABLE") || capabilities.includes("REPLICAS"))
    .map((store) => [String(store.kind), store.id] as const);
  const after = idsOf(await again());
  for (const [kind, id] of before) assert.equal(after[kind], id, `the id of ${kind} is another one`);
}

/** Whatever the answer is: the ability is there. Waits for it, so a silence fails. */
async function served(what: string, call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    assert.notEqual(error.code, "UNIMPLEMENTED", `${what} is claimed and not served: ${error.message}`);
  }
}
