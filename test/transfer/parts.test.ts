/** The parts that a copy is made of, each by itself. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { copyLine, Speed } from "../../cli/transfer/copy-progress.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { parseBlobKey } from "../../registry/repository/keys.ts";
import { Rate, StoreAway, Tally } from "../../transfer/index.ts";
import { joined, pagesOf } from "../../transfer/join.ts";
import { Patience } from "../../transfer/patience.ts";
import { forEach } from "../../transfer/pool.ts";
import { randomOf, seedOf } from "../helpers/random.ts";

/** Time passes when somebody sleeps. */
function fakeClock() {
  let nowMs = 0;
  return {
    now: () => nowMs,
    monotonic: () => nowMs,
    after(ms: number, run: () => void) {
      nowMs += ms;
      const timer = setImmediate(run);
      return () => clearImmediate(timer);
    },
  };
}

const away = () => new OutriggerError("UNREACHABLE", "nobody answers");

describe("patience", () => {
  it("waits for a store that comes back, and tells why once", async () => {
    const told: string[] = [];
    const patience = new Patience({ clock: fakeClock(), waiting: (why) => told.push(why) });
    let left = 20;
    assert.equal(await patience.run(async () => (left-- > 0 ? Promise.reject(away()) : "there")), "there");
    assert.deepEqual(told, ["nobody answers"]);
  });

  it("ends when nothing got further for its time, and not while something does", async () => {
    const clock = fakeClock();
    const patience = new Patience({ clock, patienceMs: 60_000 });
    const failing = patience.run(() => Promise.reject(away()));
    await assert.rejects(
      failing,
      (error) => error instanceof StoreAway && /for 60 s: nobody answers/.test(error.message),
    );
    assert.ok(clock.monotonic() > 50_000 && clock.monotonic() < 70_000, `${clock.monotonic()}`);
    const startedMs = clock.monotonic();
    const moving = new Patience({ clock, patienceMs: 60_000 });
    await moving.run(async () => {
      moving.progressed();
      if (clock.monotonic() - startedMs < 300_000) throw away();
    });
  });

  it("does not wait for what no time makes better, nor after it was stopped", async () => {
    let tries = 0;
    const patience = new Patience({ clock: fakeClock() });
    const full = () => Promise.reject(new OutriggerError("QUOTA", `full ${++tries}`));
    await assert.rejects(patience.run(full), /full 1/);
    const stop = new AbortController();
    const stopped = new Patience({ clock: fakeClock(), signal: stop.signal }).run(() => {
      stop.abort(new Error("stopped"));
      return Promise.reject(away());
    });
    await assert.rejects(stopped, /^Error: stopped$/);
  });
});

describe("a rate", () => {
  it("is kept by all who share it, over pieces of any size", async () => {
    const clock = fakeClock();
    const rate = new Rate(1_000_000, clock);
    let bytes = 0;
    while (bytes < 10_000_000) {
      await rate.take(256_000);
      bytes += 256_000;
    }
    const seconds = clock.monotonic() / 1000;
    assert.ok(Math.abs(bytes / seconds - 1_000_000) < 50_000, `${bytes / seconds} bytes a second`);
  });
});

describe("work on many things", () => {
  it("is never wider than asked, does each once, and reads its source only as far as needed", async () => {
    let [now, most, read] = [0, 0, 0];
    const done: number[] = [];
    async function* source() {
      for (; read < 100; ) yield read++;
    }
    await forEach(source(), 4, async (item) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(read - done.length <= 5, `${read} read, ${done.length} done`);
      done.push(item);
      now -= 1;
    });
    assert.equal(most, 4);
    assert.deepEqual(
      done.sort((a, b) => a - b),
      Array.from({ length: 100 }, (_, at) => at),
    );
  });

  it("ends with the first failure, after what is under way", async () => {
    let begun = 0;
    let ended = 0;
    const working = forEach(Array(50).keys(), 4, async (item) => {
      begun += 1;
      await new Promise((resolve) => setImmediate(resolve));
      ended += 1;
      if (item === 5) throw new Error("five");
    });
    await assert.rejects(working, /five/);
    assert.ok(begun < 15 && begun === ended, `${begun} begun, ${ended} ended`);
  });
});

describe("two listings side by side", () => {
  it("give each key once, in order, with what either side has", async (t) => {
    const random = randomOf(seedOf(t));
    for (let round = 0; round < 200; round += 1) {
      const side = () => new Set(Array.from({ length: random.between(0, 12) }, () => `k/${random.between(10, 30)}`));
      const [left, right] = [side(), side()];
      const pages = (keys: ReadonlySet<string>) => {
        const sorted = [...keys].sort();
        return pagesOf(
          async ({ startAfter = "" }) => {
            const items = sorted.filter((key) => key > startAfter).slice(0, random.between(1, 5));
            return { items: items.map((key) => ({ key })), more: items.at(-1) !== sorted.at(-1) };
          },
          { prefix: "k/" },
          new Patience({}),
        );
      };
      const seen: (readonly [string, boolean, boolean])[] = [];
      for await (const batch of joined(pages(left), pages(right))) {
        for (const { key, from, to } of batch) seen.push([key, from !== undefined, to !== undefined]);
      }
      const wanted = [...new Set([...left, ...right])].sort().map((key) => [key, left.has(key), right.has(key)]);
      assert.deepEqual(seen, wanted);
    }
  });
});

describe("the line of a copy", () => {
  it("has a bar, bytes, blobs, speed and the time left", () => {
    const tally = new Tally();
    tally.phase = "blobs";
    const speed = new Speed();
    assert.equal(copyLine(tally, speed, 0, true), "blobs: 0 B, 0 copied, 0 there already");
    tally.planned = { objects: 10, bytes: 100 * 1024 ** 2 };
    for (let second = 1; second <= 5; second += 1) {
      tally.blobs.passedBytes = second * 5 * 1024 ** 2;
      tally.blobs.copied = second;
      copyLine(tally, speed, second * 1000, true);
    }
    assert.equal(
      copyLine(tally, speed, 5_500, true),
      "[#####...............]  25 % 25 MiB of 100 MiB, 5 of 10 blobs, 4.5 MiB/s, 17 s left",
    );
    assert.equal(copyLine(tally, speed, 5_500, false), " 25 % 25 MiB of 100 MiB, 5 of 10 blobs, 4.5 MiB/s, 17 s left");
    tally.phase = "links";
    tally.links.tags.same = 3;
    assert.equal(copyLine(tally, speed, 6_000, true), "links: 0 layers, 0 manifests, 3 tags");
  });
});

describe("a blob's key", () => {
  it("names its digest only in its own place", () => {
    const hex = "ab".repeat(32);
    assert.equal(parseBlobKey(`docker/registry/v2/blobs/sha256/ab/${hex}/data`), `sha256:${hex}`);
    for (const key of [
      `docker/registry/v2/blobs/sha256/ac/${hex}/data`,
      `docker/registry/v2/blobs/sha256/ab/${hex}`,
      `docker/registry/v2/blobs/md5/ab/${hex}/data`,
      "outrigger-doctor/0",
    ])
      assert.equal(parseBlobKey(key), undefined, key);
  });
});
