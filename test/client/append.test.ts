/** Uploads against a driver that breaks exactly where a test says (protocol.md section 7). */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import type { AppendRequest, AppendResult } from "../../client/contract.ts";
import { hasReason, type Reason } from "../../proto/errors.ts";
import type { AppendRequestInput } from "../../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import { type AppendScript, type Bench, bench, error, ids, settle } from "./fakes.ts";

type Stream = Parameters<AppendScript>[0];

const size = 1_000_000;
const bytes = Buffer.from(Uint8Array.from({ length: size }, (_, i) => i % 251));
const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const info = { key: "k", size, etag: "e1", modifiedMs: 0, digests: [] as string[] };

async function* source(from = 0, to = size, step = 60_000): AsyncGenerator<Buffer> {
  for (let at = from; at < to; at += step) yield bytes.subarray(at, Math.min(to, at + step));
}

const base: AppendRequest = {
  uploadId: "u",
  create: true,
  algorithm: "sha256",
  offsetBytes: 0,
  body: source(),
  commit: { key: "k", digest, sizeBytes: size },
};

function request(changes: Partial<AppendRequest> = {}): AppendRequest {
  return { ...base, body: source(), ...changes };
}

/** What an honest driver keeps of one upload, across streams. */
class Driver {
  held = Buffer.alloc(0);
  persisted = 0;
  fence = 0;
  opens: { attempt: number; create: boolean; sender: string }[] = [];
  stepBytes = 200_000;
  committed = false;

  /** Takes an Open; UPLOAD_NOT_FOUND where it must be. */
  async open(stream: Stream): Promise<boolean> {
    await stream.wait(() => stream.received.length > 0);
    const open = stream.received[0]?.open;
    if (!open) throw new Error("no open");
    this.opens.push({ attempt: Number(open.attempt), create: open.create === true, sender: open.sender ?? "" });
    if (this.committed || (this.opens.length > 1 && this.opens.every((one) => !one.create))) {
      if (!open.create) {
        stream.break(error("UPLOAD_NOT_FOUND"));
        return false;
      }
    }
    if (this.committed) {
      this.committed = false;
      this.persisted = 0;
    }
    this.held = this.held.subarray(0, this.persisted);
    stream.send({ opened: { persisted: this.persisted, fence: ++this.fence } });
    return true;
  }

  /** Works through a stream; `cut` may end it: it is asked before each message. */
  script(
    cut: (message: AppendRequestInput, driver: this, stream: Stream) => Reason | "hang" | undefined = () => undefined,
  ): AppendScript {
    return async (stream) => {
      if (!(await this.open(stream))) return;
      let at = 1;
      while (!stream.isOver) {
        await stream.wait(() => stream.received.length > at || stream.ended);
        const message = stream.received[at];
        if (message === undefined) {
          if (stream.isOver) return;
          this.persisted = this.held.length;
          stream.send({ progress: { received: this.held.length, persisted: this.persisted } });
          return stream.finish();
        }
        at++;
        const end = cut(message, this, stream);
        if (end === "hang") return;
        if (end !== undefined) return stream.break(error(end));
        if (message.chunk) this.chunk(stream, Number(message.chunk.offset), message.chunk.data as Buffer);
        if (message.flush) {
          this.persisted = this.held.length;
          stream.send({ progress: { received: this.held.length, persisted: this.persisted } });
        }
        if (message.commit) {
          assert.ok(this.held.equals(bytes.subarray(0, this.held.length)), "the bytes are the source's");
          assert.equal(this.held.length, size);
          this.committed = true;
          stream.send({ committed: { info, digest } });
          return stream.finish();
        }
      }
    };
  }

  chunk(stream: Stream, offset: number, data: Buffer): void {
    if (offset > this.held.length) {
      stream.break(error("OFFSET_MISMATCH", { persisted: String(this.persisted) }));
      return;
    }
    const fresh = data.subarray(Math.min(data.length, this.held.length - offset));
    this.held = Buffer.concat([this.held, fresh]);
    if (this.held.length - this.persisted >= this.stepBytes) {
      this.persisted = this.held.length;
      stream.send({ progress: { received: this.held.length, persisted: this.persisted } });
    }
  }
}

async function run(b: Bench, changes: Partial<AppendRequest> = {}, mostMs?: number): Promise<AppendResult> {
  const done = b.blobs.append(request(changes));
  done.catch(() => undefined);
  return b.clock.until(done, mostMs);
}

const rejected =
  (reason: Reason, text = /./) =>
  (e: unknown) =>
    hasReason(e, reason) && text.test(e.message);

describe("append", () => {
  it("sends one stream: Open, contiguous chunks, Commit; and holds nothing at the end", async () => {
    const b = await bench();
    const driver = new Driver();
    let stream: Stream | undefined;
    b.transport.appends = [
      (s) => {
        stream = s;
        return driver.script()(s);
      },
    ];
    const result = await run(b);
    assert.equal(result.committed?.digest, digest);
    assert.equal(b.budget.heldBytes, 0);
    const open = stream?.received[0]?.open;
    assert.equal(open?.create, true);
    assert.ok(Number(open?.notAfterMs) > b.clock.now() - 1, "Open carries not-after");
    assert.ok(Number(stream?.received.at(-1)?.commit?.notAfterMs) > b.clock.now() - 1, "Commit carries not-after");
    assert.equal(stream?.call.metadata.store, ids.blob);
    assert.equal(stream?.ended, true);
  });

  for (const reason of [
    "STREAM_BROKEN",
    "UNREACHABLE",
    "DRAINING",
    "BACKEND_DOWN",
    "DRIVER_STARTING",
    "STREAM_IDLE",
  ] as const) {
    it(`goes on from persisted when the stream ends with ${reason} after some bytes`, async () => {
      const b = await bench();
      const driver = new Driver();
      let cuts = 0;
      b.transport.appends = [
        driver.script((m, d) => (m.chunk && d.held.length > 250_000 * (cuts + 1) && cuts++ < 3 ? reason : undefined)),
      ];
      assert.equal((await run(b)).committed?.digest, digest);
      assert.equal(cuts > 2, true);
      assert.deepEqual(
        driver.opens.map((open) => open.attempt),
        [1, 2, 3, 4],
      );
      assert.equal(new Set(driver.opens.map((open) => open.sender)).size, 1, "one sender");
      assert.deepEqual(
        driver.opens.map((open) => open.create),
        [true, false, false, false],
        "create only while nothing was acknowledged",
      );
    });
  }

  it("replays from the first byte while nothing was persisted, and still may create", async () => {
    const b = await bench();
    const driver = new Driver();
    driver.stepBytes = Number.POSITIVE_INFINITY;
    let cut = 0;
    b.transport.appends = [
      driver.script((m, d) => (m.chunk && d.held.length > 500_000 && cut++ === 0 ? "STREAM_BROKEN" : undefined)),
    ];
    assert.equal((await run(b)).committed?.digest, digest);
    assert.deepEqual(
      driver.opens.map((open) => open.create),
      [true, true],
    );
  });

  it("an answer to Commit that is lost, and the key is there with that size: done", async () => {
    const b = await bench();
    const driver = new Driver();
    b.transport.appends = [
      driver.script((m, d) => {
        if (!m.commit) return undefined;
        d.committed = true;
        return "STREAM_BROKEN";
      }),
    ];
    b.transport.answers["blob.Stat"] = () => ({ results: [{ key: "k", info }] });
    assert.equal((await run(b)).committed?.info.etag, "e1");
    assert.deepEqual(
      driver.opens.map((open) => open.create),
      [true, false],
    );
  });

  for (const [name, found] of [
    ["another size", { ...info, size: size + 1 }],
    ["another digest", { ...info, digests: [`sha256:${"0".repeat(64)}`] }],
    ["nothing", null],
  ] satisfies [string, typeof info | null][]) {
    it(`an answer to Commit that is lost, and the key holds ${name}: UPLOAD_NOT_FOUND`, async () => {
      const b = await bench();
      const driver = new Driver();
      b.transport.appends = [
        driver.script((m, d) => {
          if (!m.commit) return undefined;
          d.committed = true;
          return "STREAM_BROKEN";
        }),
      ];
      b.transport.answers["blob.Stat"] = () => ({ results: [{ key: "k", info: found }] });
      await assert.rejects(run(b), rejected("UPLOAD_NOT_FOUND"));
      assert.ok(
        driver.opens.slice(1).every((open) => !open.create),
        "never makes an empty upload of a committed one",
      );
    });
  }

  it("an upload that was never acknowledged and is gone after a lost Commit is made and sent again", async () => {
    const b = await bench();
    const driver = new Driver();
    driver.stepBytes = Number.POSITIVE_INFINITY;
    let lost = 0;
    b.transport.appends = [
      driver.script((m, d) => {
        if (!m.commit || lost++ > 0) return undefined;
        // kill -9 before anything was persisted: a driver in memory forgets the upload.
        d.committed = true;
        return "STREAM_BROKEN";
      }),
    ];
    b.transport.answers["blob.Stat"] = () => ({ results: [{ key: "k", info: null }] });
    assert.equal((await run(b)).committed?.digest, digest);
    assert.deepEqual(
      driver.opens.map((open) => open.create),
      [true, false, true],
    );
  });

  it("UPLOAD_NOT_FOUND without a Commit of ours is never looked up", async () => {
    const b = await bench();
    b.transport.appends = [(s) => s.break(error("UPLOAD_NOT_FOUND"))];
    await assert.rejects(run(b, { create: false }), rejected("UPLOAD_NOT_FOUND"));
    assert.equal(b.transport.count("blob.Stat"), 0);
  });

  it("never looks the key up after UPLOAD_FENCED, though its Commit left", async () => {
    const b = await bench();
    const driver = new Driver();
    b.transport.appends = [driver.script((m) => (m.commit ? "UPLOAD_FENCED" : undefined))];
    await assert.rejects(run(b), rejected("UPLOAD_FENCED"));
    assert.equal(b.transport.count("blob.Stat"), 0);
    assert.equal(driver.opens.length, 1);
  });

  it("fenced, reopened, and then its Commit's answer is lost: still never looks the key up", async () => {
    const b = await bench();
    const driver = new Driver();
    let fences = 0;
    b.transport.answers["blob.Stat"] = () => ({ results: [{ key: "k", info }] });
    b.transport.appends = [
      driver.script((m, d) => {
        if (m.chunk && d.held.length > 300_000 && fences++ === 0) return "UPLOAD_FENCED";
        if (!m.commit) return undefined;
        d.committed = true;
        return "STREAM_BROKEN";
      }),
    ];
    await assert.rejects(run(b), rejected("UPLOAD_NOT_FOUND"));
    assert.equal(b.transport.count("blob.Stat"), 0);
  });

  it("fenced while its client still sends: reopens once, a second fence ends it", async () => {
    for (const fences of [1, 2]) {
      const b = await bench();
      const driver = new Driver();
      let fenced = 0;
      b.transport.appends = [
        driver.script((m, d) =>
          m.chunk && d.held.length > 200_000 * (fenced + 1) && fenced < fences && ++fenced
            ? "UPLOAD_FENCED"
            : undefined,
        ),
      ];
      if (fences === 1) assert.equal((await run(b)).committed?.digest, digest);
      else await assert.rejects(run(b), rejected("UPLOAD_FENCED"));
      assert.equal(driver.opens.length, 2);
    }
  });

  it("fenced while its client is silent: waits for it, and gives up in time", async () => {
    const b = await bench();
    const driver = new Driver();
    async function* silent() {
      yield bytes.subarray(0, 300_000);
      await new Promise(() => undefined);
    }
    b.transport.appends = [driver.script((m, d) => (m.chunk && d.held.length > 0 ? "UPLOAD_FENCED" : undefined))];
    await assert.rejects(run(b, { body: silent() }), rejected("UPLOAD_FENCED"));
    assert.equal(driver.opens.length, 1);
  });

  it("a driver that stays away: RESUME_EXHAUSTED after the budget, and no earlier", async () => {
    const b = await bench();
    const driver = new Driver();
    const away: AppendScript = (s) => s.break(error("UNREACHABLE"));
    b.transport.appends = [
      driver.script((m, d) => (m.chunk && d.held.length > 300_000 ? "UNREACHABLE" : undefined)),
      away,
    ];
    const from = b.clock.monotonic();
    await assert.rejects(
      run(b),
      (e) => hasReason(e, "RESUME_EXHAUSTED") && Number(e.metadata["persisted"]) === driver.persisted,
    );
    const spent = b.clock.monotonic() - from;
    assert.ok(spent > 26_000 && spent <= 31_000, `${spent} ms`);
    assert.equal(b.budget.heldBytes, 0);
  });

  it("a driver that answers Open and dies each time, without ever persisting more, is given up", async () => {
    const b = await bench();
    const driver = new Driver();
    driver.stepBytes = Number.POSITIVE_INFINITY;
    b.transport.appends = [driver.script((m, d) => (m.chunk && d.held.length > 0 ? "STREAM_BROKEN" : undefined))];
    await assert.rejects(run(b, {}, 90_000), rejected("RESUME_EXHAUSTED"));
    assert.ok(driver.opens.length < 40, `${driver.opens.length} opens`);
  });

  it("a driver that dies often but gets on is never given up", async () => {
    const b = await bench();
    const driver = new Driver();
    driver.stepBytes = 1;
    let chunks = 0;
    b.transport.appends = [driver.script((m) => (m.chunk && ++chunks % 2 === 0 ? "STREAM_BROKEN" : undefined))];
    const small = source(0, size, 5_000);
    assert.equal((await run(b, { body: small })).committed?.digest, digest);
  });

  it("opened.persisted below what was told: UPLOAD_LOST, and the upload is aborted", async () => {
    const b = await bench();
    const driver = new Driver();
    let cut = 0;
    b.transport.answers["blob.AbortUpload"] = () => ({});
    b.transport.appends = [
      driver.script((m, d) => {
        if (!m.chunk || d.held.length < 500_000 || cut++ > 0) return undefined;
        d.persisted -= 100_000;
        return "STREAM_BROKEN";
      }),
    ];
    await assert.rejects(run(b), rejected("UPLOAD_LOST", /blob.append.19/));
    assert.equal(b.transport.count("blob.AbortUpload"), 1);
  });

  it("progress.persisted that falls: UPLOAD_LOST", async () => {
    const b = await bench();
    b.transport.answers["blob.AbortUpload"] = () => ({});
    b.transport.appends = [
      async (s) => {
        await s.wait(() => s.received.length > 0);
        s.send({ opened: { persisted: 0, fence: 1 } });
        await s.wait(() => s.received.length > 2);
        s.send({ progress: { received: 2_000, persisted: 2_000 } });
        s.send({ progress: { received: 2_000, persisted: 1_000 } });
      },
    ];
    await assert.rejects(run(b), rejected("UPLOAD_LOST"));
  });

  it("an offset above what the driver holds: OFFSET_MISMATCH with persisted", async () => {
    const b = await bench();
    const driver = new Driver();
    driver.held = Buffer.from(bytes.subarray(0, 100));
    driver.persisted = 100;
    b.transport.appends = [driver.script()];
    await assert.rejects(
      run(b, { create: false, offsetBytes: 200, body: source(200) }),
      (e) => hasReason(e, "OFFSET_MISMATCH") && e.metadata["persisted"] === "100",
    );
  });

  it("an offset below what the driver holds: what it has is skipped", async () => {
    const b = await bench();
    const driver = new Driver();
    driver.held = Buffer.from(bytes.subarray(0, 333_333));
    driver.persisted = 333_333;
    b.transport.appends = [
      driver.script((m) => {
        assert.ok(!m.chunk || Number(m.chunk.offset) >= 333_333, "nothing is sent twice");
        return undefined;
      }),
    ];
    assert.equal(
      (await run(b, { create: false, offsetBytes: 100_000, body: source(100_000) })).committed?.digest,
      digest,
    );
  });

  it("without commit: persisted is all, else the rule is named", async () => {
    const b = await bench();
    const driver = new Driver();
    b.transport.appends = [driver.script()];
    const { commit: _, ...rest } = request();
    const done = b.blobs.append(rest);
    assert.deepEqual(await b.clock.until(done), { persistedBytes: size });

    b.transport.appends = [
      async (s) => {
        await s.wait(() => s.received.length > 0);
        s.send({ opened: { persisted: 0, fence: 1 } });
        await s.wait(() => s.ended);
        s.finish();
      },
    ];
    const again = b.blobs.append({ ...rest, uploadId: "v", body: source() });
    again.catch(() => undefined);
    await assert.rejects(b.clock.until(again), rejected("PROTOCOL_VIOLATION", /blob.append.10/));
  });

  it("a source that fails: half-close, what was received is persisted, its own error is rethrown", async () => {
    const b = await bench();
    const driver = new Driver();
    driver.stepBytes = Number.POSITIVE_INFINITY;
    b.transport.appends = [driver.script()];
    const gone = new Error("client gone");
    async function* broken() {
      yield* source(0, 300_000);
      throw gone;
    }
    await assert.rejects(run(b, { body: broken() }), (e) => e === gone);
    assert.equal(driver.persisted, 300_000);
    assert.equal(driver.committed, false);
  });

  it("a source that fails while the driver hangs: its error within 5 s", async () => {
    const b = await bench();
    b.transport.appends = [() => undefined];
    const gone = new Error("client gone");
    async function* broken() {
      yield bytes.subarray(0, 10);
      throw gone;
    }
    const from = b.clock.monotonic();
    await assert.rejects(run(b, { body: broken() }), (e) => e === gone);
    assert.ok(b.clock.monotonic() - from <= 6_000);
  });

  it("an aborted signal persists what was received and rejects with its reason", async () => {
    const b = await bench();
    const driver = new Driver();
    driver.stepBytes = Number.POSITIVE_INFINITY;
    b.transport.appends = [driver.script()];
    const ending = new AbortController();
    async function* endless() {
      yield bytes.subarray(0, 100_000);
      await new Promise(() => undefined);
    }
    const done = b.blobs.append(request({ body: endless() }), { signal: ending.signal });
    done.catch(() => undefined);
    await b.clock.advance(100);
    ending.abort(new Error("stop"));
    await assert.rejects(b.clock.until(done), /stop/);
    assert.equal(driver.persisted, 100_000);
  });

  it("a driver that is stopped in the middle: an error within 35 s, and the breaker is open", async () => {
    const b = await bench();
    const driver = new Driver();
    b.transport.healthy = error("TIMED_OUT");
    b.transport.appends = [driver.script((m, d) => (m.chunk && d.held.length > 300_000 ? "hang" : undefined))];
    const from = b.clock.monotonic();
    await assert.rejects(run(b), rejected("RESUME_EXHAUSTED"));
    const spent = b.clock.monotonic() - from;
    assert.ok(spent >= 29_000 && spent <= 35_000, `${spent} ms`);
    const next = b.blobs.append(request({ uploadId: "w" }));
    next.catch(() => undefined);
    await settle();
    await assert.rejects(next, rejected("BREAKER_OPEN"));
  });

  it("a client that pauses for minutes owes nobody: the stream stays", async () => {
    const b = await bench();
    const driver = new Driver();
    let go: () => void = () => undefined;
    const pause = new Promise<void>((resolve) => {
      go = resolve;
    });
    async function* slow() {
      yield bytes.subarray(0, 100_000);
      await pause;
      yield* source(100_000);
    }
    b.transport.appends = [driver.script()];
    const done = b.blobs.append(request({ body: slow() }));
    await b.clock.advance(300_000);
    go();
    assert.equal((await b.clock.until(done)).committed?.digest, digest);
    assert.equal(driver.opens.length, 1);
  });

  it("a commit at work says progress: it may take minutes; silent, 30 s", async () => {
    for (const speaks of [true, false]) {
      const b = await bench();
      const driver = new Driver();
      b.transport.answers["blob.Stat"] = () => ({ results: [{ key: "k", info: null }] });
      let commits = 0;
      b.transport.appends = [
        driver.script((m, d, s) => {
          if (!m.commit || commits++ > 0) return undefined;
          if (!speaks) return "hang";
          const say = (left: number) => {
            if (left === 0) {
              s.send({ committed: { info, digest } });
              return s.finish();
            }
            s.send({ progress: { received: size, persisted: size } });
            b.clock.after(5_000, () => say(left - 1));
          };
          d.persisted = size;
          say(24);
          return "hang";
        }),
      ];
      const from = b.clock.monotonic();
      const done = run(b, {}, 200_000);
      if (speaks) {
        assert.equal((await done).committed?.digest, digest);
        assert.ok(b.clock.monotonic() - from >= 120_000);
      } else {
        await assert.rejects(done, rejected("RESUME_EXHAUSTED"));
        assert.ok(b.clock.monotonic() - from <= 35_000);
      }
    }
  });

  for (const [rule, script] of Object.entries<(s: Stream) => void>({
    "blob.append.02": (s) => s.send({ progress: { received: 0, persisted: 0 } }),
    "blob.append.08": (s) => {
      s.send({ opened: { persisted: 0, fence: 1 } });
      s.send({ progress: { received: 10 ** 9, persisted: 0 } });
    },
    "blob.append.09": (s) => {
      s.send({ opened: { persisted: 0, fence: 1 } });
      s.send({ progress: { received: 0, persisted: 1 } });
    },
    "blob.append.11": (s) => {
      s.send({ opened: { persisted: 0, fence: 1 } });
      s.send({ committed: { info, digest } });
    },
  })) {
    it(`a driver that breaks ${rule} is told so`, async () => {
      const b = await bench();
      b.transport.appends = [
        async (s) => {
          await s.wait(() => s.received.length > 0);
          script(s);
        },
      ];
      await assert.rejects(run(b), rejected("PROTOCOL_VIOLATION", new RegExp(rule.replaceAll(".", "\\."))));
    });
  }

  for (const [what, answer] of Object.entries({
    "another key": { info: { ...info, key: "other" }, digest },
    "another size": { info: { ...info, size: size - 1 }, digest },
    "another digest": { info, digest: `sha256:${"1".repeat(64)}` },
    "a size past 2^53": { info: { ...info, size: 2 ** 53 }, digest },
  })) {
    it(`a commit answered with ${what} is not believed`, async () => {
      const b = await bench();
      const driver = new Driver();
      b.transport.appends = [
        driver.script((m, _, s) => {
          if (!m.commit) return undefined;
          s.send({ committed: answer });
          s.finish();
          return "hang";
        }),
      ];
      await assert.rejects(run(b), rejected("PROTOCOL_VIOLATION"));
    });
  }

  it("32 uploads that fill the budget below every persist_step all finish", async () => {
    const b = await bench({ budgetBytes: 8 * 1024 * 1024, prepare: (t) => (t.describes = { persistStep: 2 ** 40 }) });
    let most = 0;
    let flushes = 0;
    b.transport.appends = [
      (s) => {
        const driver = new Driver();
        driver.stepBytes = Number.POSITIVE_INFINITY;
        return driver.script((m) => {
          most = Math.max(most, b.budget.heldBytes);
          if (m.flush) flushes++;
          return undefined;
        })(s);
      },
    ];
    const all = Promise.all(
      Array.from({ length: 32 }, (_, i) => b.blobs.append(request({ uploadId: `u-${i}`, body: source() }))),
    );
    const results = await b.clock.until(all);
    assert.equal(results.filter((one) => one.committed?.digest === digest).length, 32);
    assert.ok(flushes > 0);
    assert.ok(most <= 8 * 1024 * 1024 + 32 * 60_000, `${most} bytes held`);
    assert.ok(most >= 7 * 1024 * 1024, "the budget was full");
    assert.equal(b.budget.heldBytes, 0);
  });

  it("uploads of a driver that is away hold their share and do not keep the others from going on", async () => {
    const b = await bench({ budgetBytes: 2 * 1024 * 1024, prepare: (t) => (t.describes = { persistStep: 2 ** 40 }) });
    const dead: AppendScript = async (s) => {
      const driver = new Driver();
      driver.stepBytes = Number.POSITIVE_INFINITY;
      await driver.script((m, d) => (m.chunk && d.held.length > 500_000 ? "hang" : undefined))(s);
    };
    const live: AppendScript = (s) => {
      const driver = new Driver();
      driver.stepBytes = Number.POSITIVE_INFINITY;
      return driver.script()(s);
    };
    b.transport.appends = [dead, live];
    const stuck = b.blobs.append(request({ uploadId: "stuck" }));
    stuck.catch(() => undefined);
    await settle();
    const others = Promise.all(
      Array.from({ length: 5 }, (_, i) => b.blobs.append(request({ uploadId: `u-${i}`, body: source() }))),
    );
    assert.equal((await b.clock.until(others, 20_000)).length, 5);
    b.transport.appends = [(s) => s.break(error("INTERNAL"))];
    await assert.rejects(b.clock.until(stuck));
  });

  it("one large body holds no more than a chunk or two beyond persist_step", async () => {
    const b = await bench();
    const driver = new Driver();
    let most = 0;
    b.transport.appends = [
      driver.script(() => {
        most = Math.max(most, b.budget.heldBytes);
        return undefined;
      }),
    ];
    await run(b);
    assert.ok(most <= 200_000 + 512 * 1024 + 300_000, `${most} bytes held`);
  });
});
