/** The whole kit against this package's drivers, as an author would run it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import type { Profile } from "../../conformance/contract.ts";
import type { ProfileState, RunResult } from "../../conformance/results.ts";
import { compiledCommand } from "../helpers/compiled.ts";
import { assertReported, KIT_MS, PATIENCE } from "../helpers/kit.ts";
import { initialiseRoot } from "../helpers/outrigger.ts";
import { launch, Scope } from "../helpers/processes.ts";
import { newSeed } from "../helpers/random.ts";
import { tempFolder } from "../helpers/temp.ts";
import { repository } from "../helpers/tools.ts";

const seed = newSeed();

const shared = new Scope();
let main = "";

before(async () => {
  main = await compiledCommand(shared);
});
after(shared.close);

/** A start command. Quoted: this repository may lie anywhere. */
const driver = (name: string, flags = "") => `exec "${process.execPath}" "${main}" driver ${name} ${flags}`;

interface Ran {
  readonly result: RunResult;
  readonly badge: { readonly message: string; readonly color: string };
}

async function kit(t: TestContext, name: string, scope: Scope, flags: readonly string[]): Promise<Ran> {
  // CONFORMANCE_REPORTS keeps the reports: what the README's table of drivers is made from.
  const kept = process.env["CONFORMANCE_REPORTS"];
  const report = kept === undefined ? join(tempFolder(scope), "report") : join(kept, name);
  const argv = [main, "conformance", ...PATIENCE, ...flags, "--seed", String(seed), "--report", report];
  const running = scope.add(launch("conformance", process.execPath, argv, { cwd: repository }));
  const { code } = await running.exited;
  for (const line of running.lines.filter((line) => /^ {2}FAILED|^note:/.test(line))) t.diagnostic(line);
  assert.equal(code, 0, running.tail(60));
  const read = (file: string) => JSON.parse(readFileSync(join(report, file), "utf8"));
  return { result: read("result.json"), badge: read("badge.json") };
}

function assertProfiles({ result, badge }: Ran, due: Readonly<Record<Profile, ProfileState>>): void {
  assert.deepEqual({ ...result.profiles }, due);
  assert.equal(badge.color, "brightgreen", badge.message);
  // Nothing of the kit's is left in the store, and nothing happened beside the tests.
  assert.deepEqual(result.notes, []);
}

async function inScope(t: TestContext, work: (scope: Scope) => Promise<void>): Promise<void> {
  const scope = new Scope();
  t.after(scope.close);
  await work(scope);
}

describe(`the kit (seed ${seed})`, { concurrency: true }, () => {
  it("finds the filesystem driver right", { timeout: KIT_MS }, (t) =>
    inScope(t, async (scope) => {
      const root = tempFolder(scope, "root");
      await initialiseRoot(root);
      const start = driver("filesystem", `--root "${root}"`);
      const ran = await kit(t, "filesystem", scope, ["--start", start, "--local-root", root]);
      assert.equal(ran.result.driver?.name, "io.outrigger.filesystem");
      assertProfiles(ran, {
        handshake: "passed",
        process: "passed",
        meta: "passed",
        blob: "passed",
        resume: "passed",
        replicas: "not-claimed",
        "fast-paths": "passed",
      });
      assertReported("filesystem", ran.result);
    }),
  );

  it("finds the memory driver right", { timeout: KIT_MS }, (t) =>
    inScope(t, async (scope) => {
      const ran = await kit(t, "memory", scope, ["--start", driver("memory")]);
      assert.equal(ran.result.driver?.name, "io.outrigger.memory");
      assertProfiles(ran, {
        handshake: "passed",
        process: "passed",
        meta: "passed",
        blob: "passed",
        resume: "not-claimed",
        replicas: "not-claimed",
        "fast-paths": "not-claimed",
      });
      assertReported("memory", ran.result);
    }),
  );
});
