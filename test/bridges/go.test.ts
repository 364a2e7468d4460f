/** bridges/distribution's own tests, in Go, and whether its stubs are what the .proto files say. */
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { describe, it } from "node:test";
import { runBridgeTests } from "../helpers/bridge.ts";
import { Scope } from "../helpers/processes.ts";
import { seedOf } from "../helpers/random.ts";
import { tempFolder } from "../helpers/temp.ts";
import { command, goCommand, goEnvironment, missing, repository, tool } from "../helpers/tools.ts";

const bridge = join(repository, "bridges/distribution");

describe("bridges/distribution", () => {
  it("passes its own tests", { skip: missing("bridge-tests") }, async (t) => {
    process.env["OUTRIGGER_TEST_SEED"] ??= String(seedOf(t));
    const { passed, failed, skipped, output } = await runBridgeTests({ skip: "^TestSuite$" });
    assert.deepEqual(failed, [], output);
    assert.deepEqual(skipped, []);
    assert.ok(passed.length >= 35, `only ${passed.length} tests ran`);
  });

  it("is formatted and vetted", { skip: missing("bridge-tests") }, async () => {
    const options = { cwd: bridge, env: goEnvironment, timeoutMs: 280_000 };
    assert.equal((await command(join(dirname(goCommand()), "gofmt"), ["-l", "."], options)).stdout, "");
    await command(goCommand(), ["vet", "./..."], options);
  });

  it("has the stubs that the .proto files give", {
    skip: missing("protoc-gen-go", "protoc-gen-go-grpc"),
  }, async (t) => {
    const scope = new Scope();
    t.after(scope.close);
    const folder = tempFolder(scope);
    cpSync(join(bridge, "buf.gen.yaml"), join(folder, "buf.gen.yaml"));
    await command(process.execPath, ["scripts/tools.mjs"], { cwd: repository, timeoutMs: 300_000 });
    const plugins = (["protoc-gen-go", "protoc-gen-go-grpc"] as const).map((name) => dirname(tool(name)));
    await command(
      join(repository, "tools/node_modules/.bin/buf"),
      ["generate", repository, "--exclude-path", join(repository, "proto/outrigger/scan")],
      {
        cwd: folder,
        env: { PATH: [...plugins, process.env["PATH"]].join(delimiter) },
        timeoutMs: 120_000,
      },
    );
    assert.deepEqual(stubs(bridge), stubs(folder), "make them anew, as bridges/distribution/buf.gen.yaml says");
  });
});

/** Path and text of every generated file. */
function stubs(folder: string): ReadonlyMap<string, string> {
  const generated = join(folder, "internal/gen");
  const names = readdirSync(generated, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".go"));
  assert.ok(names.length >= 6, names.join());
  return new Map(names.sort().map((name) => [name, readFileSync(join(generated, name), "utf8")]));
}
