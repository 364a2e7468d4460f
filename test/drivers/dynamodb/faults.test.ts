/** What the driver promises while DynamoDB throttles, fails, answers late, loses answers, stands still or is killed. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Requests } from "../../../drivers/dynamodb/requests.ts";
import { Table } from "../../../drivers/dynamodb/table.ts";
import { Writes } from "../../../drivers/dynamodb/writes.ts";
import { hasReason, OutriggerError } from "../../../proto/errors.ts";
import { type HttpFault, HttpFaults } from "../../helpers/http-faults.ts";
import { startLoad } from "../../helpers/load.ts";
import { Scope } from "../../helpers/processes.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { missing, repository } from "../../helpers/tools.ts";
import { call, context, newStore, openStore, put, settings, textOf, useCredentials } from "./dynamodb.ts";
import { credentials, type DynamodbLocal, startDynamodbLocal } from "./dynamodb-local.ts";

const TIMEOUT_MS = 400;

/** As AWS says it. */
function said(status: number, type: string, more: object = {}): HttpFault {
  const body = JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${type}`, message: type, ...more });
  return { answer: { status, headers: { "content-type": "application/x-amz-json-1.0" }, body } };
}

const cancelled = (...codes: string[]) =>
  said(400, "TransactionCanceledException", {
    CancellationReasons: codes.map((Code) => ({ Code, ...(Code === "None" ? {} : { Message: Code }) })),
  });

const throttled = said(400, "ThrottlingException");
const failed = said(500, "InternalServerError");
const failedAfter: HttpFault = { answerAfter: { status: 500, body: "{}" } };

const of = (operation: string) => ({ headers: { "x-amz-target": new RegExp(`\\.${operation}$`) } });
const writes = of("TransactWriteItems");
const every = {};

describe("the dynamodb driver, while DynamoDB fails,", { skip: missing("dynamodb-local", "dynamodb-sdk") }, () => {
  const scope = new Scope();
  let local: DynamodbLocal;
  let faults: HttpFaults;
  let store: Awaited<ReturnType<typeof newStore>>;
  before(async () => {
    useCredentials();
    local = await startDynamodbLocal(scope, { lasting: true });
    faults = await HttpFaults.start(scope, local.address);
    store = await newStore(scope, faults.address, TIMEOUT_MS);
    await store.meta.write([put("proof", "1")], call());
  });
  after(scope.close);
  afterEach(() => faults.clear());

  const write = (key: string, withinMs?: number) =>
    store.meta.write(
      [
        { ...put(key, "new"), condition: { ifAbsent: true } },
        { kind: "check", key: "proof", condition: { ifPresent: true } },
      ],
      call(withinMs === undefined ? {} : { withinMs }),
    );
  const found = async (key: string) => textOf((await store.meta.get([key], call()))[0]?.value);
  const reason = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
      return "done";
    } catch (error) {
      if (!(error instanceof OutriggerError)) throw error;
      return error.reason;
    }
  };

  it("writes once it is throttled no longer, and says THROTTLED when it is throttled on", async () => {
    const few = faults.add({ ...writes, times: 2 }, throttled);
    assert.equal(await reason(write("throttled/few")), "done");
    assert.equal(few.struck, 2);
    for (const [name, fault] of Object.entries({
      throttled,
      provisioned: said(400, "ProvisionedThroughputExceededException"),
      limit: said(400, "RequestLimitExceeded"),
      reason: cancelled("ThrottlingError", "None"),
      both: cancelled("TransactionConflict", "ProvisionedThroughputExceeded"),
    })) {
      faults.clear();
      faults.add(writes, fault);
      const key = `throttled/${name}`;
      await assert.rejects(write(key), (error) => hasReason(error, "THROTTLED") && (error.retryAfterMs ?? 0) > 0, name);
      assert.equal(await found(key), undefined);
    }
  });

  it("writes once a conflict has passed, and says CONFLICT when it does not", async () => {
    faults.add({ ...writes, times: 3 }, cancelled("TransactionConflict", "None"));
    assert.equal(await reason(write("conflict/few")), "done");
    faults.add(writes, cancelled("None", "TransactionConflict"));
    assert.equal(await reason(write("conflict/on")), "CONFLICT");
    faults.clear();
    assert.equal(await found("conflict/on"), undefined);
  });

  it("names the first operation whose condition failed, beside conflicts", async () => {
    faults.add(writes, cancelled("TransactionConflict", "ConditionalCheckFailed"));
    const conditions = [put("mixed/a"), { ...put("mixed/b"), condition: { ifEtag: "x" } }];
    await assert.rejects(store.meta.write(conditions, call()), {
      reason: "CONDITION_FAILED",
      metadata: { index: "1" },
    });
    faults.clear();
    faults.add(writes, cancelled("None", "ItemCollectionSizeLimitExceeded"));
    assert.equal(await reason(write("mixed/size")), "QUOTA");
    faults.clear();
    faults.add(writes, cancelled("ValidationError", "None"));
    assert.equal(await reason(write("mixed/validation")), "INTERNAL");
  });

  it("knows a Write again whose answer was lost, or was a 500, after the work was done", async () => {
    for (const [name, fault] of Object.entries({ cut: "cut-after", failed: failedAfter } as const)) {
      const key = `lost/${name}`;
      faults.add({ ...writes, times: 1 }, fault);
      // Not CONDITION_FAILED: the second request is the same as the first.
      assert.equal(await reason(write(key)), "done", name);
      assert.equal(await found(key), "new");
    }
  });

  it("never says more of an unknown outcome than that it is unknown", async () => {
    const unknown = async (key: string, expected: string | undefined) => {
      await assert.rejects(
        write(key),
        { reason: "BACKEND_DOWN", message: /whether a Write was done is not known/ },
        key,
      );
      faults.clear();
      assert.equal(await found(key), expected, key);
    };
    // Done each time, and never told.
    faults.add(writes, "cut-after");
    await unknown("unknown/done", "new");
    // A retry of the same Write is safe: it loses against itself, and finds its own value.
    assert.equal(await reason(write("unknown/done")), "CONDITION_FAILED");
    faults.add(writes, failedAfter);
    await unknown("unknown/done-500", "new");
    faults.add(writes, failed);
    await unknown("unknown/not-done", undefined);
    assert.equal(await reason(write("unknown/not-done")), "done");
    // What follows a lost attempt tells nothing of it.
    faults.add(writes, throttled);
    faults.add({ ...writes, times: 1 }, "cut-after");
    await unknown("unknown/then-throttled", "new");
    faults.add(writes, cancelled("ConditionalCheckFailed", "None"));
    faults.add({ ...writes, times: 1 }, "cut-before");
    await unknown("unknown/then-failed", undefined);
    faults.add(writes, said(400, "TransactionInProgressException"));
    await unknown("unknown/in-progress", undefined);
  });

  it("sends nothing past a call's time, and waits no longer", async () => {
    const late = call({ withinMs: -1 });
    const before = faults.seen.length;
    await assert.rejects(store.meta.write([put("late"), put("later")], late), { reason: "TOO_LATE" });
    assert.equal(faults.seen.length, before, "nothing was sent");

    // Throttled until its time is over.
    faults.add(writes, throttled);
    await sleep(1);
    assert.equal(await reason(store.meta.write([put("late")], call({ withinMs: 120 }))), "TOO_LATE");
    faults.clear();

    // Not answered: the request is given up at its time, and no other one follows.
    const held = faults.add(writes, { hold: new Promise(() => {}), of: "request" });
    const started = performance.now();
    assert.equal(await reason(write("held", 600)), "BACKEND_DOWN");
    const tookMs = performance.now() - started;
    assert.ok(tookMs >= 550 && tookMs < 2_500, `${tookMs} ms`);
    const sent = held.struck;
    assert.ok(sent >= 1 && sent <= 2, `${sent} requests of ${TIMEOUT_MS} ms in 600 ms`);
    await sleep(300);
    assert.equal(held.struck, sent, "none was sent afterwards");
  });

  it("sends nothing past a call's time, also when credentials were waited for", async () => {
    const late = call({ withinMs: 200 });
    const sdk = createRequire(join(repository, "drivers/dynamodb/package.json"))("@aws-sdk/client-dynamodb");
    const client = new sdk.DynamoDBClient({
      endpoint: store.options.endpoint,
      region: "eu-central-1",
      maxAttempts: 1,
      async credentials() {
        while (Date.now() <= (late.notAfterMs ?? 0) + 20) await sleep(20);
        return { accessKeyId: credentials.AWS_ACCESS_KEY_ID, secretAccessKey: credentials.AWS_SECRET_ACCESS_KEY };
      },
    });
    scope.defer(() => client.destroy());
    const { table } = store.options;
    const requests = new Requests(client, { table, region: "", endpoint: "" }, 3_000);
    const before = faults.seen.length;
    const writing = new Writes(store.meta.facts.id, new Table(table, requests), requests).write(
      [{ ...put("signed/late"), condition: { ifAbsent: true } }],
      late,
    );
    await assert.rejects(writing, { reason: "TOO_LATE" });
    assert.equal(faults.seen.length, before, "nothing was sent");
  });

  it("that a held request comes late undoes nothing newer", async () => {
    let release = () => {};
    const hold = new Promise<void>((resolve) => {
      release = resolve;
    });
    const [etag = ""] = await store.meta.write([put("tag", "1")], call());
    const held = faults.add({ ...writes, times: 1 }, { hold, of: "request" });
    const old = store.meta.write(
      [{ ...put("tag", "2"), condition: { ifEtag: etag } }],
      call({ withinMs: TIMEOUT_MS - 50 }),
    );
    assert.equal(await reason(old), "BACKEND_DOWN");
    assert.equal(held.struck, 1);
    await store.meta.write([{ ...put("tag", "3"), condition: { ifEtag: etag } }], call());
    release();
    await sleep(500);
    assert.equal(await found("tag"), "3");
  });

  it("reads once what failed has passed, and says so when it does not", async () => {
    const { meta } = store;
    await meta.write([put("read/a", "1"), put("read/b", "2")], call());
    const reads: Readonly<Record<string, () => Promise<unknown>>> = {
      GetItem: () => meta.get(["read/a"], call()),
      TransactGetItems: () => meta.get(["read/a", "read/b"], call()),
      Query: () => meta.list({ prefix: "read/", startAfter: "", limit: 10 }, call()),
    };
    for (const [operation, read] of Object.entries(reads)) {
      const right = await read();
      const passing: readonly HttpFault[] = [
        throttled,
        failed,
        "cut-before",
        "cut-after",
        { cutAnswerAtBytes: 20 },
        { delayMs: 3 * TIMEOUT_MS, of: "answer" },
      ];
      for (const fault of passing) {
        faults.add({ ...of(operation), times: 1 }, fault);
        assert.deepEqual(await read(), right, `${operation} ${JSON.stringify(fault)}`);
      }
      faults.add(of(operation), throttled);
      assert.equal(await reason(read()), "THROTTLED");
      faults.clear();
      faults.add(of(operation), "cut-after");
      assert.equal(await reason(read()), "BACKEND_DOWN");
      faults.clear();
    }
    faults.add({ ...of("TransactGetItems"), times: 2 }, cancelled("TransactionConflict", "None"));
    assert.equal(await reason(meta.get(["read/a", "read/b"], call())), "done");
    faults.add(of("TransactGetItems"), cancelled("TransactionConflict", "None"));
    assert.equal(await reason(meta.get(["read/a", "read/b"], call())), "THROTTLED");
    faults.clear();
    // "Exceeded" is said of items that are too large, too.
    faults.add(of("TransactGetItems"), cancelled("ProvisionedThroughputExceeded", "None"));
    assert.equal(await reason(meta.get(["read/a", "read/b"], call())), "THROTTLED");
  });

  it("gives up reads whose caller has gone, at once", async () => {
    const gone = new AbortController();
    const rule = faults.add(every, { delayMs: 2_000, of: "answer" });
    const read = store.meta.get(["a"], call({ signal: gone.signal }));
    await rule.reached(1);
    gone.abort(new Error("gone"));
    await assert.rejects(read, { message: "gone" });
    assert.equal(rule.struck, 1);
  });

  it("answers in bounded time while it stands still, and goes on afterwards", { timeout: 60_000 }, async () => {
    local.process.signal("SIGSTOP");
    const started = performance.now();
    try {
      assert.equal(await reason(store.meta.get(["proof"], call())), "BACKEND_DOWN");
      assert.equal(await reason(write("stopped", 1_500)), "BACKEND_DOWN");
      assert.equal(await reason(store.meta.check(context.signal)), "BACKEND_DOWN");
    } finally {
      local.process.signal("SIGCONT");
    }
    assert.ok(performance.now() - started < 20_000);
    const again = await reason(write("stopped"));
    assert.match(again, /^(?:done|CONDITION_FAILED)$/);
    assert.equal(await found("stopped"), "new");
    await store.meta.check(context.signal);
  });

  it("keeps every Write whole over kills of the server, and tells none done that is not", {
    timeout: 150_000,
  }, async (t) => {
    const random = randomOf(seedOf(t));
    const done = new Map<number, number>();
    const begun = new Map<number, number>();
    const outcomes: Record<string, number> = {};
    const load = startLoad(4, async (number, lane) => {
      begun.set(lane, number);
      const said = await reason(
        store.meta.write(
          [put(`lane/${lane}/a`, `${number}`), put(`lane/${lane}/b`, `${number}`)],
          call({ withinMs: 3_000 }),
        ),
      );
      outcomes[said] = (outcomes[said] ?? 0) + 1;
      if (said === "done") done.set(lane, number);
      else await sleep(50);
    });
    for (let kill = 0; kill < 2; kill++) {
      const enough = (outcomes["done"] ?? 0) + random.between(10, 60);
      while ((outcomes["done"] ?? 0) < enough) await sleep(5);
      await local.restart();
    }
    const enough = (outcomes["done"] ?? 0) + 10;
    while ((outcomes["done"] ?? 0) < enough) await sleep(5);
    await load.finish();
    t.diagnostic(JSON.stringify(outcomes));
    for (const said of Object.keys(outcomes)) assert.match(said, /^(?:done|BACKEND_DOWN)$/);
    const { meta } = await openStore(scope, settings(local.address, store.options.table));
    for (let lane = 0; lane < 4; lane++) {
      const [a, b] = (await meta.get([`lane/${lane}/a`, `lane/${lane}/b`], call())).map((item) =>
        Number(textOf(item?.value)),
      );
      assert.equal(a, b, `lane ${lane} is half of a Write`);
      assert.ok((a ?? -1) >= (done.get(lane) ?? 0) && (a ?? 0) <= (begun.get(lane) ?? 0), `lane ${lane}: ${a}`);
    }
  });
});
