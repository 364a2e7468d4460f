/**
 * `outrigger copy` from one pair of drivers to another while the source is pushed to and deleted from, over kill -9 of
 * either side and of the copy itself: the target can be pulled from at every moment, and once the source rests one more
 * copy makes both the same.
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { outrigger } from "../cli/cli.ts";
import { startLoad } from "../helpers/load.ts";
import { startRegistry } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { randomOf, seedOf } from "../helpers/random.ts";
import { missing } from "../helpers/tools.ts";
import { begin, sides, startStores, stores, watchTags } from "./copying.ts";
import { MoveLoad } from "./move-load.ts";
import { type StoreKind, type StoreName, storeKinds } from "./stores.ts";

const WORKERS = 4;
const COPIES = 4;
/** Of each worker, so that copies have a share of a small machine. */
const PAUSE_MS = 100;

interface Way {
  readonly from: readonly [StoreName, StoreName];
  readonly to: readonly [StoreName, StoreName];
}

const ways: readonly Way[] = [
  { from: ["filesystem", "filesystem"], to: ["filesystem", "filesystem"] },
  { from: ["filesystem", "bolt"], to: ["memory", "bolt"] },
  { from: ["opendal", "filesystem"], to: ["memory", "memory"] },
];

for (const { from, to } of ways) {
  const kinds: readonly StoreKind[] = [...from, ...to].map((name) => storeKinds[name]);
  const needs = kinds.flatMap((kind) => kind.needs);
  describe(`${from.join("+")} copied to ${to.join("+")}`, { skip: missing(...needs) }, () => {
    const scope = new Scope();
    after(scope.close);

    it("beside changes and kills", { timeout: 600_000 }, async (t) => {
      const seed = seedOf(t);
      const random = randomOf(seed);
      const source = await startStores(scope, ...from);
      const target = await startStores(scope, ...to);
      const old = await startRegistry(scope, { blobs: source.blobs.address, meta: source.meta.address });
      const copied = await startRegistry(scope, { blobs: target.blobs.address, meta: target.meta.address });
      // What a memory driver acknowledged is gone after a kill.
      const killable = [source.blobs, source.meta, target.blobs, target.meta].filter((_, at) => kinds[at]?.lasting);

      const load = new MoveLoad([old.client], WORKERS, seed);
      const changes = startLoad(WORKERS, async (_, worker) => {
        await load.act(worker);
        await sleep(PAUSE_MS);
      });
      const watch = watchTags(copied.client);
      const ended = { whole: 0, killed: 0, unbegun: 0 };
      let kills = 0;
      for (let copy = 0; copy < COPIES; copy += 1) {
        const running = begin(scope, ["copy", ...sides(source, target), "--rate", "4MiB", ...deleting(random.next())]);
        const hits = random.between(0, 2);
        for (let hit = 0; hit < hits && running.exit === undefined; hit += 1) {
          await Promise.race([sleep(random.between(1_500, 4_000)), running.exited]);
          if (running.exit !== undefined) break;
          if (random.next() < 0.4) await running.kill();
          else {
            await random.pick(killable).kill();
            kills += 1;
          }
        }
        const { code, signal } = await running.exited;
        if (signal === "SIGKILL") ended.killed += 1;
        // Where it began while a driver was away: an address that nobody listens at may be a mistake, and is said at once.
        else if (code === 1 && running.lines.some((line) => line.includes("nobody listens at"))) ended.unbegun += 1;
        else {
          assert.equal(code, 0, running.tail(30));
          ended.whole += 1;
        }
      }
      await changes.finish();
      await watch.end();
      const last = await outrigger(["copy", ...sides(source, target), "--delete"]);
      assert.equal(last.code, 0, last.stderr);
      const compared = await outrigger(["diff", ...sides(source, target), "--digest"]);
      assert.equal(compared.code, 0, compared.stdout + compared.stderr);
      assert.match(compared.stdout, /both have the same\n$/);
      const verified = await outrigger(["verify", ...stores(target)]);
      assert.equal(verified.code, 0, verified.stdout + verified.stderr);
      await load.checkAll([copied.client]);
      t.diagnostic(`${JSON.stringify({ ...ended, kills, pulled: watch.pulled })} ${JSON.stringify(load.counts)}`);
      assert.ok(watch.pulled > 0 && ended.whole > 0);
    });
  });
}

function deleting(dice: number): string[] {
  return dice < 0.5 ? ["--delete"] : [];
}
