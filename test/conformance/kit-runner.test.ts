/** The runner, with groups made for it, against a right driver. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { credentials } from "@grpc/grpc-js";
import { callsOn } from "../../conformance/calls.ts";
import type { Calls, Context, Group, Test } from "../../conformance/contract.ts";
import { expectFault, Fault } from "../../conformance/faults.ts";
import { Recorder } from "../../conformance/recorder.ts";
import { storeOf } from "../../conformance/requirements.ts";
import type { TestResult } from "../../conformance/results.ts";
import { type RunOptions, runKit, timersOf } from "../../conformance/runner.ts";
import { UnknownName } from "../../conformance/selection.ts";
import { Wire } from "../../conformance/wire.ts";
import { startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { command, repository } from "../helpers/tools.ts";

const scope = new Scope();
let address = "";

before(async () => {
  address = (await startDriver(scope, { driver: "memory" })).address;
});
after(scope.close);

const test = (id: string, run: (ctx: Context) => Promise<void> | void, more: Partial<Test> = {}): Test => ({
  id,
  title: `title of ${id}`,
  run: async (ctx) => run(ctx),
  ...more,
});

const groupOf = (tests: readonly Test[], more: Partial<Group> = {}): Group => ({
  name: "made",
  profile: "blob",
  summary: "Made for the test.",
  requires: {},
  tests,
  ...more,
});

function run(groups: readonly Group[], more: Partial<RunOptions> = {}) {
  return runKit({
    groups,
    targets: [{ address, credentials: credentials.createInsecure() }],
    seed: 1,
    version: "0.0.0",
    patienceMs: 2_000,
    ...more,
  });
}

async function only(tests: readonly Test[], more: Partial<RunOptions> = {}): Promise<readonly TestResult[]> {
  const { groups } = await run([groupOf(tests)], more);
  return groups[0]?.tests ?? [];
}

/** Beside the kit: what is in the store. */
async function outside<Answer>(look: (calls: Calls) => Promise<Answer>): Promise<Answer> {
  const wire = new Wire(
    { address, credentials: credentials.createInsecure() },
    new Recorder({ message() {}, answer() {} }),
  );
  try {
    const first = callsOn(wire, { timers: timersOf(2_000), storeId: () => undefined });
    const described = await first.handshake.describe({});
    return await look(callsOn(wire, { timers: timersOf(2_000), storeId: (kind) => storeOf(described, kind)?.id }));
  } finally {
    wire.close();
  }
}

describe("a run", () => {
  it("goes on after whatever a test does, and tells it by id", async () => {
    const results = await only([
      test("a.b.01", () => assert.equal(1, 2)),
      test("a.b.02", () => {
        throw "not even an Error";
      }),
      test("a.b.03", () => new Promise(() => {}), { timeoutMs: -7_900 }),
      test("a.b.04/named", (ctx) => ctx.notRun("no such thing here")),
      test("a.b.05", () => {}),
    ]);
    assert.deepEqual(
      results.map(({ id, test, state }) => [id, test, state]),
      [
        ["a.b.01", "a.b.01", "failed"],
        ["a.b.02", "a.b.02", "failed"],
        ["a.b.03", "a.b.03", "failed"],
        ["a.b.04", "a.b.04/named", "not-run"],
        ["a.b.05", "a.b.05", "passed"],
      ],
    );
    assert.match(results[2]?.failure?.message ?? "", /did not end within 100 ms/);
    assert.equal(results[3]?.why, "no such thing here");
  });

  it("ends the calls that a test left open", async () => {
    let left: Promise<unknown> = Promise.resolve();
    const [result] = await only([
      test("a.b.01", async (ctx) => {
        const session = ctx.blob.append();
        await session.open({ uploadId: ctx.uploadId() });
        left = session.next(60_000);
        left.catch(() => {});
      }),
    ]);
    assert.equal(result?.state, "passed");
    await assert.rejects(left, (error) => error instanceof Fault && error.code === "CANCELLED");
  });

  it("takes away what a test wrote, also when it failed", async () => {
    const counted = () =>
      outside(async ({ blob, meta }) => [
        (await blob.count({ prefix: "kit/" })).count,
        (await meta.count({ prefix: "kit/" })).count,
        (await blob.listUploads({})).uploads.length,
      ]);
    let during: number[] = [];
    const [result] = await only([
      test("a.b.01", async (ctx) => {
        await ctx.blob.put({ key: ctx.key(), data: Buffer.from("x") });
        const operations = [{ key: ctx.key(), action: "put" as const, put: Buffer.from("x") }];
        await ctx.meta.write({ operations });
        const session = ctx.blob.append();
        await session.open({ uploadId: ctx.uploadId() });
        during = await counted();
        assert.fail("on purpose");
      }),
    ]);
    assert.equal(result?.state, "failed");
    assert.deepEqual(during, [1, 1, 1]);
    assert.deepEqual(await counted(), [0, 0, 0]);
  });

  it("keeps a failed test's calls, with what was sent and answered", async () => {
    const [result] = await only([
      test("a.b.01", async (ctx) => {
        await ctx.blob.put({ key: ctx.key("large"), data: Buffer.alloc(100_000) });
        await ctx.blob.read({ key: ctx.key("absent") }).rest();
      }),
    ]);
    assert.match(result?.failure?.message ?? "", /blob.Read ended with NOT_FOUND \/ KEY_NOT_FOUND/);
    const [put, read] = result?.failure?.calls ?? [];
    assert.equal(put?.outcome, "OK");
    assert.deepEqual(
      put?.messages.map(({ direction }) => direction),
      ["sent", "received"],
    );
    assert.match(put?.messages[0]?.summary ?? "", /<100000 bytes/);
    assert.match(put?.metadata["outrigger-store"] ?? "", /-/);
    assert.match(read?.outcome ?? "", /^NOT_FOUND/);
  });

  it("makes the same choices again from a seed, whichever other tests run", async () => {
    const chosen: string[] = [];
    const choose = test("a.b.02", (ctx) => void chosen.push(ctx.random.hex(16)));
    await only([test("a.b.01", (ctx) => void ctx.random.next()), choose], { seed: 7 });
    await only([choose], { seed: 7 });
    await only([choose], { seed: 8 });
    assert.equal(chosen[0], chosen[1]);
    assert.notEqual(chosen[0], chosen[2]);
  });

  it("repeats with other choices, up to the first failure, and says which seed that was", async () => {
    const chosen = new Set<string>();
    const [result] = await only([test("a.b.01", (ctx) => void chosen.add(ctx.random.hex(16)))], { repeat: 5 });
    assert.equal(chosen.size, 5);
    assert.equal(result?.runs, 5);
    let count = 0;
    const [failed] = await only([test("a.b.01", () => assert.ok(++count < 3))], { repeat: 5 });
    assert.equal(failed?.runs, 3);
    assert.deepEqual([failed?.failure?.run, failed?.failure?.seed], [3, 3]);
  });

  it("tells what is not claimed, what lacks means, and a claim that was not run", async () => {
    const never = test("a.b.01", () => assert.fail("it ran"));
    const { groups, profiles, passed, failed } = await run([
      groupOf([never], { name: "durable", profile: "resume", requires: { store: "blob", capability: "DURABLE" } }),
      groupOf([never], { name: "started", profile: "process", requires: { start: true } }),
      groupOf([never], { name: "twice", profile: "replicas", requires: { capability: "REPLICAS", replicas: true } }),
      groupOf([test("a.b.02", () => {})], { name: "plain", requires: { store: "blob", lacks: "DURABLE" } }),
    ]);
    const states = groups.map((group) => [group.name, group.tests[0]?.state, group.tests[0]?.why]);
    assert.deepEqual(states, [
      ["durable", "not-claimed", "no DURABLE"],
      ["started", "not-run", "give --start CMD"],
      ["twice", "not-claimed", "no REPLICAS"],
      ["plain", "passed", undefined],
    ]);
    assert.deepEqual(profiles, {
      resume: "not-claimed",
      process: "not-run",
      replicas: "not-claimed",
      blob: "passed",
    });
    assert.deepEqual([passed, failed], [1, 0]);
  });

  it("takes groups, rules, their beginnings and tests by name, and lists them for any other", async () => {
    const groups = [
      groupOf([test("a.b.01/one", () => {}), test("a.b.01/two", () => {}), test("a.c.01", () => {})], { name: "one" }),
      groupOf([test("x.y.01", () => {})], { name: "two" }),
    ];
    const names = async (only: string[], without: string[] = []) =>
      (await run(groups, { only, without })).groups.flatMap((group) => group.tests.map((each) => each.test));
    assert.deepEqual(await names(["two"]), ["x.y.01"]);
    assert.deepEqual(await names(["a.b.01"]), ["a.b.01/one", "a.b.01/two"]);
    assert.deepEqual(await names(["a.b"]), ["a.b.01/one", "a.b.01/two"]);
    assert.deepEqual(await names(["a.b.01/two", "x"]), ["a.b.01/two", "x.y.01"]);
    assert.deepEqual(await names([], ["one"]), ["x.y.01"]);
    assert.deepEqual(await names(["one"], ["a.b"]), ["a.c.01"]);
    await assert.rejects(names(["a.b.02"]), (error) => {
      assert.ok(error instanceof UnknownName);
      assert.match(error.message, /"a\.b\.02": groups are one, two; rules are a\.b\.01, a\.c\.01, x\.y\.01/);
      return true;
    });
    await assert.rejects(names([], ["tow"]), UnknownName);
  });

  it("stops when it is interrupted, in the middle of a test", async () => {
    const interrupt = new AbortController();
    const results = only(
      [
        test("a.b.01", async () => {
          interrupt.abort(new Error("enough"));
          await sleep(60_000, undefined, { ref: false });
        }),
        test("a.b.02", () => {}),
      ],
      { signal: interrupt.signal },
    );
    assert.deepEqual(
      (await results).map(({ test, state }) => [test, state]),
      [["a.b.01", "failed"]],
    );
  });

  it("survives what nobody awaits: a floating rejection, and an error out of an event", {
    timeout: 60_000,
  }, async () => {
    // In a process of its own: node:test takes such errors for its own.
    const program = `
      import { credentials } from "@grpc/grpc-js";
      import { runKit } from "./conformance/runner.ts";
      const test = (id, run) => ({ id, title: id, run });
      const { groups } = await runKit({
        targets: [{ address: "${address}", credentials: credentials.createInsecure() }],
        seed: 1, version: "0", patienceMs: 2000,
        groups: [{ name: "g", profile: "blob", summary: "", requires: {}, tests: [
          test("a.b.01", async () => { Promise.reject(new Error("floating")); await new Promise(() => {}); }),
          test("a.b.02", async () => { setImmediate(() => { throw new Error("thrown"); }); await new Promise(() => {}); }),
          test("a.b.03", async () => {}),
        ] }],
      });
      console.log(JSON.stringify(groups[0].tests.map((test) => [test.id, test.state, test.failure?.message])));`;
    const { stdout } = await command(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      cwd: repository,
    });
    assert.deepEqual(JSON.parse(stdout), [
      ["a.b.01", "failed", "floating"],
      ["a.b.02", "failed", "thrown"],
      ["a.b.03", "passed", null],
    ]);
  });

  it("gives up a silence after the patience", async () => {
    const [result] = await only(
      [
        test("a.b.01", async (ctx) => {
          const session = ctx.blob.append();
          await session.open({ uploadId: ctx.uploadId() });
          await session.next();
        }),
      ],
      { patienceMs: 150 },
    );
    assert.match(result?.failure?.message ?? "", /blob.Append: no message and no end within 150 ms/);
  });

  it("sees the whole of an error, and an error that is another one", async () => {
    const results = await only([
      test("a.b.01", async (ctx) => {
        const fault = await expectFault(ctx.blob.put({ key: "..", data: Buffer.from("x") }), "INVALID_KEY");
        assert.equal(fault.domain, "outrigger");
      }),
      test("a.b.02", async (ctx) => {
        await expectFault(ctx.blob.put({ key: "..", data: Buffer.from("x") }), "KEY_NOT_FOUND");
      }),
      test("a.b.03", async (ctx) => {
        await expectFault(ctx.blob.stat({ keys: [] }), "INVALID_KEY");
      }),
    ]);
    assert.deepEqual(
      results.map(({ state }) => state),
      ["passed", "failed", "failed"],
    );
    assert.match(
      results[1]?.failure?.message ?? "",
      /NOT_FOUND \/ KEY_NOT_FOUND was due, but blob.Put ended with INVALID_ARGUMENT/,
    );
    assert.match(results[2]?.failure?.message ?? "", /was due, but the call was answered/);
  });
});
