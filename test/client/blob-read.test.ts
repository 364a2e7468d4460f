/** Reads that outlive their stream, owe nobody while the reader is slow, and believe nothing (protocol.md section 6). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason, type Reason } from "../../proto/errors.ts";
import type { ReadRequestInput } from "../../proto/gen/outrigger/blob/v1/ReadRequest.ts";
import { type Bench, bench, error, type ReadScript, settle } from "./fakes.ts";

type Stream = Parameters<ReadScript>[0];
const rejected =
  (reason: Reason, text = /./) =>
  (e: unknown) =>
    hasReason(e, reason) && text.test(e.message);
const size = 1_000;
const bytes = Buffer.from(Uint8Array.from({ length: size }, (_, i) => i % 251));
const info = { key: "k", size, etag: "e1", modifiedMs: 0, digests: [] as string[] };

function start(s: Stream, request: ReadRequestInput, changes: object = {}): { from: number; to: number } {
  const from = Number(request.offset ?? 0);
  const to = Math.min(size, from + Number(request.limit ?? size));
  s.send({ part: "start", start: { info, start: from, length: to - from, ...changes } });
  return { from, to };
}

function chunk(s: Stream, offset: number, to: number): void {
  s.send({ part: "chunk", chunk: { offset, data: Buffer.from(bytes.subarray(offset, to)) } });
}

/** Serves honestly, and ends as told after so many bytes. */
function serve(cutAfter: number, end?: (s: Stream) => void): ReadScript {
  return (s, request) => {
    const { from, to } = start(s, request);
    const until = Math.min(to, from + cutAfter);
    for (let at = from; at < until; at += 100) chunk(s, at, Math.min(until, at + 100));
    if (until === to) s.finish();
    else setImmediate(() => setImmediate(() => setImmediate(() => end?.(s))));
  };
}

async function readAll(b: Bench, range: object = {}, options?: object): Promise<Buffer> {
  const work = (async () => {
    const read = await b.blobs.read("k", range, options);
    const parts: Buffer[] = [];
    for await (const piece of read.body) parts.push(piece);
    const all = Buffer.concat(parts);
    assert.equal(all.length, read.lengthBytes);
    return all;
  })();
  work.catch(() => undefined);
  return b.clock.until(work);
}

describe("read", () => {
  it("goes on at the next byte with the etag when its streams break, as often as it gets on", async () => {
    const b = await bench();
    b.transport.reads = [serve(150, (s) => s.break(error("STREAM_BROKEN")))];
    assert.ok((await readAll(b)).equals(bytes));
    const requests = b.transport.calls
      .filter((call) => call.method === "blob.Read")
      .map((call) => call.request as ReadRequestInput);
    assert.ok(requests.length >= 7);
    for (const [index, request] of requests.entries()) {
      assert.equal(request.ifEtag, index === 0 ? "" : "e1");
      if (index > 0) assert.equal(Number(request.offset) + Number(request.limit), size);
    }
    assert.ok((await readAll(b, { offsetBytes: 333, limitBytes: 444 })).equals(bytes.subarray(333, 777)));
  });

  it("continues on a driver that was away for some seconds", async () => {
    const b = await bench();
    const away: ReadScript = (s) => s.break(error("UNREACHABLE"));
    b.transport.reads = [serve(400, (s) => s.break(error("UNREACHABLE"))), away, away, away, away, serve(size)];
    assert.ok((await readAll(b)).equals(bytes));
  });

  it("gives up after 10 s without a byte", async () => {
    const b = await bench();
    b.transport.reads = [serve(400, (s) => s.break(error("UNREACHABLE"))), (s) => s.break(error("UNREACHABLE"))];
    const from = b.clock.monotonic();
    await assert.rejects(readAll(b), rejected("UNREACHABLE"));
    const spent = b.clock.monotonic() - from;
    assert.ok(spent > 8_000 && spent <= 10_500, `${spent} ms`);
  });

  it("another content meanwhile: ETAG_MISMATCH, never mixed bytes", async () => {
    const b = await bench();
    b.transport.reads = [serve(400, (s) => s.break(error("STREAM_BROKEN"))), (s) => s.break(error("ETAG_MISMATCH"))];
    await assert.rejects(readAll(b), rejected("ETAG_MISMATCH"));
    b.transport.reads = [
      serve(400, (s) => s.break(error("STREAM_BROKEN"))),
      (s, request) => void start(s, request, { info: { ...info, etag: "e2" } }),
    ];
    await assert.rejects(readAll(b), rejected("PROTOCOL_VIOLATION", /blob.read.06/));
  });

  it("damaged bytes are never read again", async () => {
    const b = await bench();
    b.transport.reads = [serve(400, (s) => s.break(error("STORED_CORRUPT")))];
    await assert.rejects(readAll(b), rejected("STORED_CORRUPT"));
    assert.equal(b.transport.count("blob.Read"), 1);
  });

  it("no first answer: TIMED_OUT after 10 s, then the breaker", async () => {
    const b = await bench();
    b.transport.healthy = error("TIMED_OUT");
    b.transport.reads = [() => undefined];
    const from = b.clock.monotonic();
    await assert.rejects(readAll(b), rejected("TIMED_OUT"));
    assert.ok(b.clock.monotonic() - from <= 12_000);
    await assert.rejects(readAll(b), rejected("BREAKER_OPEN"));
  });

  it("a driver that stops in the middle owes: TIMED_OUT after 30 s", async () => {
    const b = await bench();
    b.transport.healthy = error("TIMED_OUT");
    b.transport.reads = [serve(400, () => undefined)];
    const from = b.clock.monotonic();
    await assert.rejects(readAll(b), rejected("TIMED_OUT"));
    const spent = b.clock.monotonic() - from;
    assert.ok(spent >= 30_000 && spent < 33_000, `${spent} ms`);
  });

  it("a reader that pauses for minutes is nobody's fault", async () => {
    const b = await bench();
    b.transport.reads = [serve(size)];
    const read = await b.blobs.read("k");
    const body = read.body[Symbol.asyncIterator]();
    await body.next();
    await b.clock.advance(300_000);
    let more = 100;
    for (let step = await body.next(); !step.done; step = await body.next()) more += step.value.length;
    assert.equal(more, size);
    assert.equal(b.transport.count("blob.Read"), 1);
  });

  it("cancel, a body left early, and an aborted signal end the stream", async () => {
    const b = await bench();
    const streams: Stream[] = [];
    b.transport.reads = [
      (s, request) => {
        streams.push(s);
        start(s, request);
        chunk(s, 0, 100);
      },
    ];
    await (await b.blobs.read("k")).cancel();
    for await (const _ of (await b.blobs.read("k")).body) break;
    const ending = new AbortController();
    const aborted = await b.blobs.read("k", {}, { signal: ending.signal });
    const body = aborted.body[Symbol.asyncIterator]();
    await body.next();
    const next = body.next();
    next.catch(() => undefined);
    await settle();
    ending.abort(new Error("stop"));
    await assert.rejects(next, /stop/);
    assert.deepEqual(
      streams.map((s) => s.isOver),
      [true, true, true],
    );
    await assert.rejects(async () => {
      for await (const _ of aborted.body);
    }, /read already/);
  });

  const lies: [string, ReadScript][] = [
    ["blob.read.01", (s) => chunk(s, 0, 10)],
    [
      "blob.read.01",
      (s, r) => {
        start(s, r);
        start(s, r);
      },
    ],
    ["blob.read.01", (s, r) => void start(s, r, { info: { ...info, key: "other" } })],
    ["blob.read.01", (s, r) => void start(s, r, { info: { ...info, size: 2 ** 53 } })],
    ["blob.read.02", (s, r) => void start(s, r, { start: 5 })],
    [
      "blob.read.02",
      (s, r) => {
        start(s, r);
        chunk(s, 0, 100);
        chunk(s, 101, 200);
      },
    ],
    [
      "blob.read.03",
      (s, r) => {
        start(s, r);
        chunk(s, 0, 100);
        s.finish();
      },
    ],
    [
      "blob.read.03",
      (s, r) => {
        start(s, r);
        chunk(s, 0, size);
        s.send({ part: "chunk", chunk: { offset: size, data: Buffer.alloc(1) } });
      },
    ],
    ["blob.read.05", (s, r) => void start(s, r, { length: size - 1 })],
    [
      "blob.read.09",
      (s, r) => {
        start(s, r);
        s.send({ part: "chunk", chunk: { offset: 0, data: Buffer.alloc(1024 * 1024 + 1) } });
      },
    ],
  ];
  for (const [index, [rule, script]] of lies.entries()) {
    it(`a driver that breaks ${rule} is told so (${index})`, async () => {
      const b = await bench();
      b.transport.reads = [script];
      await assert.rejects(readAll(b), rejected("PROTOCOL_VIOLATION", new RegExp(rule)));
      assert.equal(b.transport.count("blob.Read"), 1);
    });
  }
});

describe("small blobs", () => {
  const data = Buffer.from("manifest");
  const small = { ...info, size: data.length };

  it("a Put whose answer is lost is found by its bytes", async () => {
    const b = await bench();
    b.transport.answers["blob.Put"] = () => {
      throw error("STREAM_BROKEN");
    };
    b.transport.reads = [
      (s) => {
        s.send({ part: "start", start: { info: small, start: 0, length: data.length } });
        s.send({ part: "chunk", chunk: { offset: 0, data } });
        s.finish();
      },
    ];
    const done = b.blobs.put("k", data, { condition: { ifAbsent: true } });
    assert.equal((await b.clock.until(done)).etag, "e1");
    assert.equal(b.transport.count("blob.Put"), 1);
  });

  it("one that had no effect is sent again, only into the empty key", async () => {
    const b = await bench();
    const asked: unknown[] = [];
    b.transport.answers["blob.Put"] = (request) => {
      asked.push(request.ifAbsent);
      if (asked.length === 1) throw error("STREAM_BROKEN");
      return { info: small };
    };
    b.transport.reads = [(s) => s.break(error("KEY_NOT_FOUND"))];
    await b.clock.until(b.blobs.put("k", data));
    assert.deepEqual(asked, [undefined, true]);
  });

  it("one without a condition is not repeated over other bytes", async () => {
    const b = await bench();
    b.transport.answers["blob.Put"] = () => {
      throw error("STREAM_BROKEN");
    };
    b.transport.reads = [serve(size)];
    const done = b.blobs.put("k", data);
    done.catch(() => undefined);
    await assert.rejects(b.clock.until(done), rejected("STREAM_BROKEN"));
    assert.equal(b.transport.count("blob.Put"), 1);
  });

  it("a Move whose answer is lost is looked up; while the source is there it is moved again", async () => {
    for (const moved of [true, false]) {
      const b = await bench();
      let gone = false;
      b.transport.answers["blob.Stat"] = ({ keys = [] }) => ({
        results: keys.map((key) => ({ key, info: (key === "from") === gone ? null : { ...info, key } })),
      });
      b.transport.moves = [
        (s) => {
          gone = moved;
          s.break(error("STREAM_BROKEN"));
        },
        (s) => {
          gone = true;
          s.send({ step: "info", info: { ...info, key: "to" } });
          s.finish();
        },
      ];
      assert.equal((await b.clock.until(b.blobs.move("from", "to"))).key, "to");
      assert.equal(b.transport.count("blob.Move"), moved ? 1 : 2);
    }
  });

  it("a Move at work says so; a silent one times out", async () => {
    const b = await bench();
    b.transport.answers["blob.Stat"] = ({ keys = [] }) => ({
      results: keys.map((key) => ({ key, info: { ...info, key } })),
    });
    b.transport.moves = [
      (s) => {
        const say = (left: number) => {
          if (left === 0) {
            s.send({ step: "info", info: { ...info, key: "to" } });
            return s.finish();
          }
          s.send({ step: "working", working: {} });
          b.clock.after(5_000, () => say(left - 1));
        };
        say(20);
      },
      () => undefined,
    ];
    assert.equal((await b.clock.until(b.blobs.move("from", "to"))).key, "to");
    const silent = b.blobs.move("from", "to");
    silent.catch(() => undefined);
    await assert.rejects(b.clock.until(silent), rejected("TIMED_OUT"));
  });

  it("stat, list and delete answers are checked", async () => {
    const b = await bench();
    b.transport.answers["blob.Stat"] = () => ({ results: [{ key: "b", info: null }] });
    await assert.rejects(b.blobs.stat(["a"]), rejected("PROTOCOL_VIOLATION", /blob.stat.01/));
    await assert.rejects(b.blobs.stat(["a", "b"]), rejected("PROTOCOL_VIOLATION", /blob.stat.01/));
    b.transport.answers["blob.List"] = () => ({
      items: [
        { ...info, key: "b" },
        { ...info, key: "a" },
      ],
      more: false,
    });
    await assert.rejects(b.blobs.list({ prefix: "" }), rejected("PROTOCOL_VIOLATION", /blob.list.01/));
    b.transport.answers["blob.Delete"] = () => ({ results: [{ key: "a", reason: "NO_SUCH_REASON", message: "" }] });
    await assert.rejects(b.blobs.delete(["a"]), rejected("PROTOCOL_VIOLATION", /call.error.01/));
    b.transport.answers["blob.Delete"] = ({ keys = [] }) => ({
      results: keys.map((key) => ({ key, reason: key === "a" ? "BACKEND_DOWN" : "", message: "no" })),
    });
    await assert.rejects(b.blobs.delete(["a", "b"]), rejected("BACKEND_DOWN"));
  });

  it("many keys are asked in batches of 1000", async () => {
    const b = await bench();
    b.transport.answers["blob.Stat"] = ({ keys = [] }) => ({ results: keys.map((key) => ({ key, info: null })) });
    const keys = Array.from({ length: 2_500 }, (_, i) => `k${i}`);
    assert.equal((await b.blobs.stat(keys)).length, 2_500);
    assert.equal(b.transport.count("blob.Stat"), 3);
  });
});
