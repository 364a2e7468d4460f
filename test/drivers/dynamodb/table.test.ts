/** The table itself: made or verified, known again while the driver runs, and a sentence for each thing that can be wrong. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, afterEach, before, describe, it } from "node:test";
import { HttpFaults } from "../../helpers/http-faults.ts";
import { Scope } from "../../helpers/processes.ts";
import { freePort } from "../../helpers/temp.ts";
import { missing } from "../../helpers/tools.ts";
import {
  call,
  context,
  initDynamodb,
  newStore,
  newTable,
  openDynamodb,
  openStore,
  put,
  settings,
  textOf,
  useCredentials,
} from "./dynamodb.ts";
import { ask, credentials, deleteTable, itemsOf, makeTable, startDynamodbLocal } from "./dynamodb-local.ts";

describe("the dynamodb driver's table", { skip: missing("dynamodb-local", "dynamodb-sdk") }, () => {
  const scope = new Scope();
  let address = "";
  let faults: HttpFaults;
  before(async () => {
    useCredentials();
    ({ address } = await startDynamodbLocal(scope));
    faults = await HttpFaults.start(scope, address);
  });
  after(scope.close);
  afterEach(() => {
    faults.clear();
    useCredentials();
  });

  const refused = (options: ReturnType<typeof settings>, reason: string, message: RegExp) =>
    assert.rejects(openDynamodb(options), { reason, message });

  it("is made by --init, on demand and protected, and keeps its id", async () => {
    const options = settings(address);
    await refused(options, "NOT_INITIALISED", /there is no table t-\S+ in eu-central-1: .*--table.*--region.*--init/);
    await Promise.all([initDynamodb(options), initDynamodb(options), initDynamodb(options)]);
    const first = await openStore(scope, options);
    await first.meta.write([put("a", "1")], call());
    await initDynamodb(options);
    const second = await openStore(scope, options);
    assert.equal(second.meta.facts.id, first.meta.facts.id);
    assert.equal(textOf((await second.meta.get(["a"], call()))[0]?.value), "1");
    assert.deepEqual(second.driver.notices, []);
    const { Table } = (await ask(address, "DescribeTable", { TableName: options.table })) as {
      Table: { BillingModeSummary: { BillingMode: string }; DeletionProtectionEnabled: boolean };
    };
    assert.equal(Table.BillingModeSummary.BillingMode, "PAY_PER_REQUEST");
    assert.equal(Table.DeletionProtectionEnabled, true);
  });

  it("may be made by somebody else, and is then given its id by --init", async () => {
    const options = settings(address);
    await makeTable(address, options.table);
    await refused(options, "NOT_INITIALISED", /is empty: if it is the right one, run the driver once with --init/);
    await initDynamodb(options);
    const { driver } = await openStore(scope, options);
    assert.match(driver.notices?.join() ?? "", /not protected against deletion: set DeletionProtectionEnabled/);
  });

  it("is refused where it is another program's", async () => {
    const other = settings(address);
    await makeTable(address, other.table, "id");
    for (const attempt of [openDynamodb, initDynamodb]) {
      await assert.rejects(attempt(other), {
        reason: "STORED_CORRUPT",
        message: /is another program's: its key is id HASH S, k RANGE S, not p HASH S, k RANGE S; name another one/,
      });
    }
    const full = settings(address);
    await makeTable(address, full.table);
    await ask(address, "PutItem", { TableName: full.table, Item: { p: { S: "theirs" }, k: { S: "k" } } });
    await refused(
      full,
      "NOT_INITIALISED",
      /holds items \(of partition "theirs"\) and not the one that names its store/,
    );
    await assert.rejects(initDynamodb(full), {
      message: /holds other things \(partition "theirs"\): name an empty table/,
    });
    const indexed = settings(address);
    await makeTable(address, indexed.table, "p", {
      AttributeDefinitions: ["p", "k", "x"].map((AttributeName) => ({ AttributeName, AttributeType: "S" })),
      LocalSecondaryIndexes: [
        {
          IndexName: "by-x",
          KeySchema: [
            { AttributeName: "p", KeyType: "HASH" },
            { AttributeName: "x", KeyType: "RANGE" },
          ],
          Projection: { ProjectionType: "ALL" },
        },
      ],
    });
    await refused(indexed, "STORED_CORRUPT", /has a local secondary index/);
  });

  it("with data and no id is not served until --init adopts it under the id that the data lie under", async () => {
    const { meta, options } = await newStore(scope, address);
    await meta.write([put("a", "1")], call());
    for (let number = 0; number < 16; number++) {
      const k = { S: `store/${String(number).padStart(2, "0")}` };
      await ask(address, "DeleteItem", { TableName: options.table, Key: { p: { S: "outrigger" }, k } });
    }
    await refused(options, "NOT_INITIALISED", /not the one that names its store: restore it, or run .* with --init/);
    await initDynamodb(options);
    const again = await openStore(scope, options);
    assert.equal(again.meta.facts.id, meta.facts.id);
    assert.equal(textOf((await again.meta.get(["a"], call()))[0]?.value), "1");
  });

  it("is never taken for an empty registry when it was deleted and made anew while the driver ran", async () => {
    const { meta, options } = await newStore(scope, address);
    const [etag] = await meta.write([put("a"), put("b")], call());
    await deleteTable(address, options.table);
    const gone = { reason: "BACKEND_DOWN", message: /there is no table \S+ at http/ };
    await assert.rejects(meta.get(["a"], call()), gone);
    await assert.rejects(meta.write([put("a")], call()), gone);
    await initDynamodb(options);
    const replaced = { reason: "WRONG_STORE", message: /is not the one that this driver opened/ };
    await assert.rejects(meta.get(["a"], call()), replaced);
    await assert.rejects(meta.get(["a", "b", "c"], call()), replaced);
    await assert.rejects(meta.list({ prefix: "", startAfter: "", limit: 10 }, call()), replaced);
    await assert.rejects(meta.list({ prefix: "a/", startAfter: "z", limit: 10 }, call()), replaced);
    await assert.rejects(meta.count?.("", call()) ?? Promise.resolve(), replaced);
    await assert.rejects(meta.check(context.signal), replaced);
    await assert.rejects(meta.write([put("a")], call()), replaced);
    await assert.rejects(meta.write([{ ...put("a"), condition: { ifAbsent: true } }], call()), replaced);
    await assert.rejects(meta.write([{ kind: "delete", key: "a" }], call()), replaced);
    await assert.rejects(meta.write([{ kind: "check", key: "a", condition: { ifAbsent: true } }], call()), replaced);
    await assert.rejects(meta.write([{ ...put("a"), condition: { ifEtag: etag ?? "" } }, put("c")], call()), {
      reason: "CONDITION_FAILED",
    });
    const keys = Array.from({ length: 100 }, (_, number) => `n/${number}`);
    await assert.rejects(
      meta.write(
        keys.map((key) => put(key)),
        call(),
      ),
      replaced,
    );
    await assert.rejects(
      meta.write(
        keys.map((key) => ({ kind: "check", key, condition: { ifAbsent: true } }) as const),
        call(),
      ),
      replaced,
    );
    assert.deepEqual(await itemsOf(address, options.table), [], "nothing was written");
  });

  it("holds 100 operations that need nothing: a place is held, unseen, and given up again", async () => {
    const { meta, options } = await newStore(scope, address);
    const keys = Array.from({ length: 100 }, (_, number) => `n/${number}`);
    const absent = (value: string) =>
      keys.map((key) => ({ ...put(key, value), condition: { ifAbsent: true } }) as const);
    // All of them want all 100 keys: one gets them.
    const outcomes = await Promise.allSettled(["1", "2", "3", "4"].map((value) => meta.write(absent(value), call())));
    const won = outcomes.flatMap((outcome, index) => (outcome.status === "fulfilled" ? [`${index + 1}`] : []));
    assert.equal(
      won.length,
      1,
      JSON.stringify(outcomes.map((outcome) => String((outcome as PromiseRejectedResult).reason))),
    );
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") assert.match(String(outcome.reason.reason), /^(?:CONDITION_FAILED|CONFLICT)$/);
    }
    const found = await meta.get(keys, call());
    assert.deepEqual(new Set(found.map((item) => textOf(item?.value))), new Set(won));
    // Over what is there, and taking all of it away.
    await meta.write(
      keys.map((key) => put(key, "over")),
      call(),
    );
    await meta.write(
      keys.map((key) => ({ kind: "delete", key }) as const),
      call(),
    );
    assert.deepEqual(await itemsOf(address, options.table), []);
    // One that fails leaves no place behind, and names the first that failed.
    await meta.write([put("n/7"), put("n/50")], call());
    await assert.rejects(meta.write(absent("5"), call()), { reason: "CONDITION_FAILED", metadata: { index: "7" } });
    await meta.write([put("n/0")], call());
    await assert.rejects(meta.write(absent("5"), call()), { reason: "CONDITION_FAILED", metadata: { index: "0" } });
    assert.equal((await itemsOf(address, options.table)).length, 3);
    const checks = keys.map((key) => ({ kind: "check", key: `no/${key}`, condition: { ifAbsent: true } }) as const);
    assert.deepEqual(
      await meta.write(checks, call()),
      keys.map(() => ""),
    );
  });

  it("may hold places that a killed driver left: nobody sees them", async () => {
    const { meta, options } = await newStore(scope, address);
    await ask(address, "PutItem", {
      TableName: options.table,
      Item: { p: { S: meta.facts.id }, k: { S: "held" } },
    });
    assert.deepEqual(await meta.get(["held"], call()), [undefined]);
    assert.deepEqual(await meta.list({ prefix: "", startAfter: "", limit: 1 }, call()), { items: [], more: false });
    await meta.write([put("z")], call());
    const { items, more } = await meta.list({ prefix: "", startAfter: "", limit: 10 }, call());
    assert.deepEqual([items.map(({ key }) => key), more], [["z"], false]);
    // A Query is not isolated from a transaction.
    assert.deepEqual(await meta.count?.("", call()), { count: 1, exact: false });
    await assert.rejects(meta.write([{ ...put("held"), condition: { ifPresent: true } }], call()), {
      reason: "CONDITION_FAILED",
    });
    await meta.write([{ ...put("held", "now"), condition: { ifAbsent: true } }], call());
    assert.equal(textOf((await meta.get(["held"], call()))[0]?.value), "now");
  });

  it("is listed from behind a key that is the prefix itself", async () => {
    const { meta } = await newStore(scope, address);
    await meta.write([put("a"), put("a/b"), put("a/b/c"), put("b")], call());
    for (const [prefix, startAfter, keys] of [
      ["a/b", "a/b", ["a/b/c"]],
      ["a/b", "a/a", ["a/b", "a/b/c"]],
      ["a", "a", ["a/b", "a/b/c"]],
      ["", "", ["a", "a/b", "a/b/c", "b"]],
      ["b", "b", []],
    ] as const) {
      const { items } = await meta.list({ prefix, startAfter, limit: 10 }, call());
      assert.deepEqual(
        items.map(({ key }) => key),
        keys,
      );
    }
  });

  it("is asked for no more than one transaction may answer", async () => {
    const { meta } = await newStore(scope, address);
    const keys = Array.from({ length: 20 }, (_, number) => `big/${number}`);
    for (const key of keys) await meta.write([put(key, Buffer.alloc(256 * 1024, key))], call());
    const found = await meta.get([...keys, "absent"], call());
    assert.equal(found.length, 11, "half of 21 keys");
    assert.ok(found.every((item, index) => item?.key === keys[index]));
  });

  it("is named wrong, in a sentence, by what is set wrong", async () => {
    const options = settings(address);
    const { AWS_REGION } = credentials;
    await initDynamodb(options);
    await refused({ ...options, region: "us-east-1" }, "NOT_INITIALISED", /there is no table \S+ in us-east-1/);
    await refused(
      { ...options, endpoint: `http://127.0.0.1:${await freePort()}` },
      "BACKEND_DOWN",
      /ECONNREFUSED\): is --endpoint right\?/,
    );
    await refused(
      { ...options, endpoint: "", region: "eu-nowhere-1" },
      "BACKEND_DOWN",
      /is the region eu-nowhere-1 right \(--region\)\?/,
    );
    await refused({ ...options, endpoint: "127.0.0.1" }, "INVALID_FIELD", /endpoint.*must be http\(s\):\/\/host:port/);
    await refused({ ...options, table: "a/b" }, "INVALID_FIELD", /table.*must be 3 to 255/);
    await refused({ ...options, requestTimeout: 60_000 }, "INVALID_FIELD", /requestTimeout.*must be 100ms to 10s/);
    delete process.env["AWS_REGION"];
    await refused(options, "BACKEND_DOWN", /no AWS region is set: give --region, AWS_REGION, or a profile with one/);
    await (await openDynamodb({ ...options, region: AWS_REGION })).close();
    process.env["AWS_REGION"] = AWS_REGION;
    delete process.env["AWS_ACCESS_KEY_ID"];
    await refused(options, "BACKEND_DOWN", /no AWS credentials were found: give them by AWS_ACCESS_KEY_ID/);
  });

  // What AWS answers and DynamoDB Local does not.
  const answers: readonly (readonly [string, string, RegExp])[] = [
    [
      "UnrecognizedClientException",
      "The security token included in the request is invalid.",
      /AWS does not know these credentials in eu-central-1: check AWS_ACCESS_KEY_ID/,
    ],
    [
      "InvalidSignatureException",
      "The request signature we calculated does not match the signature you provided.",
      /AWS_SECRET_ACCESS_KEY is not that of the access key/,
    ],
    [
      "InvalidSignatureException",
      "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z (20260101T001500Z - 5 min.)",
      /from a wrong clock: set this machine's \(NTP\)/,
    ],
    ["ExpiredTokenException", "The security token included in the request is expired", /session token has expired/],
    [
      "AccessDeniedException",
      "User: arn:aws:iam::1:user/u is not authorized to perform: dynamodb:DescribeTable on resource: arn:…",
      /may not dynamodb:DescribeTable on table t-\S+ at http\S+: grant it/,
    ],
  ];
  for (const [type, message, sentence] of answers) {
    it(`is refused with ${type}: ${message.slice(0, 30)}… in a sentence`, async () => {
      const body = JSON.stringify({ __type: `com.amazon.coral.service#${type}`, message });
      const headers = { "content-type": "application/x-amz-json-1.0" };
      const rule = faults.add({}, { answer: { status: 400, headers, body } });
      await assert.rejects(openDynamodb(settings(faults.address)), (error: Error) => {
        assert.match(error.message, sentence);
        assert.ok(!error.message.includes(credentials.AWS_SECRET_ACCESS_KEY));
        return true;
      });
      assert.equal(rule.struck, 1, "it is not tried again");
    });
  }

  it("of another layout is left to the release that wrote it", async () => {
    const options = settings(address, newTable());
    await makeTable(address, options.table);
    for (let number = 0; number < 16; number++) {
      const k = { S: `store/${String(number).padStart(2, "0")}` };
      const Item = { p: { S: "outrigger" }, k, id: { S: randomUUID() }, format: { S: "2" } };
      await ask(address, "PutItem", { TableName: options.table, Item });
    }
    await refused(options, "STORED_CORRUPT", /has layout 2, and this release knows only 1/);
  });
});
