import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BLOCK_BYTES, Blocks } from "../../client/blocks.ts";
import { UploadBudget } from "../../client/budget.ts";
import { Replay } from "../../client/replay.ts";
import { newSeed, randomOf } from "../helpers/random.ts";
import { settle } from "./fakes.ts";

describe("the budget of unpersisted bytes", () => {
  function share(budget: UploadBudget) {
    let asked = 0;
    const one = budget.open({ flush: () => void asked++ });
    one.live(true);
    return { one, asked: () => asked };
  }
  const never = new AbortController().signal;

  it("lets in while there is room, and holds back when it is full", async () => {
    const budget = new UploadBudget(100);
    const a = share(budget);
    await a.one.room(never);
    a.one.take(100);
    let entered = false;
    void a.one.room(never).then(() => {
      entered = true;
    });
    await settle();
    assert.equal(entered, false);
    a.one.give(1);
    await settle();
    assert.equal(entered, true);
  });

  it("asks those that hold most, not all", async () => {
    const budget = new UploadBudget(100);
    const held = [5, 40, 10, 45].map((bytes) => {
      const s = share(budget);
      s.one.take(bytes);
      return s;
    });
    void held[0]?.one.room(never);
    await settle();
    assert.deepEqual(
      held.map((s) => s.asked()),
      [0, 0, 0, 1],
    );
  });

  it("never asks one without a stream, and asks another when the asked one loses its stream", async () => {
    const budget = new UploadBudget(100);
    const [a, b] = [share(budget), share(budget)];
    a.one.take(90);
    b.one.take(10);
    a.one.live(false);
    void b.one.room(never);
    assert.deepEqual([a.asked(), b.asked()], [0, 1]);
    b.one.live(false);
    a.one.live(true);
    assert.deepEqual([a.asked(), b.asked()], [1, 1]);
  });

  it("a share that closes gives everything back; a waiter that aborts leaves the line", async () => {
    const budget = new UploadBudget(100);
    const [a, b] = [share(budget), share(budget)];
    a.one.take(100);
    const ending = new AbortController();
    const leaving = b.one.room(ending.signal);
    leaving.catch(() => undefined);
    const staying = b.one.room(never);
    ending.abort(new Error("stop"));
    await assert.rejects(leaving, /stop/);
    a.one.close();
    await staying;
    assert.equal(budget.heldBytes, 0);
  });
});

describe("what is held for replay", () => {
  const seed = newSeed();
  const random = randomOf(seed).next;
  it(`gives the source's bytes from any held offset, however they came (seed ${seed})`, () => {
    for (let round = 0; round < 200; round++) {
      const start = Math.floor(random() * 1000);
      const replay = new Replay(start);
      let all = Buffer.alloc(start);
      let dropped = start;
      for (let step = 0; step < 40; step++) {
        const length = Math.floor(random() < 0.7 ? random() * 3_000 : random() * 300_000);
        const piece = Buffer.alloc(length, Math.floor(random() * 256));
        replay.push(piece);
        all = Buffer.concat([all, piece]);
        assert.equal(replay.endBytes, all.length);
        if (random() < 0.5) {
          const to = dropped + Math.floor(random() * (all.length - dropped + 1));
          assert.equal(replay.dropBelow(to), to - dropped);
          dropped = to;
          assert.equal(replay.startBytes, dropped);
        }
        if (dropped < all.length) {
          const at = dropped + Math.floor(random() * (all.length - dropped));
          const chunk = replay.at(at);
          assert.ok(chunk.length > 0 && chunk.length <= 256 * 1024);
          assert.ok(chunk.equals(all.subarray(at, at + chunk.length)));
        }
      }
    }
  });

  it("small pieces do not keep the large buffers alive that they are views of", () => {
    const replay = new Replay(0);
    const large = Buffer.alloc(1024 * 1024);
    replay.push(large.subarray(0, 1));
    assert.notEqual(replay.at(0).buffer, large.buffer);
    for (let i = 1; i < 1000; i++) replay.push(large.subarray(i, i + 1));
    assert.equal(replay.at(0).length, 1000);
    assert.notEqual(replay.at(0).buffer, large.buffer);
  });

  it("bytes that were sent never change as more arrive", () => {
    const replay = new Replay(0);
    replay.push(Buffer.from("abc"));
    const sent = replay.at(0);
    replay.push(Buffer.from("def"));
    assert.equal(sent.toString(), "abc");
    assert.equal(replay.at(0).toString(), "abcdef");
  });
});

describe("the memory of what is held", () => {
  it("blocks are used again once everything in them is dropped, and never before", () => {
    const blocks = new Blocks();
    const replay = new Replay(0, blocks);
    const piece = Buffer.alloc(100 * 1024, 1);
    for (let i = 0; i < 10; i++) replay.push(piece);
    assert.equal(blocks.freeBytes, 0);
    replay.dropBelow(BLOCK_BYTES - 1);
    assert.equal(blocks.freeBytes, 0);
    replay.dropBelow(BLOCK_BYTES);
    assert.equal(blocks.freeBytes, BLOCK_BYTES);
    const other = new Replay(0, blocks);
    other.push(Buffer.alloc(200 * 1024, 2));
    assert.equal(blocks.freeBytes, 0);
    for (let at = BLOCK_BYTES; at < replay.endBytes; ) {
      const chunk = replay.at(at);
      assert.ok(chunk.every((byte) => byte === 1));
      at += chunk.length;
    }
    replay.release();
    other.release();
    assert.equal(blocks.freeBytes, 4 * BLOCK_BYTES);
  });

  it("a small blob takes no block; without uploads little memory is kept", () => {
    const budget = new UploadBudget(1024 * 1024 * 1024);
    const small = new Replay(0, budget.blocks);
    small.push(Buffer.alloc(60 * 1024));
    small.push(Buffer.alloc(100));
    small.release();
    assert.equal(budget.blocks.freeBytes, 0);
    const one = budget.open({ flush: () => undefined });
    const large = new Replay(0, budget.blocks);
    for (let i = 0; i < 1024; i++) large.push(Buffer.alloc(64 * 1024));
    large.release();
    assert.equal(budget.blocks.freeBytes, 32 * 1024 * 1024);
    one.close();
    assert.equal(budget.blocks.freeBytes, 4 * 1024 * 1024);
  });
});
