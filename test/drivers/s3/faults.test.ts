/** The S3 store where the server throttles, fails, answers late or not at all, or says a page twice. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import type { ObjectFacts, ObjectStore, RequestHow } from "../../../server/objects/contract.ts";
import { type HttpAnswer, type HttpFault, HttpFaults } from "../../helpers/http-faults.ts";
import { bytes } from "../../helpers/object-store-suite.ts";
import { Scope } from "../../helpers/processes.ts";
import { type S3Server, startS3Server } from "../../helpers/s3-server.ts";
import { missing } from "../../helpers/tools.ts";
import { failing, how, refusal, signal, storeOf, useCredentials } from "./in-process.ts";
import { bucketOf } from "./s3.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const ifAbsent = { condition: { ifAbsent: true } as const };

describe("the S3 store", { skip: missing("versitygw", "s3-sdk") }, () => {
  const scope = new Scope();
  let server: S3Server;
  let faults: HttpFaults;
  let store: ObjectStore;
  let sent = 0;
  /** Counts how often each request is sent. */
  const counted = (): RequestHow => ({
    signal: signal(),
    assertInTime() {
      sent++;
    },
  });

  before(async () => {
    useCredentials();
    server = await startS3Server(scope);
    faults = await HttpFaults.start(scope, server.address);
    store = await storeOf(bucketOf(server).bucket, `http://${faults.address}`);
    scope.defer(() => store.close());
  });
  afterEach(() => {
    faults.clear();
    sent = 0;
  });
  after(scope.close);

  describe("whose server throttles", () => {
    for (const answer of [refusal(503, "SlowDown"), refusal(429, "TooManyRequests")]) {
      const name = `${answer.status}${answer.body === undefined ? "" : ` ${/<Code>(\w+)/.exec(String(answer.body))?.[1]}`}`;

      it(`reads again, more slowly (${name})`, async () => {
        const key = `throttled/${name}`;
        const put = await store.put(key, bytes(1000, 1), {}, how());
        const rule = faults.add({ times: 2 }, { answer });
        assert.equal((await store.head(key, signal()))?.etag, put.etag);
        assert.equal(rule.struck, 2);
      });

      it(`tells the caller of a write with a condition how long to wait, and sends it once (${name})`, async () => {
        faults.add({}, { answer: { ...answer, headers: { ...answer.headers, "retry-after": "3" } } });
        const refused = await failing(store.put("throttled/put", bytes(1, 1), ifAbsent, counted()), "THROTTLED");
        assert.deepEqual([refused.retryAfterMs, sent], [3000, 1]);
        faults.clear();
        faults.add({}, { answer });
        const again = await failing(store.put("throttled/put", bytes(1, 1), ifAbsent, how()), "THROTTLED");
        assert.equal(again.retryAfterMs, 1000);
        faults.clear();
        assert.equal(await store.head("throttled/put", signal()), undefined);
      });
    }

    for (const answer of [{ status: 503 }, refusal(503, "ServiceUnavailable"), { status: 503, body: "<h1>no</h1>" }]) {
      it(`takes no other 503 for a promise that nothing was done (${answer.body ?? "no body"})`, async () => {
        const key = `unavailable/${answer.body?.length ?? 0}`;
        const late = { ...answer, headers: { "retry-after": "3" } };
        faults.add({ method: "PUT", times: 1 }, { answerAfter: late });
        const refused = await failing(store.put(key, bytes(10, 1), ifAbsent, counted()), "BACKEND_DOWN");
        assert.deepEqual([refused.retryAfterMs, sent], [3000, 1]);
        assert.match(refused.message, /answers 503/);
        assert.equal((await store.head(key, signal()))?.sizeBytes, 10);
        const rule = faults.add({ times: 2 }, { answer });
        assert.equal((await store.head(key, signal()))?.sizeBytes, 10);
        assert.equal(rule.struck, 2);
      });
    }

    it("gives up in the end, and says so", { timeout: 60_000 }, async () => {
      const rule = faults.add({ method: "HEAD" }, { answer: refusal(503, "SlowDown") });
      await failing(store.head("x", signal()), "THROTTLED");
      assert.ok(rule.struck > 2 && rule.struck < 10, `${rule.struck} times`);
    });

    it("is healthy again once it does not", async () => {
      const rule = faults.add({}, { answer: refusal(503, "SlowDown") });
      await failing(store.check(signal()), "THROTTLED");
      rule.remove();
      await store.check(signal());
    });
  });

  describe("whose answers are lost after the work was done", () => {
    const failed: HttpFault = { answerAfter: refusal(500, "InternalError") };
    for (const [name, fault] of [
      ["cut", "cut-after"],
      ["500", failed],
    ] as const) {
      it(`sends a part again, which is one part (${name})`, async () => {
        const at = `lost/parts/${name}`;
        const ref = await store.parts.begin(at, how());
        const rule = faults.add({ method: "PUT", path: /partNumber=/, times: 2 }, fault);
        const part = await store.parts.put(at, ref, 1, [bytes(MIB, 1)], how());
        assert.equal(rule.struck, 2);
        assert.deepEqual(await store.parts.list(at, ref, signal()), [part]);
      });

      it(`repeats no write with a condition, and finds what became of it (${name})`, async () => {
        const key = `lost/${name}`;
        const rule = faults.add({ method: "PUT", times: 1 }, fault);
        await failing(store.put(key, bytes(10, 1), ifAbsent, counted()), "BACKEND_DOWN");
        assert.deepEqual([rule.struck, sent], [1, 1]);
        assert.equal((await store.head(key, signal()))?.sizeBytes, 10);
      });

      it(`deletes again, which is one deletion (${name})`, async () => {
        const { name: key } = await store.put(`lost/deleted/${name}`, bytes(10, 1), {}, how());
        const rule = faults.add({ method: "DELETE", times: 1 }, fault);
        await store.delete(key, undefined, how());
        assert.equal(rule.struck, 1);
        assert.equal(await store.head(key, signal()), undefined);
      });

      it(`completes once (${name})`, async () => {
        const { at, ref, part } = await onePart(`lost/complete/${name}`);
        faults.add({ method: "POST", path: /uploadId=/, times: 1 }, fault);
        await failing(store.parts.complete(at, ref, [part], ifAbsent, counted()), "BACKEND_DOWN");
        assert.equal(sent, 1);
        assert.equal((await store.head(at, signal()))?.sizeBytes, part.sizeBytes);
      });

      it(`copies once where there is a condition (${name})`, async () => {
        const compares = await storeOf(bucketOf(server).bucket, `http://${faults.address}`, [], {
          copyCompares: true,
          deleteCompares: true,
        });
        const source = await compares.put("source", bytes(1000, 1), {}, how());
        faults.add({ method: "PUT", headers: { "x-amz-copy-source": /./ }, times: 1 }, fault);
        const digest = `sha256:${"1".repeat(64)}`;
        await failing(compares.copy(source, "copy", { ...ifAbsent, digest }, counted()), "BACKEND_DOWN");
        assert.equal(sent, 1);
        assert.deepEqual((await compares.head("copy", signal()))?.digests, [digest]);
        await compares.close();
      });
    }

    async function onePart(at: string) {
      const ref = await store.parts.begin(at, how());
      return { at, ref, part: await store.parts.put(at, ref, 1, [bytes(100 * KIB, 1)], how()) };
    }

    it("takes a 200 that holds an error for one", async () => {
      // S3 begins its answer before it is done with the work.
      const late = { ...refusal(200, "InternalError"), status: 200 };
      const { at, ref, part } = await onePart("late/complete");
      faults.add({ method: "POST", path: /uploadId=/, times: 1 }, { answer: late });
      await failing(store.parts.complete(at, ref, [part], ifAbsent, counted()), "BACKEND_DOWN");
      assert.equal(sent, 1);
      assert.equal(await store.head(at, signal()), undefined);
      await store.parts.complete(at, ref, [part], ifAbsent, how());
      const source = await store.put("late/source", bytes(1000, 1), {}, how());
      const rule = faults.add({ method: "PUT", headers: { "x-amz-copy-source": /./ }, times: 1 }, { answer: late });
      await store.copy(source, "late/copy", {}, how());
      assert.equal(rule.struck, 1);
      assert.equal((await store.head("late/copy", signal()))?.sizeBytes, 1000);
    });

    it("sends nothing again past the call's time", async () => {
      const ref = await store.parts.begin("late/part", how());
      const rule = faults.add({ method: "PUT" }, { answer: refusal(503, "SlowDown") });
      const late: RequestHow = {
        signal: signal(),
        assertInTime() {
          if (++sent > 1) throw new RangeError("too late");
        },
      };
      await assert.rejects(store.parts.put("late/part", ref, 1, [bytes(10, 1)], late), RangeError);
      assert.equal(rule.struck, 1);
    });

    it("asks again where a server with folders takes a folder away at the same moment", async () => {
      const answer = refusal(409, "ExistingObjectIsDirectory");
      const rule = faults.add({ method: "PUT", times: 2 }, { answer });
      await store.put("folders/key", bytes(10, 1), ifAbsent, counted());
      assert.deepEqual([rule.struck, sent], [2, 3]);
      assert.equal((await store.head("folders/key", signal()))?.sizeBytes, 10);
    });

    it("says that keys lie below one another where a server with folders stays with that", async () => {
      faults.add({ method: "PUT" }, { answer: refusal(409, "ObjectParentIsFile") });
      await failing(store.put("folders/key/below", bytes(10, 1), ifAbsent, counted()), "KEY_CONFLICT");
    });

    it("asks again where others write the key at the same moment", async () => {
      const rule = faults.add({ method: "PUT", times: 2 }, { answer: refusal(409, "ConditionalRequestConflict") });
      await store.put("conflict", bytes(10, 1), ifAbsent, counted());
      assert.deepEqual([rule.struck, sent], [2, 3]);
      faults.add({ method: "PUT" }, { answer: refusal(409, "ConditionalRequestConflict") });
      const { message } = await failing(store.put("conflict/ever", bytes(10, 1), ifAbsent, how()), "BACKEND_DOWN");
      assert.match(message, /others write that key/);
    });
  });

  describe("whose answers break off", () => {
    const data = bytes(3 * MIB, 5);
    let facts: ObjectFacts;
    before(async () => {
      facts = await store.put("broken/read", data, {}, how());
    });

    it("gives what came, and never says that it is all", async () => {
      for (const cutAnswerAtBytes of [0, 700_000]) {
        faults.add({ method: "GET", times: 1 }, { cutAnswerAtBytes });
        const { body, lengthBytes } = await store.read(facts.name, { offsetBytes: 0 }, signal());
        assert.equal(lengthBytes, data.length);
        const got: Uint8Array[] = [];
        const { message } = await failing(
          (async () => {
            for await (const piece of body) got.push(piece);
          })(),
          "BACKEND_DOWN",
        );
        assert.match(message, /broke off/);
        const all = Buffer.concat(got);
        assert.ok(all.length < data.length && all.equals(data.subarray(0, all.length)), `${all.length} bytes`);
      }
    });

    it("takes no other range than it asked for", async () => {
      const whole: HttpFault = {
        rewrite: ({ body, headers: { "content-range": _, ...headers } }) => ({ status: 200, headers, body }),
      };
      faults.add({ method: "GET", headers: { range: /./ }, times: 1 }, whole);
      await failing(store.read(facts.name, { offsetBytes: MIB }, signal()), "BACKEND_DOWN");
    });

    it("lists each name once where a page comes twice, or its end is cut", async () => {
      const names = Array.from({ length: 30 }, (_, at) => `pages/${String(at).padStart(2, "0")}`);
      for (const name of names) await store.put(name, bytes(1, 1), {}, how());
      const { listKeys } = await import("../../../server/objects/listing.ts");
      const list = async () => {
        const listed: string[] = [];
        for (let more = true; more; ) {
          const request = { prefix: "pages/", startAfter: listed.at(-1) ?? "", limit: 10 };
          const page = await listKeys(store, request, signal());
          listed.push(...page.items.map(({ name }) => name));
          more = page.more;
        }
        return listed;
      };
      faults.add({ method: "GET", path: /list-type=2/, times: 2 }, { cutAnswerAtBytes: 300 });
      assert.deepEqual(await list(), names);
      let before: HttpAnswer | undefined;
      const again: HttpFault = {
        rewrite(answer) {
          const last = before;
          before = answer;
          return last === undefined ? answer : { ...answer, body: last.body ?? "" };
        },
      };
      const rule = faults.add({ method: "GET", path: /list-type=2/, times: 2 }, again);
      await failing(list(), "BACKEND_DOWN");
      assert.equal(rule.struck, 2);
      assert.deepEqual(await list(), names);
    });

    it("waits no longer than it was told to", { timeout: 60_000 }, async () => {
      faults.add({ method: "PUT" }, { hold: new Promise(() => {}), of: "answer" });
      const began = performance.now();
      const { message } = await failing(store.put("held", bytes(10, 1), ifAbsent, how()), "BACKEND_DOWN");
      assert.match(message, /did not answer in time/);
      assert.ok(performance.now() - began < 15_000);
      await assert.rejects(
        store.put("held", bytes(10, 1), {}, { signal: AbortSignal.timeout(300), assertInTime() {} }),
      );
    });

    it("waits longer for what takes longer to get there", { timeout: 60_000 }, async () => {
      // Longer than an answer may take, of which the request says 2 s.
      faults.add({ method: "PUT", times: 1 }, { delayMs: 3500, of: "answer" });
      const put = await store.put("held-large", bytes(8 * MIB, 1), ifAbsent, counted());
      assert.deepEqual([put.sizeBytes, sent], [8 * MIB, 1]);
    });
  });
});
