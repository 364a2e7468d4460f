/**
 * A crash at every single operation of the disk: what was acknowledged is there, what was not is there whole or not at
 * all, and what was seen once stays.
 */
import assert from "node:assert/strict";
import test, { describe } from "node:test";
import type { CrashKind, SimDisk } from "../../helpers/sim-disk.ts";
import { Random } from "../../simulation/random.ts";
import { BLOB, bytesOf, call, digestOf, openSim, put, remove, type Stores, simDisk, TAG, textOf } from "./kit.ts";

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9));
console.log(`seed ${seed}`);

interface Scenario {
  /** Done and acknowledged before the part that is crashed. */
  before(stores: Stores): Promise<void>;
  /** The crashed part. */
  act(stores: Stores, acknowledged: { done: boolean }): Promise<void>;
  /** @param acknowledged what must be there; otherwise old or new, never between */
  check(stores: Stores, acknowledged: boolean, disk: SimDisk): Promise<"old" | "new">;
  readonly options?: { readonly compactBytes?: number; readonly persistStepBytes?: number };
}

/** What a power loss keeps is chance: each operation is crashed a few times. */
const VARIANTS = 3;

/** Runs the scenario again and again, crashing at one operation of the disk after the other. */
async function crashEverywhere(scenario: Scenario, kind: CrashKind): Promise<number> {
  const seen = new Set<string>();
  let crashes = 0;
  for (let at = 0; ; at++) {
    for (let variant = 0; variant < VARIANTS; variant++) {
      try {
        const state = await crashAt(scenario, kind, at, seed + VARIANTS * at + variant);
        if (state === "never") {
          assert.deepEqual([...seen].sort(), ["new", "old"], "early crashes leave the old, late ones the new");
          return crashes;
        }
        seen.add(state);
        crashes++;
      } catch (error) {
        throw new Error(`SEED=${seed}: ${kind} at operation ${at}, variant ${variant}`, { cause: error });
      }
    }
  }
}

/** @returns what the crash left; "never": the scenario was over before */
async function crashAt(scenario: Scenario, kind: CrashKind, at: number, diskSeed: number) {
  const disk = simDisk(diskSeed);
  const stores = await openSim(disk, scenario.options);
  await scenario.before(stores);
  const acknowledged = { done: false };
  const first = disk.operations;
  let crashed = false;
  disk.before = ({ index }) => {
    if (index !== first + at) return;
    crashed = true;
    disk.crash(kind);
  };
  await scenario.act(stores, acknowledged).catch((error) => {
    if (!crashed) throw error;
  });
  // What runs on after the answer (files of links, the new log) is crashed too.
  if (!crashed) await stores.driver.close();
  disk.before = () => {};
  if (!crashed) return "never";
  const reopened = await openSim(disk, scenario.options);
  assert.equal(reopened.meta.facts.outside, 0, "nobody else has changed anything");
  const state = await scenario.check(reopened, acknowledged.done, disk);
  // What was shown once is durable: a power loss right after changes nothing.
  disk.crash("power");
  for (const _ of ["after the power loss", "after a clean end"]) {
    const again = await openSim(disk, scenario.options);
    assert.equal(again.meta.facts.outside, 0, "nobody else has changed anything");
    assert.equal(await scenario.check(again, state === "new", disk), state, "what was seen stays");
    await again.driver.close();
  }
  const files = [...disk.outside.files().keys()];
  assert.deepEqual(
    files.filter((file) => file.startsWith("outrigger/tmp/")),
    [],
    "nothing is left that no name leads to",
  );
  assert.equal(files.filter((file) => file.startsWith("outrigger/log/")).length, 1);
  return state;
}

const A = TAG("a", "1");
const B = TAG("a/b", "2");
const C = TAG("c", "3");

const scenarios: Record<string, Scenario> = {
  "a Write over links": {
    async before({ meta }) {
      await meta.write([put(A, digestOf("1")), put(C, digestOf("3")), put("outrigger/n", "1")], call());
    },
    async act({ meta }, acknowledged) {
      await meta.write([put(A, digestOf("a")), put(B, digestOf("b")), remove(C), put("outrigger/n", "2")], call());
      acknowledged.done = true;
    },
    async check({ meta }, acknowledged, disk) {
      const values = [];
      for (const key of [A, B, C, "outrigger/n"]) values.push(await textOf(meta, key));
      const isNew = values[0] === digestOf("a");
      assert.deepEqual(
        values,
        isNew ? [digestOf("a"), digestOf("b"), undefined, "2"] : [digestOf("1"), undefined, digestOf("3"), "1"],
      );
      if (acknowledged) assert.ok(isNew, "an acknowledged Write is there");
      // Distribution sees the same.
      for (const [index, key] of [A, B, C].entries()) assert.equal(disk.outside.read(key)?.toString(), values[index]);
      return isNew ? "new" : "old";
    },
  },
  "a Write that compacts the log": {
    options: { compactBytes: 1 },
    async before({ meta }) {
      for (let n = 0; n < 5; n++)
        await meta.write([put(`outrigger/${n}`, "x".repeat(100)), put(A, digestOf("0"))], call());
    },
    async act({ meta, driver }, acknowledged) {
      await meta.write([put("outrigger/0", "y".repeat(2000)), put(A, digestOf("1"))], call());
      acknowledged.done = true;
      await driver.close();
    },
    async check({ meta }, acknowledged) {
      for (let n = 1; n < 5; n++) assert.equal(await textOf(meta, `outrigger/${n}`), "x".repeat(100));
      const isNew = (await textOf(meta, "outrigger/0"))?.startsWith("y") ?? false;
      assert.equal(await textOf(meta, A), digestOf(isNew ? "1" : "0"));
      if (acknowledged) assert.ok(isNew, "an acknowledged Write is there");
      return isNew ? "new" : "old";
    },
  },
  "a commit of an upload": {
    options: { persistStepBytes: 2000 },
    async before() {},
    async act({ blob }, acknowledged) {
      const upload = await blob.open("u", { create: true }, call());
      for (let n = 0; n < 4; n++) await upload.write(Buffer.alloc(1000, n));
      await upload.flush();
      await upload.write(Buffer.alloc(500, 9));
      await upload.commit({ key: BLOB("abcd"), digest: "", keep: false, condition: { ifAbsent: true } }, call());
      acknowledged.done = true;
    },
    async check({ blob }, acknowledged) {
      const [info] = await blob.stat([BLOB("abcd")], call());
      const { items } = await blob.list({ prefix: "", startAfter: "", limit: 10 }, call());
      assert.deepEqual(
        items.map(({ key }) => key),
        info === undefined ? [] : [BLOB("abcd")],
      );
      if (acknowledged) assert.ok(info, "an acknowledged blob is there");
      if (info === undefined) return "old";
      const bytes = await bytesOf(blob, BLOB("abcd"));
      assert.equal(bytes.length, 4500);
      for (let n = 0; n < 4500; n++) assert.equal(bytes[n], n < 4000 ? Math.floor(n / 1000) : 9);
      await assert.rejects(blob.open("u", { create: false }, call()), { reason: "UPLOAD_NOT_FOUND" });
      return "new";
    },
  },
  "a put that overwrites": {
    async before({ blob }) {
      await blob.put(BLOB("abcd"), Buffer.from("old"), undefined, call());
    },
    async act({ blob }, acknowledged) {
      await blob.put(BLOB("abcd"), Buffer.from("newer"), undefined, call());
      acknowledged.done = true;
    },
    async check({ blob }, acknowledged) {
      const text = (await bytesOf(blob, BLOB("abcd"))).toString();
      assert.ok(text === "old" || text === "newer", text);
      if (acknowledged) assert.equal(text, "newer");
      return text === "old" ? "old" : "new";
    },
  },
  "a delete that empties folders": {
    async before({ blob }) {
      await blob.put(BLOB("abcd"), Buffer.from("bytes"), undefined, call());
    },
    async act({ blob }, acknowledged) {
      await blob.delete(BLOB("abcd"), call());
      acknowledged.done = true;
    },
    async check({ blob }, acknowledged) {
      const [info] = await blob.stat([BLOB("abcd")], call());
      if (acknowledged) assert.equal(info, undefined, "nothing deleted comes back");
      if (info !== undefined) assert.equal((await bytesOf(blob, BLOB("abcd"))).toString(), "bytes");
      return info === undefined ? "new" : "old";
    },
  },
  "a delete beside another key": {
    async before({ blob }) {
      await blob.put("x/a", Buffer.from("a"), undefined, call());
      await blob.put("x/b", Buffer.from("b"), undefined, call());
    },
    async act({ blob }, acknowledged) {
      await blob.delete("x/a", call());
      acknowledged.done = true;
    },
    async check({ blob }, acknowledged) {
      const [a, b] = await blob.stat(["x/a", "x/b"], call());
      if (acknowledged) assert.equal(a, undefined, "nothing deleted comes back");
      assert.ok(b);
      return a === undefined ? "new" : "old";
    },
  },
  "a move": {
    async before({ blob }) {
      await blob.put(BLOB("abcd"), Buffer.from("bytes"), undefined, call());
    },
    async act({ blob }, acknowledged) {
      await blob.move(BLOB("abcd"), "other/place", call());
      acknowledged.done = true;
    },
    async check({ blob }, acknowledged) {
      const [from, to] = await blob.stat([BLOB("abcd"), "other/place"], call());
      assert.notEqual(from === undefined, to === undefined, "in one place");
      if (acknowledged) assert.ok(to);
      assert.equal((await bytesOf(blob, to?.key ?? BLOB("abcd"))).toString(), "bytes");
      return to === undefined ? "old" : "new";
    },
  },
};

describe("a crash at every operation", () => {
  for (const [name, scenario] of Object.entries(scenarios)) {
    for (const kind of ["kill", "power"] as const) {
      test(`${name}, ${kind}`, async () => {
        const crashes = await crashEverywhere(scenario, kind);
        assert.ok(crashes > 3, `${crashes} crashes`);
      });
    }
  }
});

for (const kind of ["kill", "power"] as const) {
  test(`persisted bytes of an upload survive a crash at any operation (${kind}), and are what was sent`, async () => {
    const options = { persistStepBytes: 1500 };
    for (let at = 0; ; at++) {
      let crashed = false;
      for (let variant = 0; variant < 4; variant++) {
        const context = `seed ${seed}, ${kind} at operation ${at}, variant ${variant}`;
        const disk = simDisk(seed + 7 * at + variant);
        const stores = await openSim(disk, options);
        const first = disk.operations;
        crashed = false;
        disk.before = ({ index }) => {
          if (index !== first + at) return;
          crashed = true;
          disk.crash(kind);
        };
        let told = 0;
        try {
          const upload = await stores.blob.open("u", { create: true }, call());
          for (let n = 0; n < 8; n++) {
            await upload.write(Buffer.alloc(500, n));
            told = upload.persistedBytes;
          }
          await upload.flush();
          told = upload.persistedBytes;
          assert.equal(told, 4000);
          await upload.close();
        } catch (error) {
          if (!crashed) throw error;
        }
        disk.before = () => {};
        if (!crashed) break;
        const reopened = await openSim(disk, options);
        const upload = await reopened.blob.open("u", { create: told === 0 }, call());
        const shown = upload.persistedBytes;
        assert.ok(shown >= told, `${context}: told ${told}, found ${shown}`);
        // Shown is durable.
        disk.crash("power");
        const again = await openSim(disk, options);
        const last = await again.blob.open("u", { create: shown === 0 }, call());
        assert.ok(last.persistedBytes >= shown, `${context}: shown ${shown}, found ${last.persistedBytes}`);
        let bytes = 0;
        for await (const piece of last.read(call())) {
          for (const byte of piece) assert.equal(byte, Math.floor(bytes++ / 500), `${context}: byte ${bytes}`);
        }
        assert.equal(bytes, last.persistedBytes);
      }
      if (!crashed) break;
    }
  });
}

test("random Writes with crashes agree with a model, and etags are never used again", async () => {
  const random = new Random(seed);
  for (let round = 0; round < 60; round++) {
    const disk = simDisk(seed + 1000 + round);
    const options = { compactBytes: 400 };
    const keys = ["outrigger/a", "outrigger/b", A, B, C, TAG("a", "2")];
    let model = new Map<string, string>();
    const used = new Map<string, string>();
    for (let life = 0; life < 6; life++) {
      const stores = await openSim(disk, options);
      assert.equal(stores.meta.facts.outside, 0, `seed ${seed} round ${round} life ${life}`);
      const note = (key: string, etag: string, value: string) => {
        const known = used.get(`${key} ${etag}`);
        assert.ok(known === undefined || known === value, `seed ${seed}: etag ${etag} of ${key} stands for two values`);
        used.set(`${key} ${etag}`, value);
      };
      const agree = async (maybe: readonly Map<string, string>[]) => {
        const items = await stores.meta.get(keys, call());
        const found = new Map<string, string>();
        for (const item of items) {
          if (item === undefined) continue;
          found.set(item.key, Buffer.from(item.value).toString());
          note(item.key, item.etag, Buffer.from(item.value).toString());
        }
        const match = maybe.find((one) => keys.every((key) => one.get(key) === found.get(key)));
        assert.ok(
          match,
          `seed ${seed} round ${round} life ${life}: ${JSON.stringify([...found])} is none of ${JSON.stringify(maybe.map((one) => [...one]))}`,
        );
        return match;
      };
      await agree([model]);
      let maybe = [model];
      let crashed = false;
      const at = disk.operations + random.below(120);
      disk.before = ({ index }) => {
        if (index !== at) return;
        crashed = true;
        disk.crash(random.chance(0.5) ? "power" : "kill");
      };
      try {
        for (let n = 0; n < 12 && !crashed; n++) {
          const picked = keys.filter(() => random.chance(0.4));
          if (picked.length === 0) continue;
          const next = new Map(model);
          const operations = picked.map((key) => {
            if (random.chance(0.3)) {
              next.delete(key);
              return remove(key);
            }
            const value = digestOf(random.next().toString(16));
            next.set(key, value);
            return put(key, value);
          });
          maybe = [model, next];
          const etags = await stores.meta.write(operations, call());
          if (crashed) break;
          for (const [index, operation] of operations.entries()) {
            if (operation.kind === "put") note(operation.key, etags[index] ?? "", next.get(operation.key) ?? "");
          }
          model = next;
          maybe = [model];
        }
        if (!crashed && random.chance(0.5)) await stores.driver.close();
      } catch (error) {
        if (!crashed) throw error;
      }
      disk.before = () => {};
      if (!crashed) disk.crash(random.chance(0.5) ? "power" : "kill");
      const next = await openSim(disk, options);
      Object.assign(stores, next);
      model = await agree(maybe);
      for (const key of keys.slice(2)) {
        assert.equal(
          disk.outside.read(key)?.toString(),
          model.get(key),
          `seed ${seed} round ${round} life ${life}: file of ${key}`,
        );
      }
      if (random.chance(0.5)) await stores.driver.close();
      else disk.crash(random.chance(0.5) ? "power" : "kill");
    }
  }
});
