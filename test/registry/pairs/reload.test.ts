/** A reload of several pairs of stores: all of them, or none; and what /readyz says of each. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import type { ConnectOptions } from "../../../client/contract.ts";
import { OutriggerError } from "../../../proto/errors.ts";
import { type Config, checkConfig } from "../../../registry/config.ts";
import { moveRecordKey } from "../../../registry/moving/record.ts";
import type { Ledger } from "../../../registry/repository/ledger.ts";
import { MemberListOfCores } from "../../../registry/repository/member-list.ts";
import { startWith } from "../../../registry/running.ts";
import { deferred } from "../../helpers/gates.ts";
import { until } from "../../helpers/outrigger.ts";
import { type FakeStores, fakeStores } from "../fake-stores.ts";
import { fakeRepositories } from "../http/fake-repositories.ts";
import { testClock } from "../repository/world.ts";

/** The store behind `unix:///a1.sock`, and behind `unix:///a1.other.sock`. */
const idOf = (address: string) => address.split(".", 1)[0] ?? "";
const at = (name: string) => ({ address: `unix:///${name}.sock` });

interface Names {
  readonly main: string;
  readonly team: string;
  readonly sealedWaitSeconds?: number;
  readonly teamMove?: object;
}

function config({ main, team, sealedWaitSeconds = 60, teamMove }: Names): Config {
  return checkConfig({
    http: { listen: "127.0.0.1:0" },
    stores: {
      blobs: at(main),
      meta: at("main-meta"),
      prefixes: [{ prefix: "team", blobs: { ...at(team), move: teamMove }, meta: at("team-meta") }],
      sealedWaitSeconds,
    },
  });
}

async function started(
  t: TestContext,
  teamRecords: ReadonlyMap<string, string> = new Map(),
  teamBegins: Promise<void> = Promise.resolve(),
) {
  const all: FakeStores[] = [];
  const waits: (() => number)[] = [];
  const parts = {
    connect({ blobs, meta }: ConnectOptions) {
      const ids = { blobs: idOf(blobs.address), meta: idOf(meta?.address ?? "") };
      const stores = fakeStores(ids, all.length === 0 ? new Map() : teamRecords, idOf);
      stores.accept();
      all.push(stores);
      return stores;
    },
    createRepositories({ sealedWaitMs = () => -1 }: { readonly sealedWaitMs?: () => number }) {
      waits.push(sealedWaitMs);
      const begins = waits.length > 1 ? teamBegins : undefined;
      return {
        ...fakeRepositories(),
        start: async () => begins,
        close: async () => undefined,
        becameWritable() {},
        locationSecret: () => Buffer.alloc(32, 7),
        // No search is asked.
        ledger: {} as Ledger,
        list: new MemberListOfCores({
          mode: "one",
          ledger: {} as Ledger,
          clock: testClock,
          log: pino({}, { write() {} }),
        }),
        searchAnew() {},
      };
    },
  };
  const registry = await startWith(parts, config({ main: "a1", team: "b1" }), {
    log: pino({}, { write() {} }),
    clock: testClock,
  });
  t.after(() => registry.close());
  await registry.ready;
  const [main, team] = all;
  assert.ok(main && team);
  return { registry, main, team, waits };
}

const addresses = ({ switched }: FakeStores) => switched.map(([, ...targets]) => targets.map(({ address }) => address));

test("where one pair is refused none is exchanged", async (t) => {
  // Blobs are being moved from b1 to b2, and nobody has written to b2 yet.
  const records = new Map([
    [moveRecordKey, JSON.stringify({ from: idOf(at("b1").address), to: idOf(at("b2").address), written: false })],
  ]);
  const { registry, main, team } = await started(t, records);
  await assert.rejects(registry.reload(config({ main: "a2", team: "b2" })), /no core has written to it yet/);
  assert.deepEqual([addresses(main), addresses(team)], [[], []]);
  // Nor is it taken for exchanged: the same again is tried again, and what was refused is nobody's.
  await assert.rejects(registry.reload(config({ main: "a2", team: "b2" })), /no core has written to it yet/);
  const report = await registry.reload(config({ main: "b2", team: "b1" }));
  assert.deepEqual(report.changed, ["stores.blobs"]);
  assert.deepEqual([addresses(main), addresses(team)], [[[at("b2").address]], []]);
});

test("two pairs on one store are refused, and none is exchanged", async (t) => {
  const { registry, main, team } = await started(t);
  await assert.rejects(registry.reload(config({ main: "a2", team: "a2.other" })), /lead to the same store/);
  await assert.rejects(registry.reload(config({ main: "b1.other", team: "b1" })), /lead to the same store/);
  assert.deepEqual([addresses(main), addresses(team)], [[], []]);
  assert.deepEqual((await registry.reload(config({ main: "a2", team: "b2" }))).changed, [
    "stores.blobs",
    "stores.prefixes[0].blobs",
  ]);
});

test("a store that goes away at the very moment leaves nothing that the next reload does not put right", async (t) => {
  const { registry, main, team } = await started(t);
  team.refusals.set("blob", new OutriggerError("UNREACHABLE", "gone just now"));
  await assert.rejects(registry.reload(config({ main: "a2", team: "b2" })), /gone just now/);
  await registry.reload(config({ main: "a1", team: "b1" }));
  assert.deepEqual([addresses(main), addresses(team)], [[[at("a2").address], [at("a1").address]], []]);
});

test("how long writes wait for a sealed meta store is changed by a reload", async (t) => {
  const { registry, waits } = await started(t);
  assert.deepEqual(
    waits.map((wait) => wait()),
    [60_000, 60_000],
  );
  const report = await registry.reload(config({ main: "a1", team: "b1", sealedWaitSeconds: 120 }));
  assert.deepEqual(report, { changed: ["stores.sealedWaitSeconds"], ignored: [] });
  assert.deepEqual(
    waits.map((wait) => wait()),
    [120_000, 120_000],
  );
});

test("/readyz calls a prefix's stores ready once its repositories are served", async (t) => {
  const begins = deferred();
  const { registry, main, team } = await started(t, new Map(), begins.promise);
  const store = { kind: "blob", address: "unix:///x.sock", ready: true } as const;
  main.state = [store];
  team.state = [store];
  const seen = async () => {
    const answer = await fetch(`${registry.address}/readyz`);
    const { stores } = (await answer.json()) as { stores: { prefix?: string; ready: boolean }[] };
    return [answer.status, ...stores.map(({ prefix = "", ready }) => `${prefix} ${ready}`)];
  };
  assert.deepEqual(await seen(), [200, " true", "team false"]);
  begins.resolve();
  await until(
    async () => String(await seen()) === "200, true,team true",
    10_000,
    () => "the prefix is not served",
  );
  assert.deepEqual(await seen(), [200, " true", "team true"]);
});

test("/readyz says of each pair how far the move of its blobs is", async (t) => {
  const { registry } = await started(t);
  const ready = async () => (await fetch(`${registry.address}/readyz`)).text();
  assert.doesNotMatch(await ready(), /"moves?"/);
  const teamMove = { to: at("b2").address, phase: "read" };
  await registry.reload(config({ main: "a1", team: "b1", teamMove }));
  assert.match(await ready(), /"moves":\{"team":"read"\}/);
  assert.doesNotMatch(await ready(), /"move":/);
});
