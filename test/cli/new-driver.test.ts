/** `outrigger new driver` as people type it. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { version } from "../../cli/version.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { onlyLine, outrigger } from "./cli.ts";

describe("outrigger new driver", () => {
  const scope = new Scope();
  after(scope.close);

  it("writes a folder of its name, here, and prints the next three commands", async () => {
    const cwd = realpathSync(tempFolder(scope));
    const loaded = { cwd, env: { OUTRIGGER_LOG_LEVEL: "info" } };
    const made = await outrigger(["new", "driver", "my-store", "--lang", "ts", "--outrigger", "^9.9.9"], loaded);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /\n {2}cd my-store\n {2}npm install\n {2}npm run kit\n$/);
    const manifest = JSON.parse(readFileSync(join(cwd, "my-store/package.json"), "utf8"));
    assert.equal(manifest.name, "outrigger-driver-my-store");
    assert.deepEqual(manifest.dependencies, { outrigger: "^9.9.9" });
    const again = await outrigger(["new", "driver", "my-store", "--lang", "ts"], loaded);
    assert.equal(again.code, 1);
    assert.match(onlyLine(again), /my-store is not empty \(it holds /);
  });

  it("puts this clone's package into the folder, which then needs nothing outside itself", async () => {
    const dir = join(tempFolder(scope), "it's here");
    const made = await outrigger(["new", "driver", "my-store", "--lang", "ts", "--dir", dir]);
    assert.equal(made.code, 0, made.stderr);
    assert.ok(made.stdout.includes(`  cd '${dir.replace("'", "'\\''")}'\n`), made.stdout);
    const { dependencies } = JSON.parse(readFileSync(join(dir, "package.json"), "utf8"));
    assert.deepEqual(dependencies, { outrigger: `file:vendor/outrigger-${version()}.tgz` });
    assert.ok(existsSync(join(dir, dependencies.outrigger.slice("file:".length))));
  });

  it("refuses bad names and languages in one line, and writes nothing", async () => {
    const cwd = tempFolder(scope);
    for (const [args, said] of [
      [["MyStore", "--lang", "ts"], /"MyStore" is not a driver's name: my-store\?/],
      [
        ["my-store", "--lang", "cobol"],
        /there is no template in cobol: --lang is one of go, python, ts; .*any-language/,
      ],
      [["my-store"], /required option '--lang <lang>'/],
    ] as const) {
      const ended = await outrigger(["new", "driver", ...args], { cwd });
      assert.equal(ended.code, 2, ended.stderr);
      assert.match(onlyLine(ended), said);
    }
    writeFileSync(join(cwd, "file"), "");
    const ended = await outrigger(["new", "driver", "x", "--lang", "ts", "--dir", join(cwd, "file")]);
    assert.match(onlyLine(ended), /is a file: name a new or empty folder/);
    assert.deepEqual(readdirSync(cwd), ["file"]);
  });
});
