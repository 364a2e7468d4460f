import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { protoFiles, scannerProtoFile } from "../../proto/options.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { repository } from "../helpers/tools.ts";
import { onlyLine, outrigger } from "./cli.ts";

test("proto export writes the contract's files, and again over its own", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const folder = join(tempFolder(scope), "new/proto");
  for (const _ of [1, 2]) {
    const ended = await outrigger(["proto", "export", folder]);
    assert.deepEqual(ended, { code: 0, stdout: `7 files in ${folder}\n`, stderr: "" });
    for (const name of [...protoFiles, scannerProtoFile])
      assert.deepEqual(readFileSync(join(folder, name)), readFileSync(join(repository, "proto", name)));
  }
});

test("proto export leaves a folder that holds anything else as it is", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const folder = tempFolder(scope);
  mkdirSync(join(folder, "src"));
  writeFileSync(join(folder, "src/mine.go"), "package mine");
  const ended = await outrigger(["proto", "export", folder]);
  assert.equal(ended.code, 1);
  assert.equal(onlyLine(ended), `outrigger: ${folder} holds other files (src/mine.go): name a new or empty folder`);
  assert.deepEqual(readdirSync(folder), ["src"]);

  const file = join(folder, "src/mine.go");
  const onFile = await outrigger(["proto", "export", file]);
  assert.equal(onlyLine(onFile), `outrigger: ${file} is a file: name a folder`);
});
