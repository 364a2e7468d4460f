/** What the store does when Cloud Storage throttles, fails, answers late or not at all, and what it never does. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { openGcsStore } from "../../../drivers/gcs/open.ts";
import { systemClock } from "../../../proto/clock.ts";
import { hasReason, OutriggerError, type Reason } from "../../../proto/errors.ts";
import type { ObjectStore, PartFacts, RequestHow } from "../../../server/objects/contract.ts";
import { HttpFaults } from "../../helpers/http-faults.ts";
import { Scope } from "../../helpers/processes.ts";
import { missing } from "../../helpers/tools.ts";
import { type Conditions, problem, startConditions } from "./conditions.ts";
import { optionsFor, startServer } from "./gcs.ts";

const MIB = 1024 * 1024;
const INSERT = { method: "POST", path: /^\/upload\// };
const COMPOSE = { method: "POST", path: /\/compose\?/ };
const REWRITE = { method: "POST", path: /\/rewriteTo\// };
const DELETE = { method: "DELETE" };
const MEDIA = { method: "GET", path: /alt=media/ };
const LIST = { method: "GET", path: /\/o\?/ };

const tooFast = problem(429, "rateLimitExceeded", "The object exceeded the rate limit for object mutation operations.");
const unavailable = problem(503, "backendError", "We encountered an internal error. Please try again.");
const broken = problem(500, "internalError", "We encountered an internal error. Please try again.");

describe("the gcs store, when the service does not do what was asked", {
  skip: missing("fake-gcs-server", "gcs-sdk"),
}, () => {
  const scope = new Scope();
  let conditions: Conditions;
  let faults: HttpFaults;
  let store: ObjectStore;
  /** With nothing between it and the server. */
  let plain: ObjectStore;
  let names = 0;
  const fresh = () => `k${names++}/x`;

  before(async () => {
    const server = await startServer(scope);
    conditions = await startConditions(scope, server.address);
    faults = await HttpFaults.start(scope, conditions.address);
    const context = { clock: systemClock, signal: AbortSignal.timeout(30_000) };
    ({ store } = await openGcsStore(optionsFor(faults.address), context, { idleMs: 1000 }));
    ({ store: plain } = await openGcsStore(optionsFor(server.address), context));
    scope.defer(async () => {
      await store.close();
      await plain.close();
    });
  });
  afterEach(() => {
    faults.clear();
    conditions.rewriteSteps = 0;
  });
  after(scope.close);

  const sent = (match: { readonly method?: string; readonly path?: RegExp }, since: number) =>
    faults.seen
      .slice(since)
      .filter(({ method, path }) => method === (match.method ?? method) && (match.path?.test(path) ?? true)).length;

  describe("throttling", () => {
    it("is waited out, also by requests with a condition: they had no effect", async () => {
      faults.add({ ...INSERT, times: 2 }, { answer: tooFast });
      const put = await store.put(fresh(), bytes(10), { condition: { ifAbsent: true } }, how());
      assert.equal(put.sizeBytes, 10);
      faults.add({ ...MEDIA, times: 2 }, { answer: unavailable });
      assert.equal((await readAll(store, put.name)).length, 10);
    });

    it("that does not end is told, with the time to wait", async () => {
      const headers = { ...tooFast.headers, "retry-after": "2" };
      faults.add({ ...INSERT, times: 1 }, { answer: { ...tooFast, headers } });
      faults.add({ ...INSERT, times: 4 }, { answer: tooFast });
      const error = await rejects(store.put(fresh(), bytes(10), {}, how()), "THROTTLED");
      assert.equal(error.retryAfterMs, 2000);
      assert.match(error.message, /bucket blobs asks for a slower pace/);
    });

    it("is not waited out past not-after", async () => {
      const since = faults.seen.length;
      faults.add(INSERT, { answer: tooFast });
      let calls = 0;
      const late: RequestHow = {
        signal: AbortSignal.timeout(30_000),
        assertInTime() {
          if (++calls > 1) throw new OutriggerError("TOO_LATE", "too late");
        },
      };
      await rejects(store.put(fresh(), bytes(10), {}, late), "TOO_LATE");
      assert.equal(sent(INSERT, since), 1);
    });

    it("ends with the call", async () => {
      faults.add(MEDIA, { answer: unavailable });
      const gone = new AbortController();
      const reading = store.read(fresh(), { offsetBytes: 0 }, gone.signal);
      gone.abort(new Error("the caller is gone"));
      await assert.rejects(reading, /the caller is gone/);
    });
  });

  describe("an answer that is lost", () => {
    for (const [what, condition] of [
      ["without a condition", {}],
      ["with a condition", { condition: { ifAbsent: true } as const }],
    ] as const) {
      it(`makes a put ${what} unknown, and it is not sent again`, async () => {
        const name = fresh();
        const since = faults.seen.length;
        faults.add({ ...INSERT, times: 1 }, "cut-after");
        await rejects(store.put(name, bytes(10), condition, how()), "BACKEND_DOWN");
        assert.equal(sent(INSERT, since), 1);
        assert.equal((await store.head(name, signal()))?.sizeBytes, 10);
        faults.add({ ...INSERT, times: 1 }, { answerAfter: unavailable });
        await rejects(store.put(fresh(), bytes(10), condition, how()), "BACKEND_DOWN");
        assert.equal(sent(INSERT, since), 2);
      });
    }

    it("does not matter to a part: the same bytes are found there", async () => {
      const ref = await store.parts.begin("p", how());
      faults.add({ ...INSERT, times: 1 }, "cut-after");
      faults.add({ ...INSERT, skip: 1, times: 1 }, { answerAfter: broken });
      const part = await store.parts.put("p", ref, 1, [bytes(1000), bytes(7)], how());
      assert.equal(part.sizeBytes, 1007);
      assert.deepEqual(await store.parts.list("p", ref, signal()), [part]);
      await rejects(store.parts.put("p", ref, 1, [bytes(1000, 5), bytes(7)], how()), "BACKEND_DOWN");
      await store.parts.abandon("p", ref, how());
    });

    it("does not matter to a deletion", async () => {
      const { name } = await store.put(fresh(), bytes(10), {}, how());
      faults.add({ ...DELETE, times: 1 }, "cut-after");
      await store.delete(name, undefined, how());
      assert.equal(await store.head(name, signal()), undefined);
    });

    it("of a composition is found out by asking again", async () => {
      const name = fresh();
      const { ref, parts } = await stage(name, 3);
      const since = faults.seen.length;
      faults.add({ ...COMPOSE, times: 1 }, "cut-after");
      const complete = () => store.parts.complete(name, ref, parts, { condition: { ifAbsent: true } }, how());
      await rejects(complete(), "BACKEND_DOWN");
      assert.equal(sent(COMPOSE, since), 1);
      await rejects(complete(), "UPLOAD_NOT_FOUND");
      assert.equal((await store.head(name, signal()))?.sizeBytes, 3000);
      assert.deepEqual(await store.parts.list(name, ref, signal()), [], "its parts are taken away then");
    });
  });

  describe("a request that arrives late", () => {
    it("deletes nothing that is newer than the call", async () => {
      const { name } = await store.put(fresh(), bytes(10), {}, how());
      let arrive = () => {};
      const hold = new Promise<void>((resolve) => {
        arrive = resolve;
      });
      const held = faults.add({ ...DELETE, times: 1 }, { hold, of: "request" });
      const gone = new AbortController();
      const deleting = store.delete(name, undefined, { signal: gone.signal, assertInTime() {} });
      await held.reached(1);
      gone.abort(new Error("the driver was killed"));
      await assert.rejects(deleting, /killed/);
      const newer = await store.put(name, bytes(20), {}, how());
      const before = conditions.counts.get("delete") ?? 0;
      arrive();
      while ((conditions.counts.get("delete") ?? 0) === before) await new Promise((resolve) => setTimeout(resolve, 5));
      await store.delete("something/else", undefined, how());
      assert.deepEqual(await store.head(name, signal()), newer);
    });

    it("composes nothing over what is newer, also where no condition was asked", async () => {
      const name = fresh();
      const { ref, parts } = await stage(name, 2);
      let arrive = () => {};
      const hold = new Promise<void>((resolve) => {
        arrive = resolve;
      });
      const held = faults.add({ ...COMPOSE, times: 1 }, { hold, of: "request" });
      const gone = new AbortController();
      const completing = store.parts.complete(name, ref, parts, {}, { signal: gone.signal, assertInTime() {} });
      await held.reached(1);
      gone.abort(new Error("the driver was killed"));
      await assert.rejects(completing, /killed/);
      const newer = await store.put(name, bytes(20), {}, how());
      const before = conditions.counts.get("compose") ?? 0;
      arrive();
      while ((conditions.counts.get("compose") ?? 0) === before) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.deepEqual(await store.head(name, signal()), newer);
      await store.parts.abandon(name, ref, how());
    });
  });

  describe("compositions", () => {
    it("of more than 32 parts go on where an earlier one was cut off", async () => {
      const name = fresh();
      const { ref, parts } = await stage(name, 70, 100);
      const gone = new AbortController();
      const cut = faults.add({ ...COMPOSE, skip: 2, times: 1 }, "cut-before");
      void cut.reached(1).then(() => gone.abort(new Error("the driver was killed")));
      const killed: RequestHow = { signal: gone.signal, assertInTime() {} };
      await assert.rejects(store.parts.complete(name, ref, parts, {}, killed));
      faults.add({ ...COMPOSE, times: 1 }, "cut-after");
      const since = faults.seen.length;
      const made = await store.parts.complete(name, ref, parts, {}, how());
      assert.equal(made.sizeBytes, 7000);
      const due = Buffer.concat(Array.from({ length: 70 }, (_, at) => bytes(100, at)));
      assert.ok((await readAll(store, name)).equals(due));
      // Each intermediate name is written while it is absent: what was there was looked at, not made again.
      assert.equal(sent(LIST, since), 1);
      assert.deepEqual(
        (await store.list({ prefix: "!outrigger/parts/", startAfter: "", limit: 9 }, signal())).items,
        [],
      );
    });

    it("put together three levels of parts", async () => {
      const name = fresh();
      const { ref, parts } = await stage(name, 1025, 3, plain);
      const made = await plain.parts.complete(name, ref, parts, { condition: { ifAbsent: true } }, how());
      assert.equal(made.sizeBytes, 3075);
      const due = Buffer.concat(Array.from({ length: 1025 }, (_, at) => bytes(3, at)));
      assert.ok((await readAll(plain, name)).equals(due));
    });

    it("never take a part that was written again", async () => {
      const name = fresh();
      const { ref, parts } = await stage(name, 2);
      const other = parts.map((part) => ({ ...part, etag: "12345" }));
      await rejects(store.parts.complete(name, ref, other, {}, how()), "UPLOAD_NOT_FOUND");
      assert.equal(await store.head(name, signal()), undefined);
      await store.parts.abandon(name, ref, how());
    });
  });

  describe("parts that are left when they were put together already", () => {
    it("are none, whoever was killed while it took them away", async () => {
      const name = fresh();
      const { ref, parts } = await stage(name, 3);
      const made = await store.parts.complete(name, ref, parts, {}, how());
      const left = await store.parts.put(name, ref, 2, [bytes(1000, 1)], how());
      assert.deepEqual(await store.parts.list(name, ref, signal()), []);
      await rejects(store.parts.complete(name, ref, [left], {}, how()), "UPLOAD_NOT_FOUND");
      assert.deepEqual(await store.head(name, signal()), made);
    });

    it("are none for who asks while another replica takes them away", async () => {
      const name = fresh();
      const { ref, parts } = await stage(name, 3);
      let go = () => {};
      const hold = new Promise<void>((resolve) => {
        go = resolve;
      });
      const rule = faults.add({ ...LIST, times: 1 }, { hold, of: "request" });
      const listed = store.parts.list(name, ref, signal());
      await rule.reached(1);
      await store.parts.complete(name, ref, parts, {}, how());
      await store.parts.put(name, ref, 2, [bytes(1000, 1)], how());
      go();
      assert.deepEqual(await listed, []);
    });

    it("are all there where their name holds something else", async () => {
      const name = fresh();
      await store.put(name, bytes(10), {}, how());
      const { ref, parts } = await stage(name, 3);
      assert.deepEqual(await store.parts.list(name, ref, signal()), parts);
    });
  });

  describe("copies of several steps", () => {
    it("show the destination with the last one", async () => {
      conditions.rewriteSteps = 3;
      const source = await store.put(fresh(), bytes(1000), {}, how());
      const to = fresh();
      const since = faults.seen.length;
      const step = faults.add({ ...REWRITE, skip: 3, times: 1 }, "cut-before");
      await rejects(store.copy(source, to, {}, how()), "BACKEND_DOWN");
      await step.reached(1);
      assert.equal(await store.head(to, signal()), undefined);
      const made = await store.copy(source, to, {}, how());
      assert.deepEqual(await store.head(to, signal()), made);
      assert.equal(sent(REWRITE, since), 8);
    });

    it("keep their condition to the end, which the SDK's own do not", async () => {
      conditions.rewriteSteps = 2;
      const source = await store.put(fresh(), bytes(1000), {}, how());
      const to = fresh();
      let arrive = () => {};
      const hold = new Promise<void>((resolve) => {
        arrive = resolve;
      });
      const held = faults.add({ ...REWRITE, skip: 2, times: 1 }, { hold, of: "request" });
      const copying = store.copy(source, to, { condition: { ifAbsent: true } }, how());
      await held.reached(1);
      const other = await store.put(to, bytes(5), {}, how());
      arrive();
      await rejects(copying, "KEY_EXISTS");
      assert.deepEqual(await store.head(to, signal()), other);
    });
  });

  describe("reads", () => {
    it("that break off say so, and give nothing that is not there", async () => {
      const { name } = await store.put(fresh(), bytes(2 * MIB), {}, how());
      faults.add({ ...MEDIA, times: 1 }, { cutAnswerAtBytes: 100_000 });
      const read = await store.read(name, { offsetBytes: 0 }, signal());
      let got = 0;
      const error = await assert.rejects(async () => {
        for await (const piece of read.body) got += piece.length;
      }, isReason("BACKEND_DOWN"));
      assert.equal(error, undefined);
      assert.ok(got <= 100_000);
    });

    it("of damaged bytes are not given whole", async () => {
      const data = bytes(300_000);
      const { name } = await store.put(fresh(), data, {}, how());
      faults.add(
        { ...MEDIA, times: 1 },
        {
          rewrite: (answer) => {
            answer.body[150_000] = (answer.body[150_000] ?? 0) ^ 1;
            return answer;
          },
        },
      );
      const read = await store.read(name, { offsetBytes: 0 }, signal());
      let got = 0;
      await assert.rejects(async () => {
        for await (const piece of read.body) got += piece.length;
      }, isReason("STORED_CORRUPT"));
      assert.ok(got < data.length, `${got} bytes`);
    });

    it("wait for a slow server only so long, and for a slow reader as long as he takes", async () => {
      const { name } = await store.put(fresh(), bytes(3 * MIB), {}, how());
      const slow = await store.read(name, { offsetBytes: 0 }, signal());
      let got = 0;
      for await (const piece of slow.body) {
        if (got === 0) await new Promise((resolve) => setTimeout(resolve, 1500));
        got += piece.length;
      }
      assert.equal(got, 3 * MIB);
      let end = () => {};
      const hold = new Promise<void>((resolve) => {
        end = resolve;
      });
      faults.add(MEDIA, { hold, of: "answer" });
      const error = await rejects(store.read(name, { offsetBytes: 0 }, AbortSignal.timeout(30_000)), "BACKEND_DOWN");
      assert.match(error.message, /nothing came for 1 s/);
      end();
    });
  });

  it("sends damaged bytes to nobody's harm: the service holds them against their CRC32C", async () => {
    const since = faults.seen.length;
    faults.add(
      { ...INSERT, times: 1 },
      {
        answer: problem(400, "invalid", 'Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "BBBBBB==".'),
      },
    );
    await rejects(store.put(fresh(), bytes(10), {}, how()), "BACKEND_DOWN");
    assert.equal(sent(INSERT, since), 1);
  });

  it("passes over a page of a listing that comes twice", async () => {
    const folder = fresh();
    for (const name of ["a", "b", "c"]) await store.put(`${folder}/${name}`, bytes(1), {}, how());
    let first: Buffer | undefined;
    faults.add(LIST, {
      rewrite: (answer) => {
        first ??= answer.body;
        return { ...answer, body: first };
      },
    });
    const page = await store.list({ prefix: folder, startAfter: "", limit: 2 }, signal());
    assert.deepEqual(
      page.items.map(({ name }) => name.at(-1)),
      ["a", "b"],
    );
    const next = store.list({ prefix: folder, startAfter: `${folder}/c`, limit: 2 }, signal());
    await next.then(
      ({ items }) => assert.deepEqual(items, []),
      (error) => assert.ok(hasReason(error, "BACKEND_DOWN")),
    );
  });

  async function stage(
    name: string,
    count: number,
    sizeBytes = 1000,
    to = store,
  ): Promise<{ ref: string; parts: PartFacts[] }> {
    const ref = await store.parts.begin(name, how());
    const parts: PartFacts[] = [];
    const numbers = Array.from({ length: count }, (_, at) => at);
    const worker = async () => {
      for (let at = numbers.shift(); at !== undefined; at = numbers.shift()) {
        parts[at] = await to.parts.put(name, ref, at + 1, [bytes(sizeBytes, at)], how());
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    return { ref, parts };
  }
});

const signal = () => AbortSignal.timeout(30_000);

function how(): RequestHow {
  return { signal: signal(), assertInTime() {} };
}

function bytes(length: number, seed = 1): Buffer {
  return Buffer.alloc(length, `${seed}:${length};`);
}

function isReason(reason: Reason): (error: unknown) => boolean {
  return (error) => {
    assert.ok(hasReason(error, reason), `${reason} was due, and this came: ${error}`);
    return true;
  };
}

async function rejects(promise: Promise<unknown>, reason: Reason): Promise<OutriggerError> {
  const error = await promise.then(
    () => assert.fail(`${reason} was due, and it went well`),
    (error: unknown) => error,
  );
  assert.ok(hasReason(error, reason), `${reason} was due, and this came: ${error}`);
  return error;
}

async function readAll(store: ObjectStore, name: string): Promise<Buffer> {
  const { body } = await store.read(name, { offsetBytes: 0 }, signal());
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}
