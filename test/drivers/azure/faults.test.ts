/** The Azure store where the account throttles, fails, answers late or not at all, and where a setting is wrong. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import type { Client } from "../../../drivers/azure/client.ts";
import { hasReason, type OutriggerError, type Reason } from "../../../proto/errors.ts";
import type { ObjectFacts, ObjectStore, RequestHow } from "../../../server/objects/contract.ts";
import { type HttpAnswer, HttpFaults } from "../../helpers/http-faults.ts";
import { bytes } from "../../helpers/object-store-suite.ts";
import { Scope } from "../../helpers/processes.ts";
import { freePort } from "../../helpers/temp.ts";
import { missing } from "../../helpers/tools.ts";
import {
  type Azurite,
  account,
  accountKey,
  log,
  newContainer,
  noOptions,
  signatureFor,
  startAzurite,
  storeOf,
} from "./azurite.ts";

const MIB = 1024 * 1024;
const signal = () => AbortSignal.timeout(60_000);
const how = (): RequestHow => ({ signal: signal(), assertInTime() {} });

function refusal(status: number, code: string, headers: Readonly<Record<string, string>> = {}): HttpAnswer {
  return {
    status,
    headers: {
      "content-type": "application/xml",
      "x-ms-error-code": code,
      "x-ms-request-id": "of-the-test",
      ...headers,
    },
    body: `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>no</Message></Error>`,
  };
}

async function failing(promise: Promise<unknown>, reason: Reason): Promise<OutriggerError> {
  try {
    await promise;
  } catch (error) {
    if (hasReason(error, reason)) return error;
    throw error;
  }
  throw new Error(`${reason} was due`);
}

describe("the Azure store", { skip: missing("azurite", "azure-sdk") }, () => {
  const scope = new Scope();
  let azurite: Azurite;
  let container: Client["container"];
  let faults: HttpFaults;
  let store: ObjectStore;
  let sent: number;
  /** Counts how often each request is sent. */
  const counted = (): RequestHow => ({
    signal: signal(),
    assertInTime() {
      sent++;
    },
  });

  before(async () => {
    azurite = await startAzurite(scope);
    container = await newContainer(azurite);
    faults = await HttpFaults.start(scope, azurite.address);
    store = await storeOf(`http://${faults.address}/${account}`, container.containerName, { requestTimeoutMs: 2000 });
  });
  afterEach(() => {
    faults.clear();
    sent = 0;
  });
  after(scope.close);

  describe("whose account throttles", () => {
    for (const answer of [
      refusal(503, "ServerBusy", { "retry-after": "1" }),
      { status: 429, headers: { "retry-after": "1" } },
    ]) {
      it(`with ${answer.status} reads again, more slowly`, async () => {
        const key = `throttled/${answer.status}`;
        const put = await store.put(key, bytes(1000, 1), {}, how());
        const rule = faults.add({ times: 2 }, { answer });
        const began = performance.now();
        assert.deepEqual(await store.head(key, signal()), put);
        assert.equal(rule.struck, 2);
        assert.ok(performance.now() - began > 1900, "it was asked to wait a second, twice");
      });

      it(`with ${answer.status} tells the caller of a write how long to wait`, async () => {
        faults.add({}, { answer });
        const error = await failing(
          store.put("throttled/put", bytes(1, 1), { condition: { ifAbsent: true } }, how()),
          "THROTTLED",
        );
        assert.equal(error.retryAfterMs, 1000);
        await failing(store.delete("throttled/put", undefined, how()), "THROTTLED");
      });
    }

    it("gives up in the end, and says so", { timeout: 60_000 }, async () => {
      const rule = faults.add({ method: "HEAD" }, { answer: refusal(503, "ServerBusy") });
      await failing(store.head("x", signal()), "THROTTLED");
      assert.ok(rule.struck > 2 && rule.struck < 10, `${rule.struck} times`);
    });
  });

  describe("whose answers are lost after the work was done", () => {
    for (const [name, fault] of [
      ["cut", "cut-after"],
      ["500", { answerAfter: refusal(500, "InternalError") }],
      ["500, OperationTimedOut", { answerAfter: refusal(500, "OperationTimedOut") }],
    ] as const) {
      it(`sends a block again, which is one block (${name})`, async () => {
        const at = `!lost/blocks/${name}`;
        const ref = await store.parts.begin(at, how());
        const rule = faults.add({ method: "PUT", path: /comp=block&/, times: 2 }, fault);
        await store.parts.put(at, ref, 1, [bytes(MIB, 1)], how());
        assert.equal(rule.struck, 2);
        assert.deepEqual(await store.parts.list(at, ref, signal()), [{ number: 1, sizeBytes: MIB, etag: "" }]);
      });

      it(`repeats no write with a condition, and finds what became of it (${name})`, async () => {
        const key = `lost/${name.replaceAll(/\W/g, "")}`;
        const rule = faults.add({ method: "PUT", times: 1 }, fault);
        await failing(store.put(key, bytes(10, 1), { condition: { ifAbsent: true } }, counted()), "BACKEND_DOWN");
        assert.deepEqual([rule.struck, sent], [1, 1]);
        assert.equal((await store.head(key, signal()))?.sizeBytes, 10);
        faults.add({ method: "DELETE", times: 1 }, fault);
        await failing(store.delete(key, undefined, counted()), "BACKEND_DOWN");
        assert.equal(sent, 2);
        assert.equal(await store.head(key, signal()), undefined);
      });

      it(`puts blocks together once (${name})`, async () => {
        const at = `!lost/complete/${name}`;
        const ref = await store.parts.begin(at, how());
        const part = await store.parts.put(at, ref, 1, [bytes(1000, 1)], how());
        faults.add({ method: "PUT", path: /comp=blocklist/, times: 1 }, fault);
        await failing(store.parts.complete(at, ref, [part], {}, counted()), "BACKEND_DOWN");
        assert.equal(sent, 1);
        const made = await store.head(at, signal());
        assert.equal(made?.sizeBytes, 1000);
        await failing(store.parts.complete(at, ref, [part], {}, how()), "UPLOAD_NOT_FOUND");
        assert.deepEqual(await store.head(at, signal()), made);
      });

      it(`copies once (${name})`, async () => {
        const source = await store.put(`lost/source/${name}`, bytes(1000, 1), {}, how());
        faults.add({ method: "PUT", headers: { "x-ms-copy-source": /./ }, times: 1 }, fault);
        const wanted = { condition: { ifAbsent: true } as const, digest: "sha256:11" };
        await failing(store.copy(source, `lost/copy/${name}`, wanted, counted()), "BACKEND_DOWN");
        assert.equal(sent, 1);
        assert.equal((await store.head(`lost/copy/${name}`, signal()))?.sizeBytes, 1000);
        await failing(store.copy(source, `lost/copy/${name}`, wanted, how()), "KEY_EXISTS");
      });
    }

    it("sends nothing again past the call's time", async () => {
      const at = "!late/blocks";
      const ref = await store.parts.begin(at, how());
      const rule = faults.add({ method: "PUT" }, { answer: refusal(503, "ServerBusy") });
      const late: RequestHow = {
        signal: signal(),
        assertInTime() {
          if (++sent > 1) throw new RangeError("too late");
        },
      };
      await assert.rejects(store.parts.put(at, ref, 1, [bytes(10, 1)], late), RangeError);
      assert.equal(rule.struck, 1);
    });
  });

  describe("whose answers break off", () => {
    const data = bytes(3 * MIB, 5);
    let facts: ObjectFacts;
    before(async () => {
      facts = await store.put("broken/read", data, {}, how());
    });

    async function readAll(offsetBytes: number): Promise<Buffer> {
      const pieces: Uint8Array[] = [];
      const read = await store.read(facts.name, { offsetBytes }, signal());
      assert.equal(read.facts.etag, facts.etag);
      for await (const piece of read.body) pieces.push(piece);
      return Buffer.concat(pieces);
    }

    it("reads on where it was", async () => {
      const rule = faults.add({ method: "GET", times: 3 }, { cutAnswerAtBytes: 700_000 });
      assert.ok((await readAll(0)).equals(data));
      assert.equal(rule.struck, 3);
      faults.add({ method: "GET", times: 1 }, { cutAnswerAtBytes: 100 });
      assert.ok((await readAll(MIB)).equals(data.subarray(MIB)));
    });

    it("reads no other content on than it began with", async () => {
      const changed = await store.put("broken/changed", data, {}, how());
      faults.add({ method: "GET", times: 1 }, { cutAnswerAtBytes: 1000 });
      const read = await store.read(changed.name, { offsetBytes: 0 }, signal());
      await container.getBlockBlobClient(changed.name).upload(bytes(3 * MIB, 6), 3 * MIB);
      await failing(
        (async () => {
          for await (const piece of read.body) assert.ok(piece.length > 0);
        })(),
        "ETAG_MISMATCH",
      );
    });

    it("does not read on for ever", async () => {
      const rule = faults.add({ method: "GET" }, { cutAnswerAtBytes: 0 });
      await failing(readAll(0), "BACKEND_DOWN");
      assert.ok(rule.struck < 20, `${rule.struck} times`);
    });

    it("lists each name once where a page comes twice, or its end is cut", async () => {
      const names = Array.from({ length: 30 }, (_, at) => `pages/${String(at).padStart(2, "0")}`);
      for (const name of names) await store.put(name, bytes(1, 1), {}, how());
      const list = async () => {
        const listed: string[] = [];
        let more = true;
        while (more) {
          const page = await store.list({ prefix: "pages/", startAfter: listed.at(-1) ?? "", limit: 10 }, signal());
          listed.push(...page.items.map(({ name }) => name));
          more = page.more;
        }
        return listed;
      };
      let before: HttpAnswer | undefined;
      let twice = 0;
      const rule = faults.add(
        { method: "GET", path: /comp=list/ },
        {
          rewrite(answer) {
            const last = before;
            before = answer;
            // Every other answer is the one before it.
            if (last === undefined || ++twice % 2 === 0) return answer;
            return { ...answer, body: last.body ?? "" };
          },
        },
      );
      assert.deepEqual(await list(), names);
      assert.ok(rule.struck >= 3);
      faults.clear();
      faults.add({ method: "GET", path: /comp=list/, times: 2 }, { cutAnswerAtBytes: 300 });
      assert.deepEqual(await list(), names);
    });

    it("waits no longer than it was told to", { timeout: 60_000 }, async () => {
      const hold = new Promise(() => {});
      faults.add({ method: "PUT" }, { hold, of: "answer" });
      const began = performance.now();
      await failing(store.put("held", bytes(10, 1), {}, how()), "BACKEND_DOWN");
      assert.ok(performance.now() - began < 15_000);
      const gone = AbortSignal.timeout(300);
      await assert.rejects(store.put("held", bytes(10, 1), {}, { signal: gone, assertInTime() {} }));
    });
  });

  describe("with a setting that is wrong", () => {
    async function said(options: Readonly<Record<string, string>>, name = container.containerName): Promise<string> {
      const [{ connect }, { accountOf }, { createAzureStore }] = await Promise.all([
        import("../../../drivers/azure/client.ts"),
        import("../../../drivers/azure/credentials.ts"),
        import("../../../drivers/azure/store.ts"),
      ]);
      const endpoint = `http://${faults.address}/${account}`;
      const client = await connect(accountOf({ ...noOptions, account, endpoint, ...options }, {}), name);
      const wrong = createAzureStore(client, { requestTimeoutMs: 2000, log, bytesFolder: "!outrigger/bytes/" });
      const { message, cause } = await failing(wrong.check(signal()), "BACKEND_DOWN");
      for (const text of [message, String(cause)]) assert.ok(!text.includes(accountKey), text);
      return message;
    }

    it("says which: key, container, address", async () => {
      const other = Buffer.alloc(64, 7).toString("base64");
      assert.match(await said({ accountKey: other }), /--account-key is not a key of that account/);
      assert.match(await said({ accountKey }, "absent"), /there is no container absent at 127.*check --container/);
      assert.match(
        await said({ accountKey, endpoint: `http://127.0.0.1:${await freePort()}/x` }),
        /nobody listens at 127.*--endpoint/,
      );
      assert.match(
        await said({ accountKey, endpoint: "http://of-this-test.invalid" }),
        /is no known name: check --account/,
      );
      const stranger = createServer((_, response) => response.writeHead(404).end("<html>no</html>"));
      stranger.listen(0, "127.0.0.1");
      await new Promise((resolve) => stranger.once("listening", resolve));
      const { port } = stranger.address() as AddressInfo;
      assert.match(
        await said({ accountKey, endpoint: `http://127.0.0.1:${port}` }),
        /is not Azure Blob Storage.*--endpoint/,
      );
      stranger.close();
      stranger.closeAllConnections();
    });

    for (const [status, code, sentence] of [
      [403, "AuthorizationFailure", /firewall/],
      [403, "AuthorizationPermissionMismatch", /firewall|permission|role/],
      [403, "KeyBasedAuthenticationNotPermitted", /leave out --account-key.*Storage Blob Data Contributor/],
      [400, "AccountRequiresHttps", /https only: so must --endpoint/],
      [403, "AccountIsDisabled", /the account is disabled/],
      [404, "ResourceNotFound", /check --account and --container/],
      [409, "ContainerBeingDeleted", /is being deleted/],
      [403, "AuthorizationResourceTypeMismatch", /srt=co/],
      [403, "AuthorizationSourceIPMismatch", /--sas-token is for other addresses/],
    ] as const) {
      it(`says what ${code} means`, async () => {
        faults.add({}, { answer: refusal(status, code) });
        assert.match(await said({ accountKey }), sentence);
      });
    }

    it("says how wrong this machine's clock is", async () => {
      const date = new Date(Date.now() - 3600_000).toUTCString();
      faults.add({}, { answer: refusal(403, "AuthenticationFailed", { date }) });
      assert.match(await said({ accountKey }), /clock: this machine's is 60 minutes off/);
    });

    it("says that what may not be changed was not", async () => {
      faults.add({ method: "DELETE" }, { answer: refusal(409, "BlobImmutableDueToPolicy") });
      const { message } = await failing(store.delete("held/by/law", undefined, how()), "READ_ONLY");
      assert.match(message, /immutability policy or a legal hold.*--read-only/);
    });

    it("says which permission a shared access signature lacks", async () => {
      const expiresOn = new Date(Date.now() + 3600_000);
      const sasToken = await signatureFor(container, "r", expiresOn);
      assert.match(await said({ sasToken }), /--sas-token lacks a permission.*racwdl/);
    });
  });
});
