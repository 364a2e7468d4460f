/** What `outrigger new driver --lang go` writes, seen by Go's own tools. That it passes the kit is its guide's test. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runOutrigger } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { command, goCommand, goEnvironment, missing, repository } from "../helpers/tools.ts";

// Named by what it needs: Go, and its modules.
describe("a new driver in Go", { skip: missing("outrigger-driver-bolt") }, () => {
  const scope = new Scope();
  let folder: string;
  const go = (...args: string[]) =>
    command(goCommand(), args, {
      cwd: folder,
      env: goEnvironment,
      timeoutMs: 280_000,
    });

  before(async () => {
    folder = join(tempFolder(scope), "zz-9-long-name-of-a-driver");
    await runOutrigger(["new", "driver", "zz-9-long-name-of-a-driver", "--lang", "go", "--dir", folder]);
    await command(process.execPath, ["scripts/tools.mjs"], { cwd: repository, timeoutMs: 280_000 });
  });
  after(scope.close);

  it("builds, and vet finds nothing", async () => {
    await go("build", "-o", "bin/driver", ".");
    await go("vet", "./...");
  });

  it("is formatted, and its modules are locked and all needed", async () => {
    const { stdout } = await command(join(goCommand(), "../gofmt"), ["-l", "."], { cwd: folder });
    assert.equal(stdout, "");
    assert.equal((await go("mod", "tidy", "-diff")).stdout, "");
  });

  it("holds the code that its buf.gen.yaml makes of its .proto files (else: go generate in a new one, and copy gen/)", async () => {
    const made = tempFolder(scope, "gen");
    const buf = join(repository, "tools/node_modules/.bin/buf");
    await command(buf, ["generate", "proto", "--path", "proto/outrigger", "-o", made], {
      cwd: folder,
      timeoutMs: 280_000,
    });
    const filesOf = (root: string) =>
      readdirSync(root, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".go"))
        .sort()
        .map((name) => [name, readFileSync(join(root, name), "utf8")]);
    const fresh = filesOf(join(made, "gen"));
    assert.equal(fresh.length, 6);
    assert.deepEqual(filesOf(join(folder, "gen")), fresh);
  });

  it("says what it needs when it is started wrongly", async () => {
    assert.ok(existsSync(join(folder, "bin/driver")));
    const run = (...args: string[]) => command(join(folder, "bin/driver"), args, { env: { OUTRIGGER_LISTEN: "" } });
    await assert.rejects(run(), /--listen is missing/);
    await assert.rejects(run("--listen", "0.0.0.0:0"), /beyond loopback/);
    await assert.rejects(run("--listen", "127.0.0.1:0", "--tls-cert", "x"), /belong together/);
    await assert.rejects(run("serve"), /unknown argument \\"serve\\"/);
  });
});
