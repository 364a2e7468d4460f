/** What the tests of the filesystem driver share. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import pino, { type Logger } from "pino";
import { initFilesystem, openFilesystemDriver } from "../../../drivers/filesystem/index.ts";
import type { BlobDriver, CallContext, Driver, MetaDriver, MetaOperation } from "../../../server/contract.ts";
import { SimDisk } from "../../helpers/sim-disk.ts";
import { Random } from "../../simulation/random.ts";

export const quiet: Logger = pino({ level: "silent" });

export function call(over: Partial<CallContext> = {}): CallContext {
  return { signal: new AbortController().signal, log: quiet, notAfterMs: undefined, assertInTime() {}, ...over };
}

export const BLOB = (name: string) => `docker/registry/v2/blobs/sha256/${name.slice(0, 2)}/${name}/data`;
export const TAG = (repository: string, tag: string) =>
  `docker/registry/v2/repositories/${repository}/_manifests/tags/${tag}/current/link`;
export const digestOf = (hex: string) => `sha256:${hex.padStart(64, "0")}`;

export interface Stores {
  readonly driver: Driver;
  readonly blob: Required<Pick<BlobDriver, "put" | "locateFile" | "count">> & BlobDriver;
  readonly meta: Required<Pick<MetaDriver, "count">> & MetaDriver;
}

export function storesOf(driver: Driver): Stores {
  if (driver.blob === undefined || driver.meta === undefined) throw new Error("a store is missing");
  return { driver, blob: driver.blob as Stores["blob"], meta: driver.meta as Stores["meta"] };
}

/** A driver over some disk, and how to open it again. */
export interface Bench {
  stores: Stores;
  /** Closes the driver in order and opens it again. */
  reopen(): Promise<void>;
  /** What another program writes below the root. */
  outsideWrite(path: string, text: string): void;
  outsideRemove(path: string): void;
}

export function tempRoot(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), "ofs-"));
  t.after(() => rmSync(root, { recursive: true, force: true, maxRetries: 3 }));
  return root;
}

export interface OpenOptions {
  readonly persistStepBytes?: number;
  readonly compactBytes?: number;
}

/** Opens what a simulated disk holds. */
export async function openSim(disk: SimDisk, options: OpenOptions = {}): Promise<Stores> {
  const clock = {
    now: () => disk.nowMs,
    monotonic: () => disk.nowMs,
    // Nothing happens by itself: what waits for time is asked for by closing.
    after: () => () => {},
  };
  const deps = { log: quiet, disk: disk.mount(), clock };
  await initFilesystem({ root: "sim" }, deps);
  return storesOf(await openFilesystemDriver({ root: "sim", ...options }, deps));
}

export function simDisk(seed: number): SimDisk {
  return new SimDisk(new Random(seed));
}

export async function bytesOf(blob: BlobDriver, key: string): Promise<Buffer> {
  const opened = await blob.read(key, { offsetBytes: 0 }, call());
  const pieces: Uint8Array[] = [];
  for await (const piece of opened.body) pieces.push(piece);
  return Buffer.concat(pieces);
}

export function put(key: string, text: string, condition?: MetaOperation["condition"]): MetaOperation {
  const value = Buffer.from(text);
  return condition === undefined ? { kind: "put", key, value } : { kind: "put", key, value, condition };
}

export function remove(key: string): MetaOperation {
  return { kind: "delete", key };
}

export async function textOf(meta: MetaDriver, key: string): Promise<string | undefined> {
  const [item] = await meta.get([key], call());
  return item && Buffer.from(item.value).toString();
}
