/** Reads asked in one turn are one call, and each caller keeps what it would have had alone. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import { bench, error } from "./fakes.ts";

const item = (key: string) => ({ key, value: Buffer.from(`of ${key}`), etag: `e-${key}` });
const many = (name: string, count: number) => Array.from({ length: count }, (_, index) => `${name}${index}`);

async function setUp() {
  const b = await bench({ kind: "meta" });
  const asked: string[][] = [];
  b.transport.answers["meta.Get"] = ({ keys = [] }) => {
    asked.push(keys);
    return { results: keys.map((key) => ({ key, item: key.startsWith("no") ? null : item(key) })), unread: [] };
  };
  return { ...b, asked };
}

describe("reads of one turn", () => {
  it("Gets become one, each key in it once, and each caller gets its own keys in its own order", async () => {
    const { meta, asked } = await setUp();
    const [one, two, three] = await Promise.all([meta.get(["a", "b"]), meta.get(["b", "no", "a"]), meta.get(["c"])]);
    assert.deepEqual(asked, [["a", "b", "no", "c"]]);
    assert.deepEqual(
      one?.map((each) => each?.key),
      ["a", "b"],
    );
    assert.deepEqual(
      two?.map((each) => each?.value.toString()),
      ["of b", undefined, "of a"],
    );
    assert.deepEqual(
      three?.map((each) => each?.etag),
      ["e-c"],
    );
  });

  it("at most 100 keys are one Get, and no caller's keys are split", async () => {
    const { meta, asked } = await setUp();
    await Promise.all([meta.get(many("a", 60)), meta.get(many("b", 60)), meta.get(many("c", 40))]);
    assert.deepEqual(asked, [many("a", 60), [...many("b", 60), ...many("c", 40)]]);
    assert.ok(asked.every((keys) => keys.length <= limits.getKeys));
  });

  it("what is asked after a Get has left is not answered by it", async () => {
    const { meta, asked, transport } = await setUp();
    let answer = () => {};
    const waiting = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const plain = transport.answers["meta.Get"];
    assert.ok(plain);
    let left = () => {};
    const sent = new Promise<void>((resolve) => {
      left = resolve;
    });
    transport.answers["meta.Get"] = async (request, call) => {
      const first = asked.length === 0;
      const given = await plain(request, call);
      left();
      if (first) await waiting;
      return given;
    };
    const early = meta.get(["a"]);
    await sent;
    await meta.get(["a"]);
    assert.equal(asked.length, 2);
    answer();
    await early;
  });

  it("a caller that leaves takes nobody with it; the last one ends the call", async () => {
    const { meta, transport } = await setUp();
    const signals: AbortSignal[] = [];
    let answer = () => {};
    transport.answers["meta.Get"] = ({ keys = [] }, call) =>
      new Promise((resolve, reject) => {
        if (call.signal) signals.push(call.signal);
        call.signal?.addEventListener("abort", () => reject(call.signal?.reason));
        answer = () => resolve({ results: keys.map((key) => ({ key, item: item(key) })), unread: [] });
      });
    const leaving = new AbortController();
    const gone = new Error("gone");
    const one = meta.get(["a"], { signal: leaving.signal });
    const two = meta.get(["b"], { signal: new AbortController().signal });
    one.catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    leaving.abort(gone);
    await assert.rejects(one, gone);
    assert.equal(signals[0]?.aborted, false);
    answer();
    assert.equal((await two)[0]?.key, "b");

    const leavers = [new AbortController(), new AbortController()] as const;
    const both = leavers.map(({ signal }) => meta.get(["a"], { signal }));
    for (const each of both) each.catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    for (const each of leavers) each.abort(gone);
    for (const each of both) await assert.rejects(each, gone);
    assert.equal(signals[1]?.aborted, true);
  });

  it("who has left before the call is sent is not waited for", async () => {
    const { meta, asked } = await setUp();
    const left = AbortSignal.abort(new Error("left"));
    const [one, two] = await Promise.allSettled([meta.get(["a"], { signal: left }), meta.get(["b"])]);
    assert.equal(one.status, "rejected");
    assert.equal(two.status, "fulfilled");
    assert.equal(asked.length, 1);
  });

  it("a failure is everybody's, as an error of each one's own", async () => {
    const { meta, transport } = await setUp();
    transport.answers["meta.Get"] = () => {
      throw error("QUOTA");
    };
    const [one, two] = await Promise.allSettled([meta.get(["a"]), meta.get(["b"])]);
    assert.ok(one.status === "rejected" && two.status === "rejected");
    assert.ok(hasReason(one.reason, "QUOTA") && hasReason(two.reason, "QUOTA"));
    assert.notEqual(one.reason, two.reason);
  });

  it("whose keys an answer leaves unread reads all of them anew, at one moment", async () => {
    const { meta, transport } = await setUp();
    const asked: string[][] = [];
    transport.answers["meta.Get"] = ({ keys = [] }) => {
      asked.push(keys);
      return { results: keys.slice(0, 3).map((key) => ({ key, item: item(key) })), unread: keys.slice(3) };
    };
    const [one, two] = await Promise.all([meta.get(["a", "b"]), meta.get(["c", "d"])]);
    assert.deepEqual(asked, [
      ["a", "b", "c", "d"],
      ["c", "d"],
    ]);
    assert.equal(one?.length, 2);
    assert.deepEqual(
      two?.map((each) => each?.key),
      ["c", "d"],
    );
  });

  it("the same page is listed once, another one by itself", async () => {
    const { meta, transport } = await setUp();
    const pages: string[] = [];
    transport.answers["meta.List"] = ({ prefix = "", startAfter = "", limit }) => {
      pages.push(`${prefix}${startAfter} ${limit}`);
      return { items: [item(`${prefix}1`)], more: false };
    };
    const answers = await Promise.all([
      meta.list({ prefix: "p/" }),
      meta.list({ prefix: "p/" }),
      meta.list({ prefix: "p/", limit: 5 }),
      meta.list({ prefix: "q/" }),
    ]);
    assert.deepEqual(pages, ["p/ 1000", "p/ 5", "q/ 1000"]);
    assert.deepEqual(
      answers.map(({ items }) => items[0]?.key),
      ["p/1", "p/1", "p/1", "q/1"],
    );
  });
});
