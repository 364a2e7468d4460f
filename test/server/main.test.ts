import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openMemoryDriver } from "../../drivers/memory/index.ts";
import { answered, type Cleanup, cleanly, GrpcClient } from "./grpc-kit.ts";
import { bytes } from "./kit.ts";

const program = fileURLToPath(new URL("memory-program.ts", import.meta.url));

interface Child {
  readonly process: ChildProcess;
  readonly ended: Promise<{ code: number | null; out: string; err: string }>;
  /** Resolves with the log line that has this message. */
  says(message: string): Promise<Record<string, unknown>>;
}

function run(cleanup: Cleanup, args: string[], env: Record<string, string> = {}): Child {
  const child = spawn(process.execPath, ["--import", "tsx", program, ...args], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  cleanup.add(() => child.exitCode ?? child.signalCode ?? child.kill("SIGKILL"));
  let out = "";
  let err = "";
  child.stdout.on("data", (data) => {
    out += data;
  });
  child.stderr.on("data", (data) => {
    err += data;
  });
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, out, err }));
  return {
    process: child,
    ended,
    async says(message) {
      for (;;) {
        const line = err.split("\n").find((one) => one.includes(`"msg":"${message}"`));
        if (line !== undefined) return JSON.parse(line);
        const more = await Promise.race([once(child.stderr, "data"), ended]);
        if ("code" in more && !err.includes(`"msg":"${message}"`)) assert.fail(`ended without saying it: ${err}`);
      }
    },
  };
}

test(
  "[process.listen.01] [process.drain.01] a program: serves where it is told, drains at SIGTERM and exits 0",
  cleanly(async (cleanup) => {
    const path = join(await cleanup.folder(), "d.sock");
    const child = run(cleanup, [], { OUTRIGGER_LISTEN: `unix://${path}`, OUTRIGGER_METRICS_LISTEN: "127.0.0.1:0" });
    const line = await child.says("serving");
    assert.equal(line["address"], `unix://${path}`);
    const shape = await openMemoryDriver({ blobId: String(line["blob"]), metaId: String(line["meta"]) });
    const client = new GrpcClient(`unix://${path}`, shape);
    cleanup.add(() => client.close());
    const { stream } = client.append();
    await stream.open({ uploadId: "a", create: true });
    await stream.chunk(0, bytes(10));
    await answered((done) => client.blob.stat({ keys: [] }, client.metadata("blob"), done));
    // Twice, as a supervisor does that signals a child and its group.
    child.process.kill("SIGTERM");
    child.process.kill("SIGTERM");
    await stream.failsWith("DRAINING");
    const { code, err } = await child.ended;
    assert.equal(code, 0, err);
    await assert.rejects(access(path), { code: "ENOENT" });
  }),
);

test(
  "a start that fails is one sentence and exit code 1",
  cleanly(async (cleanup) => {
    for (const [args, sentence] of [
      [[], /--listen is missing/],
      [["--listen", "0.0.0.0:0"], /beyond loopback/],
      [["--listen", "127.0.0.1:0", "--colour"], /--colour/],
      [["--listen", "127.0.0.1:0", "--stores", "all"], /one of both, blob, meta/],
      [["--listen", "127.0.0.1:0", "--tls-cert", "x"], /belong together/],
    ] as const) {
      const { code, out, err } = await run(cleanup, [...args]).ended;
      assert.equal(code, 1);
      assert.equal(out, "");
      assert.match(err, sentence);
      assert.equal(err.trim().split("\n").length, 1, err);
    }
  }),
);

test(
  "[process.init.01] --init and --help exit 0",
  cleanly(async (cleanup) => {
    assert.equal((await run(cleanup, ["--init"]).ended).code, 0);
    const help = await run(cleanup, ["--help"]).ended;
    assert.equal(help.code, 0);
    assert.match(help.out, /--stores STRING +Which stores to serve. \(default both\) \[OUTRIGGER_STORES\]/);
  }),
);

test(
  "OTEL_* variables that ask for an exporter that is not installed are one sentence",
  cleanly(async (cleanup) => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" };
    const { code, err } = await run(cleanup, ["--listen", "127.0.0.1:0"], env).ended;
    assert.equal(code, 1);
    assert.match(err, /install @opentelemetry\/exporter-trace-otlp-http, or unset them/);
  }),
);
