/** Writes: grouped and yet each for itself, never past their time, whole over kill -9, SIGTERM and a full disk. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Environment } from "../../../drivers/lmdb/environment.ts";
import { Writer } from "../../../drivers/lmdb/writer.ts";
import { hasReason, OutriggerError } from "../../../proto/errors.ts";
import { startLoad } from "../../helpers/load.ts";
import { launch, Scope } from "../../helpers/processes.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { RawClient } from "../../helpers/raw-client.ts";
import { mountProblem, smallDisk } from "../../helpers/small-disk.ts";
import { missing } from "../../helpers/tools.ts";
import { call, context, initLmdb, MIB, newStore, openStore, put, startLmdb, textOf } from "./lmdb.ts";

const KILLS = 6;
const LANES = 8;

describe("the lmdb driver's Writes", { skip: missing("lmdb-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("share a commit when they come together, each with its own conditions and answer", async () => {
    const { meta } = await openStore(scope, await newStore(scope));
    const started = performance.now();
    await meta.write([put("alone")], call());
    const aloneMs = performance.now() - started;
    const outcomes = await Promise.allSettled(
      Array.from({ length: 200 }, (_, number) => [
        // Of all that want to be first, one is.
        meta.write([{ ...put("first", `${number}`), condition: { ifAbsent: true } }, put(`with/${number}`)], call()),
        meta.write([put(`each/${number}`, `${number}`)], call()),
      ]).flat(),
    );
    const tookMs = performance.now() - started - aloneMs;
    assert.ok(tookMs < 100 * Math.max(aloneMs, 5), `400 Writes took ${tookMs} ms, one ${aloneMs} ms`);
    const lost = outcomes.filter((outcome) => outcome.status === "rejected");
    assert.equal(lost.length, 199);
    for (const { reason } of lost) assert.ok(hasReason(reason, "CONDITION_FAILED"), String(reason));
    assert.equal((await meta.count?.("with/", call()))?.count, 1);
    assert.equal((await meta.count?.("each/", call()))?.count, 200);
    const winner = textOf((await meta.get(["first"], call()))[0]?.value);
    assert.equal(outcomes[Number(winner) * 2]?.status, "fulfilled");
  });

  it("take no effect past their time, also when that comes while others are applied; those are applied all the same", async () => {
    const { meta } = await openStore(scope, await newStore(scope));
    let asked = 0;
    const lateAtLast = call({
      assertInTime() {
        if (++asked > 1) throw new OutriggerError("TOO_LATE", "late");
      },
    });
    const late = meta.write([put("late")], lateAtLast);
    const other = meta.write([put("other")], call());
    // What it is told does not rest on what the late one would have done.
    const after = meta.write([{ ...put("after"), condition: { ifAbsent: true } }], call());
    const onLate = meta.write([{ kind: "check", key: "late", condition: { ifPresent: true } }], call());
    await assert.rejects(late, { reason: "TOO_LATE" });
    await assert.rejects(onLate, { reason: "CONDITION_FAILED" });
    assert.equal((await other).length, 1);
    assert.equal((await after).length, 1);
    assert.equal(asked, 2);
    assert.deepEqual(
      (await meta.list({ prefix: "", startAfter: "", limit: 10 }, call())).items.map(({ key }) => key),
      ["after", "other"],
    );
    const gone = AbortSignal.abort(new Error("nobody waits"));
    await assert.rejects(meta.write([put("gone")], call({ signal: gone })), { message: "nobody waits" });
    assert.deepEqual(await meta.get(["gone"], call()), [undefined]);
  });

  it("are listed bytewise, and the store grows far beyond its first map", async () => {
    const { meta } = await openStore(scope, await newStore(scope));
    const keys = ["-", ".", "0", "A", "A-b", "A.b", "A/b", "A0", "Z", "_", "a", "a/-", "a/b", "a0", "b".repeat(1024)];
    await meta.write(keys.map((key) => put(key)).reverse(), call());
    const listed = await meta.list({ prefix: "", startAfter: "", limit: 100 }, call());
    assert.deepEqual(
      listed.items.map(({ key }) => key),
      keys,
    );
    assert.equal((await meta.count?.("A", call()))?.count, 5);
    const value = Buffer.alloc(256 * 1024, 1);
    for (let round = 0; round < 8; round++) {
      await meta.write(
        Array.from({ length: 13 }, (_, number) => put(`big/${round}/${number}`, value)),
        call(),
      );
      assert.ok(Buffer.from((await meta.get(["big/0/0"], call()))[0]?.value ?? []).equals(value));
    }
    const page = await meta.list({ prefix: "big/", startAfter: "", limit: 1000 }, call());
    assert.ok(page.more && page.items.length > 5 && page.items.length < 20, `${page.items.length} items in a page`);
  });

  it("are counted and listed where a prefix or a start is longer than any key", async () => {
    const { meta } = await openStore(scope, await newStore(scope));
    await meta.write([put("b".repeat(1024)), put("c")], call());
    for (const length of [1024, 1025, 1978, 1979, 2048]) {
      const long = "b".repeat(length);
      assert.deepEqual(await meta.count?.(long, call()), { count: length === 1024 ? 1 : 0, exact: true });
      const { items } = await meta.list({ prefix: long, startAfter: "", limit: 10 }, call());
      assert.equal(items.length, length === 1024 ? 1 : 0);
      const after = await meta.list({ prefix: "", startAfter: long, limit: 10 }, call());
      assert.deepEqual(
        after.items.map(({ key }) => key),
        ["c"],
      );
    }
  });

  it("after a failed commit open the store anew once, whoever asks for it", async () => {
    const environment = await Environment.open(await newStore(scope), MIB);
    scope.defer(() => environment.close());
    let renewing = 0;
    let renewed = 0;
    const { renew, transact } = environment;
    let failures = 1;
    Object.assign(environment, {
      transact: (work: () => unknown) =>
        failures-- > 0 ? Promise.reject(new Error("EIO")) : transact.call(environment, work),
      async renew() {
        assert.equal(++renewing, 1, "two at once");
        try {
          // The first time the disk still fails.
          if (++renewed === 1) throw new OutriggerError("BACKEND_DOWN", "EIO");
          await renew.call(environment);
        } finally {
          renewing--;
        }
      },
    });
    const writer = new Writer(environment, context.log);
    await assert.rejects(writer.write([put("a")], call()), { reason: "BACKEND_DOWN" });
    await Promise.all([writer.check(), writer.check(), writer.write([put("b")], call()), writer.check()]);
    assert.equal(renewed, 2);
    await writer.close();
  });

  it(`are whole or absent, and kept once acknowledged, over ${KILLS} kills`, { timeout: 200_000 }, async (t) => {
    const random = randomOf(seedOf(t));
    const folder = await newStore(scope);
    const holder = fileURLToPath(new URL("holder.ts", import.meta.url));
    const done = new Map<string, number>();
    const begun = new Map<string, number>();
    const etags = new Set<string>();
    let next = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const args = ["--import", "tsx", holder, folder, `${next}`, `${LANES}`];
      const process_ = scope.add(launch("holder", process.execPath, args));
      await process_.line((line) => line.startsWith("done"));
      await sleep(random.between(0, 400));
      await process_.kill();
      for (const line of process_.lines) {
        const [what, lane = "", number] = line.split(" ");
        (what === "done" ? done : begun).set(lane, Number(number));
      }
      const { meta, driver } = await openStore(scope, folder);
      assert.equal(meta.facts.outside, 0, "its own kills are nobody else's changes");
      for (let lane = 0; lane < LANES; lane++) {
        const [a, b] = await meta.get([`lane-${lane}/a`, `lane-${lane}/b`], call());
        const acknowledged = done.get(`${lane}`) ?? -1;
        const found = a === undefined ? -1 : Number(textOf(a.value));
        assert.equal(textOf(b?.value), textOf(a?.value), `lane ${lane} is half of a Write`);
        assert.ok(found >= acknowledged, `lane ${lane}: ${acknowledged} was acknowledged, ${found} is there`);
        assert.ok(found <= (begun.get(`${lane}`) ?? -1), `lane ${lane} holds what was never written`);
        const ring = found < 0 ? undefined : (await meta.get([`lane-${lane}/n${found % 50}`], call()))[0];
        assert.equal(textOf(ring?.value), textOf(a?.value));
        if (a !== undefined) etags.add(a.etag);
      }
      await driver.close();
      next = Math.max(...begun.values()) + 1;
    }
    t.diagnostic(`${[...done.values()].reduce((sum, number) => sum + number, 0)} Writes acknowledged`);
    assert.equal(etags.size, KILLS * LANES, "no etag came twice");
  });

  it("that were acknowledged are there after SIGTERM under load", { timeout: 120_000 }, async () => {
    const folder = await newStore(scope);
    const { address, process: driver } = await startLmdb(scope, folder);
    const client = new RawClient(address);
    scope.defer(() => client.close());
    const { id } = await openedId(client);
    const acknowledged: string[] = [];
    let refusals = 0;
    const load = startLoad(16, async (number) => {
      const key = `n/${number}`;
      const operations = [{ key, action: "put", put: Buffer.from(key) }];
      const answer = await client.call(
        "meta.Write",
        { operations },
        {
          "outrigger-store": id,
          "outrigger-not-after": String(Date.now() + 10_000),
        },
      );
      if (answer.response !== undefined) acknowledged.push(key);
      else {
        refusals++;
        await sleep(20);
      }
    });
    while (load.done < 100) await sleep(5);
    const { code } = await driver.stop();
    await load.finish();
    assert.equal(code, 0, driver.tail());
    assert.ok(refusals > 0 && acknowledged.length >= 100);
    const { meta } = await openStore(scope, folder);
    for (const key of acknowledged) assert.equal(textOf((await meta.get([key], call()))[0]?.value), key);
  });

  it("say that the disk is full, lose nothing, and go on once there is room", { skip: mountProblem() }, async (t) => {
    const random = randomOf(seedOf(t));
    const disk = smallDisk(scope, 24 * 1024 * 1024);
    const folder = join(disk.folder, "store");
    mkdirSync(folder);
    await initLmdb(folder);
    let store = await openStore(scope, folder);
    const model = new Map<string, string>();
    const outcomes = { written: 0, refused: 0 };
    const check = async () => {
      for (const [key, value] of model) {
        assert.equal(textOf((await store.meta.get([key], call()))[0]?.value)?.slice(0, 20), value.slice(0, 20), key);
      }
      assert.equal((await store.meta.count?.("", call()))?.count, model.size);
    };
    for (let round = 0; round < 24; round++) {
      disk.leave(random.between(0, 40) * 16 * 1024);
      const writes = Array.from({ length: 6 }, (_, number) => {
        const value = `${round}-${number} `.padEnd(random.pick([10, 5_000, 200_000]), "x");
        return { keys: [`k/${random.between(0, 30)}/a`, `k/${round}/${number}`], value };
      });
      await Promise.all(
        writes.map(async ({ keys, value }) => {
          try {
            await store.meta.write(
              keys.map((key) => put(key, value)),
              call(),
            );
            for (const key of keys) model.set(key, value);
            outcomes.written++;
          } catch (error) {
            assert.ok(hasReason(error, "QUOTA"), String(error));
            assert.match(error.message, /the disk is full: make room on it/);
            assert.equal(error.retryAfterMs, 10_000);
            outcomes.refused++;
          }
        }),
      );
      await check();
    }
    t.diagnostic(JSON.stringify(outcomes));
    // One of a group that wants more room than there is takes none of it from the others.
    const huge = Array.from({ length: 12 }, (_, number) => put(`huge/${number}`, Buffer.alloc(256 * 1024)));
    disk.leave(512 * 1024);
    const [fits, fitsNot, fitsToo] = await Promise.allSettled([
      store.meta.write([put("k/fits", "x")], call()),
      store.meta.write(huge, call()),
      store.meta.write([put("k/fits-too", "x")], call()),
    ]);
    assert.deepEqual([fits?.status, fitsNot?.status, fitsToo?.status], ["fulfilled", "rejected", "fulfilled"]);
    model.set("k/fits", "x").set("k/fits-too", "x");
    await check();
    assert.ok(outcomes.written > 5 && outcomes.refused > 5, JSON.stringify(outcomes));
    disk.leave(0);
    await store.driver.close();
    store = await openStore(scope, folder);
    await check();
    // More than deleted values have left room for.
    const more = Array.from({ length: 13 }, (_, number) => put(`more/${number}`, Buffer.alloc(256 * 1024, "m")));
    await assert.rejects(store.meta.write(more, call()), { reason: "QUOTA" });
    await check();
    disk.clear();
    await store.meta.check(context.signal);
    await store.meta.write(more, call());
    for (const { key } of more) model.set(key, "m".repeat(20));
    await check();
    await store.driver.close();
  });
});

async function openedId(client: RawClient): Promise<{ readonly id: string }> {
  const { response, message } = await client.call("handshake.Describe", { core: "test", version: "0", apis: [] });
  const [store] = (response?.["stores"] ?? []) as { readonly id: string }[];
  if (store === undefined) throw new Error(`Describe names no store: ${message}`);
  return store;
}
