/** Whatever sits at the address, the kit says so by test id, goes on, and ends. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { RunResult } from "../../conformance/results.ts";
import { commandWords } from "../helpers/compiled.ts";
import { startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { repository } from "../helpers/tools.ts";
import { closing, cut, field, garbage, grpc, http1, http2, silent } from "./hostile-peers.ts";

interface Ran {
  readonly code: number | null;
  readonly said: string;
  readonly result: RunResult;
}

/** Not longer than this, whatever it meets. */
const MOST_MS = 90_000;

function kit(folder: string, flags: readonly string[]): Promise<Ran> {
  const report = join(folder, "report");
  const [program, ...words] = commandWords();
  const argv = [...words, "conformance", ...flags, "--report", report];
  return new Promise((resolve, reject) => {
    execFile(program, argv, { cwd: repository, timeout: MOST_MS, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      const said = `${stdout}${stderr}`;
      if (error?.killed) return reject(new Error(`the kit did not end within ${MOST_MS} ms: ${said.slice(-2000)}`));
      const result = JSON.parse(readFileSync(join(report, "result.json"), "utf8")) as RunResult;
      resolve({ code: error === null ? 0 : Number(error.code), said, result });
    });
  });
}

async function inScope(t: TestContext, work: (scope: Scope, folder: string) => Promise<void>): Promise<void> {
  const scope = new Scope();
  t.after(() => scope.close());
  await work(scope, tempFolder(scope, "kit"));
}

/** Everything was told: by id, and nothing as passed that was not. */
function assertTold({ code, said, result }: Ran): void {
  assert.equal(code, 1, said);
  assert.ok(result.failed > 0, said);
  assert.doesNotMatch(said, /^\s+at .*\(.*:\d+:\d+\)$/m, "a stack trace was printed");
  for (const group of result.groups)
    for (const test of group.tests)
      assert.ok(test.state !== "failed" || test.failure?.message, `${test.test} says why`);
}

/** Some of each group: a whole run meets each habit hundreds of times. */
const SOME =
  "handshake.version,blob.read.03,blob.append.02,blob.put.05,meta.get.01,meta.list.02/others,meta.write.01,call.size.01";

describe("an address without a driver", () => {
  const peers = { silent, closing, garbage, http1, http2 };
  for (const [name, start] of Object.entries(peers)) {
    it(`is told: ${name}`, { timeout: 120_000 }, (t) =>
      inScope(t, async (scope, folder) => {
        const ran = await kit(folder, [await start(scope), "--patience", "100"]);
        assertTold(ran);
        assert.equal(ran.result.driver, undefined);
        assert.equal(
          ran.result.groups.find((group) => group.name === "handshake")?.tests.some(({ state }) => state === "passed"),
          false,
        );
        const meta = ran.result.groups.find((group) => group.name === "meta");
        assert.match(meta?.error ?? "", /cannot begin/);
      }),
    );
  }

  it("is told: nobody listens", { timeout: 120_000 }, (t) =>
    inScope(t, async (_, folder) => {
      assertTold(await kit(folder, [`unix://${join(folder, "none.sock")}`, "--patience", "100"]));
    }),
  );

  it("is told: gRPC of somebody else", { timeout: 120_000 }, (t) =>
    inScope(t, async (scope, folder) => {
      const ran = await kit(folder, [await grpc(scope, () => "fail", false), "--patience", "100"]);
      assertTold(ran);
      assert.equal(ran.result.driver, undefined);
    }),
  );
});

describe("a driver that breaks off", () => {
  for (const then of ["silence", "close"] as const) {
    it(`in the middle of a frame, with ${then}`, { timeout: 200_000 }, (t) =>
      inScope(t, async (scope, folder) => {
        const driver = await startDriver(scope, { driver: "memory" });
        // Enough for Describe; not for a Read.
        const address = await cut(scope, driver.address, 1501, then);
        const ran = await kit(folder, [address, "--patience", "100", "--only", SOME]);
        assertTold(ran);
        assert.equal(ran.result.driver?.name, "io.outrigger.memory");
        assert.equal(testOf(ran, "blob.read.03").state, "failed");
      }),
    );
  }
});

function testOf({ result, said }: Ran, id: string) {
  const found = result.groups.flatMap((group) => group.tests).find((test) => test.id === id && test.state === "failed");
  assert.ok(found, `${id} is among the failed: ${said}`);
  return found;
}

/** ListResponse of either store, "more" always true: items {1: key}. */
let pages = 0;
const endless = () => {
  const item = field(1, Buffer.from(`kit/zz${String(++pages).padStart(12, "0")}`));
  return Buffer.concat([field(1, item), Buffer.from([0x10, 0x01])]);
};
const chunk = field(2, field(2, Buffer.alloc(1024)));

const habits = {
  "never answers": () => undefined,
  "answers everything with nothing": (_: string, stream: boolean) => (stream ? [] : [Buffer.alloc(0)]),
  "answers bytes that are no message": () => [Buffer.from([0xff, 0xff, 0xff, 0x07, 0x80])],
  "answers 5 MiB": () => [field(15, Buffer.alloc(5 * 1024 * 1024))],
  "lists for ever": (method: string, stream: boolean) =>
    method.endsWith(".List") ? [endless()] : stream ? Array.from({ length: 2000 }, () => chunk) : [Buffer.alloc(0)],
  "fails everything": () => "fail" as const,
};

describe("a driver with a right handshake that", () => {
  for (const [name, habit] of Object.entries(habits)) {
    it(name, { timeout: 200_000 }, (t) =>
      inScope(t, async (scope, folder) => {
        const ran = await kit(folder, [await grpc(scope, habit), "--patience", "60", "--only", SOME]);
        assertTold(ran);
        assert.equal(ran.result.driver?.name, "test.hostile");
        for (const id of ["blob.read.03", "meta.get.01", "meta.list.02", "meta.write.01"]) testOf(ran, id);
        if (name === "answers 5 MiB") testOf(ran, "call.size.01");
      }),
    );
  }
});
