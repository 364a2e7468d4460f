/** The check that holds released .proto files must be able to fail. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { repository } from "../helpers/tools.ts";

const blob = "proto/outrigger/blob/v1/blob.proto";

function checkBreaking(root: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", "tsx", "scripts/proto-breaking.ts", "--root", root],
    { cwd: repository, encoding: "utf8" },
  );
  return { status, output: stdout + stderr };
}

function git(root: string, ...args: readonly string[]): void {
  const identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
  const { status, stderr } = spawnSync("git", [...identity, ...args], { cwd: root, encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

function edit(path: string, from: string, to: string): void {
  const text = readFileSync(path, "utf8");
  assert.ok(text.includes(from), `${path} does not have ${from}`);
  writeFileSync(path, text.replace(from, to));
}

/** A checkout of its own with the contract and its image in it. */
function checkout(scope: Scope): string {
  const root = tempFolder(scope);
  cpSync(join(repository, "buf.yaml"), join(root, "buf.yaml"));
  for (const folder of ["outrigger", "google", "grpc", "released"]) {
    mkdirSync(join(root, "proto"), { recursive: true });
    cpSync(join(repository, "proto", folder), join(root, "proto", folder), { recursive: true });
  }
  git(root, "init", "-q");
  return root;
}

test("before the first release tag: a field that is gone breaks, one that is new does not", (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const root = checkout(scope);
  edit(join(root, blob), "message Flush {}", "message Flush {\n  bool soon = 1;\n}");
  const added = checkBreaking(root);
  assert.equal(added.status, 0, added.output);
  assert.match(added.output, /nothing breaks against proto\/released/);

  edit(join(root, blob), "  uint64 idle_ms = 3;\n", "");
  const removed = checkBreaking(root);
  assert.equal(removed.status, 1, removed.output);
  assert.match(removed.output, /idle_ms/);
});

test("with a release tag: it is what counts", (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const root = checkout(scope);
  edit(join(root, blob), "message Flush {}", "message Flush {\n  bool soon = 1;\n}");
  git(root, "add", "-A");
  git(root, "commit", "-qm", "release");
  git(root, "tag", "v0.1.0");
  assert.match(checkBreaking(root).output, /nothing breaks against v0.1.0/);

  edit(join(root, blob), "  bool soon = 1;\n", "");
  const removed = checkBreaking(root);
  assert.equal(removed.status, 1, removed.output);
  assert.match(removed.output, /soon/);
});

test("with nothing to compare with it fails rather than pass", (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const root = checkout(scope);
  rmSync(join(root, "proto/released"), { recursive: true });
  const { status, output } = checkBreaking(root);
  assert.equal(status, 1);
  assert.match(output, /nothing to compare with/);
});
