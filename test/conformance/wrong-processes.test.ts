/** Wrong drivers that show only as processes: when they are killed, stopped or started otherwise. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { groups } from "../../conformance/groups/index.ts";
import { verdictCaught, verdictEscapes } from "../../conformance/wrong/verdict.ts";
import { wrongs } from "../../conformance/wrong/wrongs.ts";
import { wrongDriver } from "../helpers/compiled.ts";
import { launch, Scope } from "../helpers/processes.ts";
import { newSeed } from "../helpers/random.ts";
import { tempFolder } from "../helpers/temp.ts";
import { repository } from "../helpers/tools.ts";

const seed = newSeed();
const main = join(repository, "conformance/wrong/main.ts");
const HANGS_MS = 120_000;

describe(`drivers as processes (OUTRIGGER_TEST_SEED=${seed})`, { concurrency: 2 }, () => {
  for (const wrong of wrongs.filter(({ processes }) => processes === true)) {
    it(`${wrong.name}: ${wrong.does} [${wrong.caughtBy.join(", ")}]`, { timeout: HANGS_MS }, async () => {
      assert.equal(await verdictCaught(wrong, { groups, seed, program: wrongDriver() }), undefined);
    });
    it(`${wrong.name} escapes without ${wrong.caughtBy.join(", ")}`, { timeout: HANGS_MS }, async () => {
      assert.equal(await verdictEscapes(wrong, { groups, seed, program: wrongDriver() }), undefined);
    });
  }

  it("the program says in a sentence what it was told wrongly", async (t) => {
    const scope = new Scope();
    t.after(scope.close);
    const folder = tempFolder(scope);
    for (const [flags, sentence] of [
      [["--listen", "127.0.0.1:0"], /^--folder is missing/],
      [["--folder", folder], /^--listen is missing/],
      [["--folder", folder, "--listen", "127.0.0.1:0"], /start once with --init$/],
      [
        ["--folder", folder, "--listen", "127.0.0.1:0", "--wrong", "rong"],
        /^there is no wrong driver rong: .*short-read/,
      ],
      [["--folder", folder, "--listen", "127.0.0.1:0", "--stream-idle-ms", "soon"], /^--stream-idle-ms soon is not/],
    ] as const) {
      const program = scope.add(launch("wrong", process.execPath, ["--import", "tsx", main, ...flags]));
      assert.equal((await program.exited).code, 1, flags.join(" "));
      assert.equal(program.lines.length, 1, "one line");
      assert.match(program.lines[0] ?? "", sentence);
    }
  });
});
