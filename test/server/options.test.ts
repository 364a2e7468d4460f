import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { OptionSpecs } from "../../server/contract.ts";
import { describeOptions, readOptions, UsageError } from "../../server/option-values.ts";
import { hostOptions } from "../../server/options.ts";
import { cleanly } from "./grpc-kit.ts";

const specs = {
  ...hostOptions,
  root: { kind: "string", doc: "The folder.", required: true },
  maxSize: { kind: "bytes", doc: "A size.", default: 5 },
  secretKey: { kind: "integer", doc: "A secret.", secret: true },
} as const satisfies OptionSpecs;

const read = (argv: string[], env: Record<string, string> = {}) => readOptions(specs, argv, env);

function refuses(argv: string[], env: Record<string, string>, sentence: RegExp): void {
  assert.throws(
    () => read(argv, env),
    (error) => error instanceof UsageError && sentence.test(error.message) && !error.message.includes("\n"),
  );
}

test(
  "flags win over the environment, it over the file, it over defaults",
  cleanly(async (cleanup) => {
    const file = join(await cleanup.folder(), "c.yaml");
    writeFileSync(file, "root: /file\nmaxSize: 2KiB\nlockWait: 5s\nreadOnly: true\nlogLevel: warn\n");
    const argv = ["--config", file, "--root=/flag", "--no-read-only"];
    const values = read(argv, { OUTRIGGER_ROOT: "/env", OUTRIGGER_LOG_LEVEL: "debug", OUTRIGGER_TLS_KEY: "" });
    assert.equal(values.root, "/flag");
    assert.equal(values.logLevel, "debug");
    assert.equal(values.maxSize, 2048);
    assert.equal(values.lockWait, 5000);
    assert.equal(values.readOnly, false);
    assert.equal(values.insecure, false);
    assert.equal(values.tlsKey, undefined);
    assert.equal(read([], { OUTRIGGER_CONFIG: file }).root, "/file");
    assert.equal(read(["--root", "/x"]).maxSize, 5);
  }),
);

test(
  "unknown flags and keys, and values that are none, are sentences that name them",
  cleanly(async (cleanup) => {
    const file = join(await cleanup.folder(), "c.yaml");
    refuses(["--rooot", "x"], {}, /--rooot/);
    refuses(["--root", "x", "stray"], {}, /stray/);
    refuses([], {}, /^--root is missing: The folder. \(or set OUTRIGGER_ROOT\)$/);
    refuses(["--root", "x", "--max-size", "5 parsecs"], {}, /--max-size is "5 parsecs", not a size/);
    refuses(["--root", "x"], { OUTRIGGER_LOCK_WAIT: "soon" }, /OUTRIGGER_LOCK_WAIT is "soon", not a time/);
    refuses(["--root", "x", "--log-level", "loud"], {}, /one of trace, debug/);
    refuses(["--root", "x"], { OUTRIGGER_READ_ONLY: "perhaps" }, /not true or false/);
    refuses(["--config", file], {}, /cannot be read/);
    writeFileSync(file, "root: x\nroof: y\n");
    refuses(["--config", file], {}, /unknown key roof; known are listen/);
    writeFileSync(file, "- root\n");
    refuses(["--config", file], {}, /is not a list/);
    writeFileSync(file, "root: 5\n");
    refuses(["--config", file], {}, /root in .* is 5, not text/);
  }),
);

test("a secret's value is never in the error", () => {
  refuses(["--root", "x", "--secret-key", "hunter2"], {}, /^--secret-key is not a whole number$/);
});

test("--help lists every option with its variable", () => {
  const text = describeOptions(specs);
  for (const name of ["--lock-wait DURATION", "OUTRIGGER_TLS_CLIENT_CA", "--read-only ", "(default 5)"]) {
    assert(text.includes(name), name);
  }
});
