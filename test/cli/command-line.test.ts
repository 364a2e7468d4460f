/** What every command has in common: help, wrong command lines, errors in one line. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { commands } from "../../cli/commands.ts";
import { repository } from "../helpers/tools.ts";
import { onlyLine, outrigger } from "./cli.ts";

const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8"));

test("version is package.json's", async () => {
  assert.deepEqual(await outrigger(["version"]), { code: 0, stdout: `${version}\n`, stderr: "" });
  assert.deepEqual(await outrigger(["--version"]), { code: 0, stdout: `${version}\n`, stderr: "" });
  const { stdout } = await outrigger(["version", "--json"]);
  assert.deepEqual(JSON.parse(stdout).apis["outrigger.blob"], [{ major: 1, minor: 0 }]);
});

test("help names every command, with or without being asked for", async () => {
  const [asked, bare] = await Promise.all([outrigger(["--help"]), outrigger([])]);
  assert.equal(asked.code, 0);
  assert.equal(asked.stdout, bare.stdout);
  for (const { name, summary } of commands)
    assert.match(asked.stdout, new RegExp(`^  ${name} .*${summary.slice(0, 20)}`, "m"));
});

for (const [what, args, line] of [
  ["an unknown command", ["serve"], /^outrigger: unknown command 'serve'; see outrigger --help$/],
  ["an unknown option", ["version", "--jsno"], /^outrigger: unknown option '--jsno'.*see outrigger --help$/],
  ["a missing argument", ["describe"], /^outrigger: missing required argument 'addr'; see outrigger --help$/],
  ["a missing option", ["doctor"], /^outrigger: required option '--blobs <addr>' not specified; see outrigger --help$/],
  ["half a command", ["proto"], /^outrigger: the command is not complete; see outrigger --help$/],
  ["one argument too many", ["version", "please"], /^outrigger: too many arguments.*see outrigger --help$/],
  [
    "an unknown driver",
    ["driver", "floppy"],
    /^outrigger: there is no driver floppy: this package has azure, .* and shard;/,
  ],
  ["half a key pair", ["describe", "h:1", "--tls-cert", "c"], /^outrigger: --tls-cert and --tls-key belong together/],
  ["a listening address without port", ["up", "--listen", "here"], /^outrigger: --listen here is not HOST:PORT/],
] as const) {
  test(`${what} is exit code 2 and one line`, async () => {
    const ended = await outrigger(args);
    assert.match(onlyLine(ended), line);
    assert.equal(ended.code, 2);
  });
}

test("a stack is shown only with --verbose, wherever it stands", async () => {
  const quiet = await outrigger(["describe", "unix:///nowhere/d.sock"]);
  assert.match(onlyLine(quiet), /^outrigger: nobody listens at unix:\/\/\/nowhere\/d.sock/);
  const verbose = await outrigger(["describe", "unix:///nowhere/d.sock", "--verbose"]);
  assert.equal(verbose.code, 1);
  assert.match(verbose.stderr, /\n {4}at /);
});
