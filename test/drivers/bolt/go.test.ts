/** The bolt driver's module: its own tests, its form, and that its generated code is what proto/ says today. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { command, goCommand, goEnvironment, missing, repository } from "../../helpers/tools.ts";

const folder = join(repository, "drivers/bolt");
const go = (...args: string[]) =>
  command(goCommand(), args, {
    cwd: folder,
    env: goEnvironment,
    timeoutMs: 280_000,
  });

function filesOf(root: string): Map<string, string> {
  return new Map(
    readdirSync(root, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".go"))
      .sort()
      .map((name) => [name, readFileSync(join(root, name), "utf8")]),
  );
}

describe("the bolt driver's Go module", { skip: missing("outrigger-driver-bolt") }, () => {
  const scope = new Scope();
  before(() => command(process.execPath, ["scripts/tools.mjs"], { cwd: repository, timeoutMs: 280_000 }));
  after(scope.close);

  it("passes its own tests, and vet", async () => {
    await go("vet", "./...");
    await go("test", "./...");
  });

  it("is formatted", async () => {
    const { stdout } = await command(join(goCommand(), "../gofmt"), ["-l", "."], { cwd: folder });
    assert.equal(stdout, "");
  });

  it("has all it needs in go.mod and go.sum, and no more", async () => {
    const { stdout } = await go("mod", "tidy", "-diff");
    assert.equal(stdout, "");
  });

  it("holds the generated code that its buf.gen.yaml makes of proto/ (else: go generate in drivers/bolt)", async () => {
    const made = tempFolder(scope, "gen");
    const inputs = ["handshake", "meta"].flatMap((api) => ["--path", join(repository, "proto/outrigger", api)]);
    await command(join(repository, "tools/node_modules/.bin/buf"), ["generate", repository, ...inputs, "-o", made], {
      cwd: folder,
      timeoutMs: 280_000,
    });
    const fresh = filesOf(join(made, "internal/gen"));
    assert.equal(fresh.size, 4);
    assert.deepEqual(filesOf(join(folder, "internal/gen")), fresh);
  });
});
