/** One driver, three ways to its bytes: in this process, out of process over a unix socket, and by LOCAL_FILE. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import type { BlobStore, Stores } from "../client/contract.ts";
import { connect } from "../client/index.ts";
import { initFilesystem, openFilesystemDriver } from "../drivers/filesystem/open.ts";
import { systemClock } from "../proto/clock.ts";
import { createHandlers } from "../server/handlers.ts";
import { createInProcess } from "../test/helpers/in-process.ts";
import { largeBlob } from "./images.ts";

const cli = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const log = pino({ level: "silent" });

interface Figures {
  readonly append: number;
  readonly read: number;
  readonly stat: number;
  readonly get: number;
}

/** A table in Markdown: throughput of one stream and rates of small calls, 16 at once. */
export async function driverPaths(folder: string, largeBytes: number, seconds: number): Promise<string> {
  const inside = await inProcess(join(folder, "inside"), (stores) => figures(stores, largeBytes, seconds));
  const outside = await outOfProcess(join(folder, "outside"), false, (stores) => figures(stores, largeBytes, seconds));
  const local = await outOfProcess(join(folder, "local"), true, (stores) => figures(stores, largeBytes, seconds));
  const row = (what: string, unit: string, pick: (of: Figures) => number) => {
    const cells = [outside, local].map(
      (of) => `${pick(of).toFixed(0)} ${unit} (${(pick(of) / pick(inside)).toFixed(2)}×)`,
    );
    return `| ${what} | ${pick(inside).toFixed(0)} ${unit} | ${cells.join(" | ")} |`;
  };
  const size = `${largeBytes / 2 ** 20} MiB`;
  return [
    "The filesystem driver through the client library, ratios to the driver in the same process:",
    "",
    "| | in process | out of process, unix socket | LOCAL_FILE |",
    "| --- | ---: | ---: | ---: |",
    row(`Append of ${size}`, "MiB/s", (of) => of.append),
    row(`Read of ${size}`, "MiB/s", (of) => of.read),
    row("Stat of one key", "/s", (of) => of.stat),
    row("meta Get of one key", "/s", (of) => of.get),
  ].join("\n");
}

async function figures(stores: Stores, largeBytes: number, seconds: number): Promise<Figures> {
  await stores.ready();
  const mib = largeBytes / 2 ** 20;
  const blob = largeBlob(largeBytes, 9);
  const hex = blob.digest.slice("sha256:".length);
  const key = `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
  let begun = performance.now();
  await stores.blobs.append({
    uploadId: randomBytes(16).toString("hex"),
    create: true,
    algorithm: "sha256",
    offsetBytes: 0,
    sizeBytes: largeBytes,
    body: pieces(blob.of()),
    commit: { key, digest: blob.digest, sizeBytes: largeBytes },
  });
  const append = mib / ((performance.now() - begun) / 1000);

  begun = performance.now();
  await readWhole(stores.blobs, key, largeBytes);
  const read = mib / ((performance.now() - begun) / 1000);

  const metaKey = `outrigger/refs/sha256/${createHash("sha256").update("bench").digest("hex")}/bench`;
  await stores.meta.write([{ kind: "put", key: metaKey, value: Buffer.from("x"), condition: { ifAbsent: true } }]);
  const stat = await rate(seconds, () => stores.blobs.stat([key]));
  const get = await rate(seconds, () => stores.meta.get([metaKey]));
  return { append, read, stat, get };
}

async function* pieces(of: Iterable<Buffer>): AsyncGenerator<Buffer> {
  yield* of;
}

async function readWhole(blobs: BlobStore, key: string, largeBytes: number): Promise<void> {
  const { body } = await blobs.read(key);
  let bytes = 0;
  for await (const piece of body) bytes += piece.length;
  if (bytes !== largeBytes) throw new Error(`read ${bytes} of ${largeBytes} bytes`);
}

async function rate(seconds: number, work: () => Promise<unknown>): Promise<number> {
  let done = 0;
  const begun = performance.now();
  const end = begun + seconds * 1000;
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (performance.now() < end) {
        await work();
        done++;
      }
    }),
  );
  return done / ((performance.now() - begun) / 1000);
}

async function inProcess(root: string, run: (stores: Stores) => Promise<Figures>): Promise<Figures> {
  mkdirSync(root, { recursive: true });
  await initFilesystem({ root }, { log });
  const driver = await openFilesystemDriver({ root }, { log });
  const handlers = createHandlers(driver, { clock: systemClock, log, readOnly: false });
  const stores = connect(
    { blobs: { address: "unix:///in-process" } },
    { log, transport: () => createInProcess(handlers, { encodeChunks: false }) },
  );
  // The client's own timers let a process end, and nothing else is open here.
  const alive = setInterval(() => {}, 1000);
  try {
    return await run(stores);
  } finally {
    await stores.close();
    await driver.close();
    clearInterval(alive);
  }
}

async function outOfProcess(
  folder: string,
  localFile: boolean,
  run: (stores: Stores) => Promise<Figures>,
): Promise<Figures> {
  const root = join(folder, "data");
  mkdirSync(root, { recursive: true });
  const address = `unix://${join(folder, "driver.sock")}`;
  const driverArguments = [cli, "driver", "filesystem", "--root", root, "--listen", address, "--log-level", "warn"];
  execFileSync(process.execPath, [...driverArguments, "--init"], { stdio: ["ignore", "ignore", "inherit"] });
  const driver = spawn(process.execPath, driverArguments, { stdio: ["ignore", "ignore", "inherit"] });
  const stores = connect({ blobs: { address, ...(localFile ? { localRoot: root } : {}) } }, { log });
  try {
    return await run(stores);
  } finally {
    await stores.close();
    await ended(driver);
  }
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.kill("SIGTERM");
  });
}
