/** Small parts of the command by themselves. */
import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { describeError } from "../../cli/failure.ts";
import { prettyLine } from "../../cli/log-lines.ts";
import { releaseSocket, shortSocketPath } from "../../cli/socket-path.ts";
import { messageOf } from "../../cli/supervisor.ts";
import { formatBytes, formatMs, table } from "../../cli/terminal.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";

test("log lines are shown with time, level, message and facts; others as they are", () => {
  const time = new Date(2026, 0, 2, 3, 4, 5).getTime();
  const line = {
    level: 40,
    time,
    pid: 1,
    hostname: "h",
    msg: "slow",
    address: "unix:///d",
    err: { message: "why", stack: "…" },
  };
  assert.equal(prettyLine("driver", JSON.stringify(line)), "03:04:05 driver warn: slow (address=unix:///d, err=why)");
  assert.equal(prettyLine("driver", '{"level":30,"msg":"no time"}'), "driver info: no time");
  assert.equal(prettyLine("driver", "Segmentation fault"), "driver: Segmentation fault");
  assert.equal(prettyLine("driver", "{ not json"), "driver: { not json");
});

test("a process's last words are its message, JSON or not", () => {
  assert.equal(messageOf('{"level":60,"msg":"the folder is locked"}'), "the folder is locked");
  assert.equal(messageOf("outrigger: no permission"), "no permission");
  assert.equal(messageOf("{broken"), "{broken");
});

test("errors become one line", () => {
  const system = (code: string) =>
    Object.assign(new Error("raw"), { code, syscall: "open", path: "/data" } satisfies Partial<NodeJS.ErrnoException>);
  assert.equal(describeError(system("ENOENT"), false), "there is no /data");
  assert.equal(describeError(system("EACCES"), false), "no permission for /data: run as its owner or change its mode");
  assert.equal(describeError(system("ENOSPC"), false), "the disk that holds /data is full");
  assert.equal(describeError(new Error("one\n  two\n"), false), "one; two");
  const error = new Error("outer", { cause: new Error("inner") });
  assert.match(describeError(error, true), /^Error: outer\n.*\ncaused by Error: inner/s);
});

test("a socket goes where it was wanted unless its name is too long for the kernel", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const temporary = tempFolder(scope);
  // 107 bytes at most, of which the driver needs 4 for the name it makes it under.
  const fits = `/${"x".repeat(102)}`;
  assert.deepEqual(await shortSocketPath(fits, temporary), { path: fits });
  const moved = await shortSocketPath(`${fits}x`, temporary);
  assert.ok(moved.path.startsWith(join(temporary, "outrigger-")));
  assert.equal(statSync(join(moved.path, "..")).mode & 0o777, 0o700);
  await releaseSocket(moved);
  assert.ok(!existsSync(join(moved.path, "..")));
});

test("figures are short", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 4 * 1024 ** 2, Number.POSITIVE_INFINITY].map(formatBytes), [
    "0 B",
    "1023 B",
    "1 KiB",
    "1.5 KiB",
    "4 MiB",
    "not limited",
  ]);
  assert.deepEqual([0.123, 999, 1200, 150_000, 86_400_000].map(formatMs), [
    "0.12 ms",
    "999 ms",
    "1.2 s",
    "2.5 min",
    "24 h",
  ]);
  assert.deepEqual(
    table([
      ["a", "bb"],
      ["ccc", "d"],
    ]),
    ["a    bb", "ccc  d"],
  );
});
