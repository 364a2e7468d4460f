/** Writes whose answers are lost are found out (protocol.md section 8); answers are checked. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import { findOut, isRepeatable } from "../../client/meta-write.ts";
import { hasReason, type Reason } from "../../proto/errors.ts";
import type { WriteRequestInput } from "../../proto/gen/outrigger/meta/v1/WriteRequest.ts";
import { type Bench, bench, error, type FakeTransport } from "./fakes.ts";

const rejected =
  (reason: Reason, text = /./) =>
  (e: unknown) =>
    hasReason(e, reason) && text.test(e.message);
const value = Buffer.from("own");

/** Keys and etags as an honest driver keeps them. */
class Keys {
  readonly items = new Map<string, { value: Buffer; etag: string }>();
  writes = 0;
  #etag = 0;

  serve(transport: FakeTransport): void {
    transport.answers["meta.Get"] = ({ keys }) => ({
      unread: [],
      results: (keys ?? []).map((key) => {
        const item = this.items.get(key);
        return { key, item: item ? { key, ...item } : null };
      }),
    });
    transport.answers["meta.Write"] = (request) => this.write(request);
  }

  set(key: string, text: string): string {
    const etag = `e${++this.#etag}`;
    this.items.set(key, { value: Buffer.from(text), etag });
    return etag;
  }

  write(request: WriteRequestInput) {
    this.writes++;
    const operations = request.operations ?? [];
    for (const [index, one] of operations.entries()) {
      const now = this.items.get(one.key ?? "");
      const holds =
        (!one.ifAbsent || now === undefined) &&
        (!one.ifPresent || now !== undefined) &&
        (one.ifEtag === undefined || now?.etag === one.ifEtag);
      if (!holds) throw error("CONDITION_FAILED", { index: String(index) });
    }
    const results = operations.map((one) => {
      const key = one.key ?? "";
      if (one.put !== undefined) return { key, etag: this.set(key, String(one.put)) };
      if (one.delete) this.items.delete(key);
      return { key, etag: this.items.get(key)?.etag ?? "" };
    });
    return { results };
  }
}

async function setUp(): Promise<
  Bench & { keys: Keys; lose: (when: "before" | "after", times?: number, reason?: Reason) => void }
> {
  const b = await bench({ kind: "meta" });
  const keys = new Keys();
  keys.serve(b.transport);
  const lose = (when: "before" | "after", times = 1, reason: Reason = "STREAM_BROKEN") => {
    let left = times;
    b.transport.answers["meta.Write"] = (request) => {
      if (left-- <= 0) return keys.write(request);
      if (when === "after") keys.write(request);
      else keys.writes++;
      throw error(reason);
    };
  };
  return { ...b, keys, lose };
}

async function write(b: Bench, operations: MetaOperation[]): Promise<string[]> {
  const done = b.meta.write(operations);
  done.catch(() => undefined);
  return b.clock.until(done);
}

const put = (key: string, condition?: MetaOperation["condition"]): MetaOperation =>
  ({
    kind: "put",
    key,
    value,
    ...(condition ? { condition } : {}),
  }) as MetaOperation;

describe("a Write whose answer is lost", () => {
  for (const reason of ["STREAM_BROKEN", "UNREACHABLE", "TIMED_OUT", "DRAINING", "BACKEND_DOWN", "INTERNAL"] as const) {
    it(`took effect (${reason}): done, with the etag that is there, and not sent twice`, async () => {
      const b = await setUp();
      b.lose("after", 1, reason);
      if (reason === "TIMED_OUT") {
        // The breaker opens; reading back waits for nobody, so the caller gets the fault.
        await assert.rejects(write(b, [put("k", { ifAbsent: true })]), rejected("TIMED_OUT"));
      } else assert.deepEqual(await write(b, [put("k", { ifAbsent: true })]), ["e1"]);
      assert.equal(b.keys.writes, 1);
    });
  }

  it("and the store was sealed since: done if it took effect, else refused, and never sent a third time", async () => {
    const b = await setUp();
    b.lose("after", 1, "UNREACHABLE");
    const answer = b.transport.answers["meta.Write"];
    b.transport.answers["meta.Write"] = (request, call) => {
      if (b.keys.writes > 0) throw error("READ_ONLY");
      return answer?.(request, call) as never;
    };
    assert.deepEqual(await write(b, [put("k", { ifAbsent: true })]), ["e1"]);
    const other = await setUp();
    let sent = 0;
    other.transport.answers["meta.Write"] = () => {
      throw error(sent++ === 0 ? "UNREACHABLE" : "READ_ONLY");
    };
    await assert.rejects(write(other, [put("k", { ifAbsent: true })]), rejected("READ_ONLY"));
    assert.equal(sent, 2);
  });

  it("had no effect: again with the same condition", async () => {
    const b = await setUp();
    const etag = b.keys.set("k", "old");
    b.lose("before", 2);
    assert.deepEqual(await write(b, [put("k", { ifEtag: etag })]), ["e2"]);
    assert.equal(b.keys.writes, 3);
  });

  it("somebody else was first: lost, naming the operation", async () => {
    const b = await setUp();
    const etag = b.keys.set("k", "old");
    b.transport.answers["meta.Write"] = () => {
      b.keys.set("k", "theirs");
      throw error("STREAM_BROKEN");
    };
    await assert.rejects(
      write(b, [{ kind: "check", key: "c", condition: { ifAbsent: true } }, put("k", { ifEtag: etag })]),
      (e) => hasReason(e, "CONDITION_FAILED") && e.metadata["index"] === "1",
    );
    assert.equal(b.keys.items.get("k")?.value.toString(), "theirs");
  });

  it("somebody else's key stands where none was to be: not known, since an earlier attempt may come once it is gone", async () => {
    const b = await setUp();
    let late: WriteRequestInput | undefined;
    b.transport.answers["meta.Write"] = (request) => {
      late ??= request;
      b.keys.set("k", "theirs");
      throw error("STREAM_BROKEN");
    };
    await assert.rejects(
      write(b, [put("k", { ifAbsent: true })]),
      (e) => hasReason(e, "STREAM_BROKEN") && e.metadata["outcome"] === "unsettled",
    );
    b.keys.items.delete("k");
    assert.equal(b.keys.write(late ?? {}).results.length, 1);
  });

  it("takes effect between the Gets of one look: done, though what they saw together looks lost", async () => {
    const b = await setUp();
    const etag = b.keys.set("l", "old");
    const get = b.transport.answers["meta.Get"];
    let late: WriteRequestInput | undefined;
    let gets = 0;
    b.transport.answers["meta.Write"] = (request) => {
      late = request;
      throw error("STREAM_BROKEN");
    };
    b.transport.answers["meta.Get"] = (request, call) => {
      const { keys = [] } = request;
      const answer = get?.({ ...request, keys: keys.slice(0, 1) }, call) as object;
      if (gets++ === 0) b.keys.write(late ?? {});
      return { ...answer, unread: keys.slice(1) } as never;
    };
    assert.deepEqual(await write(b, [put("k", { ifAbsent: true }), put("l", { ifEtag: etag })]), ["e2", "e3"]);
    assert.equal(b.keys.writes, 1);
  });

  it("the first attempt comes late, after the read back: the second one's CONDITION_FAILED is its own doing", async () => {
    const b = await setUp();
    let late: WriteRequestInput | undefined;
    b.transport.answers["meta.Write"] = (request) => {
      if (late === undefined) {
        late = request;
        throw error("STREAM_BROKEN");
      }
      b.keys.write(late);
      return b.keys.write(request);
    };
    assert.deepEqual(await write(b, [put("k", { ifAbsent: true })]), ["e1"]);
  });

  it("an unconditional put is never repeated, though it may be found done", async () => {
    const b = await setUp();
    b.lose("after");
    assert.deepEqual(await write(b, [put("k")]), ["e1"]);
    b.lose("before");
    b.keys.items.clear();
    const writes = b.keys.writes;
    await assert.rejects(write(b, [put("k")]), rejected("STREAM_BROKEN"));
    assert.equal(b.keys.writes, writes + 1);
    b.lose("before");
    await assert.rejects(
      write(b, [put("k"), { kind: "check", key: "guard", condition: { ifAbsent: true } }]),
      rejected("STREAM_BROKEN"),
    );
    assert.equal(b.keys.writes, writes + 2, "a check does not make it safe");
    b.lose("before");
    assert.deepEqual(
      (await write(b, [put("k"), put("l", { ifAbsent: true })])).length,
      2,
      "a condition that is used up does",
    );
  });

  it("was never sent: repeated whatever it is", async () => {
    const b = await setUp();
    let failures = 3;
    b.transport.answers["meta.Write"] = (request) => {
      if (failures-- > 0) throw error("UNREACHABLE", { sent: "no" });
      return b.keys.write(request);
    };
    assert.equal((await write(b, [put("k")])).length, 1);
    assert.equal(b.transport.count("meta.Get"), 0);
  });

  it("CONFLICT is tried again, CONDITION_FAILED at first is not", async () => {
    const b = await setUp();
    b.lose("before", 4, "CONFLICT");
    assert.equal((await write(b, [put("k")])).length, 1);
    b.keys.set("x", "there");
    const writes = b.keys.writes;
    await assert.rejects(write(b, [put("x", { ifAbsent: true })]), rejected("CONDITION_FAILED"));
    assert.equal(b.keys.writes, writes + 1);
    b.lose("before", Number.POSITIVE_INFINITY, "CONFLICT");
    const from = b.clock.monotonic();
    await assert.rejects(write(b, [put("k")]), rejected("CONFLICT"));
    assert.ok(b.clock.monotonic() - from <= 10_050);
  });

  it("what is found, case by case", () => {
    const item = (key: string, text: string, etag: string): MetaItem => ({ key, value: Buffer.from(text), etag });
    const del: MetaOperation = { kind: "delete", key: "k", condition: { ifEtag: "e1" } };
    const check: MetaOperation = { kind: "check", key: "g", condition: { ifEtag: "g1" } };
    const cases: [string, MetaOperation[], (MetaItem | undefined)[], string][] = [
      ["own value", [put("k", { ifEtag: "e1" })], [item("k", "own", "e2")], "done"],
      ["own value, but still the old etag", [put("k", { ifEtag: "e1" })], [item("k", "own", "e1")], "old"],
      ["old value", [put("k", { ifEtag: "e1" })], [item("k", "old", "e1")], "old"],
      ["another value", [put("k", { ifEtag: "e1" })], [item("k", "new", "e2")], "lost"],
      ["gone", [put("k", { ifEtag: "e1" })], [undefined], "lost"],
      ["there, for now", [put("k", { ifAbsent: true })], [item("k", "theirs", "e2")], "unsure"],
      [
        "there, and an etag is gone for good",
        [put("k", { ifAbsent: true }), put("l", { ifEtag: "e1" })],
        [item("k", "theirs", "e2"), item("l", "theirs", "e3")],
        "lost",
      ],
      ["absent as before", [put("k", { ifAbsent: true })], [undefined], "old"],
      ["deleted", [del], [undefined], "done"],
      ["not deleted", [del], [item("k", "x", "e1")], "old"],
      ["overwritten", [del], [item("k", "x", "e2")], "lost"],
      [
        "half of it looks done by chance",
        [put("k", { ifAbsent: true }), put("l", { ifEtag: "e1" })],
        [undefined, item("l", "own", "e1")],
        "old",
      ],
      ["the guard moved", [put("k", { ifAbsent: true }), check], [undefined, item("g", "x", "g2")], "lost"],
      [
        "done, and the guard moved since",
        [put("k", { ifAbsent: true }), check],
        [item("k", "own", "e1"), item("g", "x", "g2")],
        "done",
      ],
      ["nothing protects it", [put("k"), check], [undefined, item("g", "x", "g1")], "unsure"],
      ["present is not used up", [put("k", { ifPresent: true })], [item("k", "old", "e1")], "unsure"],
    ];
    for (const [what, operations, items, state] of cases) assert.equal(findOut(operations, items).state, state, what);
    assert.equal(isRepeatable([{ kind: "delete", key: "k", condition: { ifPresent: true } }]), true);
    assert.equal(isRepeatable([{ kind: "delete", key: "k" }]), false);
  });
});

describe("a meta store's answers are checked", () => {
  const item = (key: string) => ({ key, value, etag: "e" });
  const page = (keys: string[], more = false) => ({ items: keys.map(item), more });
  const lists: [string, ReturnType<typeof page>][] = [
    ["meta.list.01", page(["p/b", "p/a"])],
    ["meta.list.01", page(["p/a", "p/a"])],
    ["meta.list.01", page(["q/a"])],
    ["meta.list.01", page(["p/0"])],
    ["meta.list.03", page([], true)],
    ["meta.list.05", page(["p/a", "p/b", "p/c", "p/d"])],
  ];
  for (const [rule, answer] of lists) {
    it(`${rule}: ${JSON.stringify(answer.items.map((one) => one.key))}, more ${answer.more}`, async () => {
      const b = await bench({ kind: "meta" });
      b.transport.answers["meta.List"] = () => answer;
      await assert.rejects(
        b.meta.list({ prefix: "p/", startAfter: "p/0", limit: 3 }),
        rejected("PROTOCOL_VIOLATION", new RegExp(rule)),
      );
    });
  }

  it("meta.get: a key not asked, none answered, one left out, an etag too long", async () => {
    const b = await bench({ kind: "meta" });
    const answer = (results: object[], unread: string[] = []) => {
      b.transport.answers["meta.Get"] = () => ({ results: results as never, unread });
    };
    answer([{ key: "x", item: null }]);
    await assert.rejects(b.meta.get(["k"]), rejected("PROTOCOL_VIOLATION", /meta.get.01/));
    answer([], ["k"]);
    await assert.rejects(b.meta.get(["k"]), rejected("PROTOCOL_VIOLATION", /meta.get.02/));
    answer([{ key: "k", item: null }]);
    await assert.rejects(b.meta.get(["k", "l"]), rejected("PROTOCOL_VIOLATION", /meta.get.01/));
    answer([{ key: "k", item: { ...item("k"), etag: "e".repeat(129) } }]);
    await assert.rejects(b.meta.get(["k"]), rejected("PROTOCOL_VIOLATION"));
  });

  it("a Get that stops early is asked for the rest", async () => {
    const b = await bench({ kind: "meta" });
    b.transport.answers["meta.Get"] = ({ keys = [] }) => ({
      results: keys.slice(0, 2).map((key) => ({ key, item: item(key) })),
      unread: keys.slice(2),
    });
    const keys = ["a", "b", "c", "d", "e"];
    assert.deepEqual(
      (await b.meta.get(keys)).map((one) => one?.key),
      keys,
    );
    assert.equal(b.transport.count("meta.Get"), 3);
  });

  it("a Write answered by fewer results, or out of order", async () => {
    const b = await bench({ kind: "meta" });
    b.transport.answers["meta.Write"] = () => ({ results: [] });
    await assert.rejects(b.meta.write([put("k")]), rejected("PROTOCOL_VIOLATION", /meta.write.06/));
    b.transport.answers["meta.Write"] = () => ({ results: [{ key: "l", etag: "e" }] });
    await assert.rejects(b.meta.write([put("k")]), rejected("PROTOCOL_VIOLATION", /meta.write.06/));
  });

  it("refuses what the protocol does not allow, before anything is sent", async () => {
    const b = await bench({ kind: "meta" });
    await assert.rejects(b.meta.get(Array.from({ length: 101 }, (_, i) => `k${i}`)), rejected("INVALID_FIELD"));
    await assert.rejects(b.meta.get(["../x"]), rejected("INVALID_KEY"));
    await assert.rejects(b.meta.write([]), rejected("INVALID_FIELD"));
    await assert.rejects(b.meta.write([put("k"), put("k")]), rejected("INVALID_FIELD", /twice/));
    await assert.rejects(
      b.meta.write([{ kind: "put", key: "k", value: Buffer.alloc(256 * 1024 + 1) }]),
      rejected("INVALID_FIELD"),
    );
    const large = Array.from(
      { length: 15 },
      (_, i) => ({ kind: "put", key: `k${i}`, value: Buffer.alloc(256 * 1024) }) as const,
    );
    await assert.rejects(b.meta.write(large), rejected("INVALID_FIELD", /one Write/));
    await assert.rejects(b.meta.list({ prefix: "", limit: 1001 }), rejected("INVALID_FIELD"));
    assert.equal(b.transport.calls.filter((call) => call.method.startsWith("meta.")).length, 0);
  });
});
