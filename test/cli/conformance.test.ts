/** `outrigger conformance` on a command line: what it takes, what it refuses, how it ends. */

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { shellCommand } from "../helpers/compiled.ts";
import { startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { outrigger } from "./cli.ts";

const conformance = (...args: readonly string[]) => outrigger(["conformance", ...args]);

const nobody = "unix:///no/such.sock";

describe("outrigger conformance refuses", { concurrency: 2 }, () => {
  const cases: readonly (readonly [what: string, args: readonly string[], told: RegExp, code: number])[] = [
    ["no address", [], /give the driver's address, or --start/, 2],
    ["what is no address", ["driver.sock"], /driver\.sock is not an address: write unix:\/\/\//, 1],
    ["three drivers", ["a:1", "b:2", "c:3"], /at most two drivers/, 2],
    ["--kill alone", [nobody, "--kill", "true"], /--kill needs --start/, 2],
    ["no number", [nobody, "--repeat", "often"], /--repeat: often is not a whole number from 1/, 2],
    ["no patience", [nobody, "--patience", "0"], /--patience: 0 is not a whole number from 10/, 2],
    ["an unknown group", [nobody, "--only", "bolb"], /no group and no rule "bolb": groups are handshake, /, 2],
    [
      "an unknown rule",
      [nobody, "--without", "blob.read.99"],
      /no rule "blob\.read\.99": .*rules are .*blob\.read\.01/,
      2,
    ],
    ["a folder that is not there", [nobody, "--local-root", "/no/such/folder"], /there is no \/no\/such\/folder/, 1],
    ["a command that fails", ["--start", 'sh -c "exit 9" --'], /ended \(exit 9\) before it answered/, 1],
  ];
  for (const [what, args, told, code] of cases) {
    it(what, { timeout: 120_000 }, async () => {
      const ran = await conformance(...args);
      assert.match(ran.stderr, told);
      assert.equal(ran.stderr.trim().split("\n").length, 1, ran.stderr);
      assert.equal(ran.code, code, ran.stderr);
    });
  }

  it("a report folder that is a file, before the run", async (t) => {
    const scope = new Scope();
    t.after(scope.close);
    const file = join(tempFolder(scope), "file");
    writeFileSync(file, "");
    const ran = await conformance(nobody, "--report", file);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /--report: .*file is a file, or lies below one: name a folder/);
  });
});

describe("outrigger conformance", () => {
  it("starts a driver at a socket of its own, writes reports, and leaves nothing running", async (t) => {
    const scope = new Scope();
    t.after(scope.close);
    const report = join(tempFolder(scope), "report");
    const start = shellCommand("driver", "memory");
    const ran = await conformance("--start", start, "--only", "handshake", "--seed", "12", "--report", report);
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    assert.match(ran.stdout, /seed 12\b/);
    assert.match(ran.stdout, /^handshake {2}passed, as far as it was run/m);
    const result = JSON.parse(readFileSync(join(report, "result.json"), "utf8"));
    const socket = String(result.addresses[0]).slice("unix://".length);
    assert.match(socket, /kit-.*1\.sock$/);
    assert.ok(!existsSync(socket), "the driver's socket is still there");
  });

  it("is not green when nothing ran", async (t) => {
    const scope = new Scope();
    t.after(scope.close);
    const { address } = await startDriver(scope, { driver: "memory" });
    const ran = await conformance(address, "--only", "process.drain,replicas");
    assert.equal(ran.code, 1, ran.stdout);
    assert.match(ran.stdout, /not run +process\.drain\.01: .*\(give --start CMD\)/);
    assert.match(ran.stdout, /^process +not run +claimed, and not proven/m);
    assert.match(ran.stdout, /^replicas +not claimed/m);
    assert.match(ran.stdout, /nothing was tested/);
  });
});
