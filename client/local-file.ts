/**
 * LOCAL_FILE (protocol.md section 9): a blob read from the driver's own file, where this process sees the same folder.
 * The root comes from the core's configuration and nothing is believed: a nonce file proves that both sides see one
 * folder, no link is followed on the way, and the size must be what the driver told.
 */
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readFile, readlink, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import { hex } from "./append.ts";
import type { Range } from "./blob-read.ts";
import { isAway, type StoreChannel } from "./channel.ts";
import { etagOf, violation, wholeNumber } from "./checks.ts";
import type { BlobRead, CallOptions } from "./contract.ts";

const PIECE_BYTES = 256 * 1024;
const NONCE_BYTES = 16;
const MAX_WARNINGS = 20;

/** Local reads of one store. Safe to ask again after any failure: it answers `undefined` where gRPC is to be used. */
export class LocalFiles {
  readonly #root: string;
  readonly #log: Logger;
  /** By store id: whether the nonce was found; asked once for each connection. */
  #proof:
    | { readonly channel: StoreChannel; readonly contract: string; readonly root: Promise<string | undefined> }
    | undefined;
  #warnings = 0;

  constructor(root: string, log: Logger) {
    this.#root = root;
    this.#log = log;
  }

  /**
   * The blob from its file; `undefined`: not this time.
   * @throws KEY_NOT_FOUND, ETAG_MISMATCH, OFFSET_MISMATCH as a Read would
   */
  async read(
    channel: StoreChannel,
    key: string,
    range: Range,
    options: CallOptions | undefined,
  ): Promise<BlobRead | undefined> {
    const root = await this.#proven(channel, options);
    if (root === undefined) return undefined;
    const located = await channel.repeatable("blob.LocateFile", { key, what: "key" }, { options }).catch((error) => {
      if (hasReason(error, "CAPABILITY_MISSING")) return undefined;
      throw error;
    });
    if (located === undefined) return undefined;
    const etag = etagOf("blob.etag.01", key, located.etag);
    const sizeBytes = wholeNumber("blob.locatefile.02", "size", located.size);
    if (range.ifEtag !== undefined && range.ifEtag !== etag)
      throw new OutriggerError("ETAG_MISMATCH", `${key} is ${etag}, not ${range.ifEtag}`, { side: "core" });
    const startBytes = range.offsetBytes ?? 0;
    if (startBytes > sizeBytes)
      throw new OutriggerError("OFFSET_MISMATCH", `${key} has ${sizeBytes} bytes, ${startBytes} is beyond its end`, {
        side: "core",
      });
    const lengthBytes = Math.min(range.limitBytes ?? Number.POSITIVE_INFINITY, sizeBytes - startBytes);

    let handle: FileHandle;
    try {
      handle = await openWithin(root, located.path);
    } catch (error) {
      this.#warn(`the driver names the file ${JSON.stringify(located.path)} for ${key}, and it is not used`, error);
      return undefined;
    }
    try {
      const { size } = await handle.stat();
      if (size !== sizeBytes) throw new Error(`it has ${size} bytes, the driver told ${sizeBytes}`);
    } catch (error) {
      await handle.close();
      this.#warn(`the file ${located.path} of ${key} is not used`, error);
      return undefined;
    }
    let closed: Promise<void> | undefined;
    const close = () => (closed ??= handle.close());
    return {
      info: { key, sizeBytes, etag, modifiedMs: 0, digests: [] },
      startBytes,
      lengthBytes,
      body: pieces(handle, key, startBytes, lengthBytes, close),
      file: { fd: handle.fd, close },
      cancel: close,
    };
  }

  /** The root's real path, once a nonce that the driver wrote was read there. */
  #proven(channel: StoreChannel, options: CallOptions | undefined): Promise<string | undefined> {
    const { facts } = channel;
    if (!facts.capabilities.has("LOCAL_FILE")) return Promise.resolve(undefined);
    const contract = `${facts.id} ${facts.driverVersion} ${channel.epoch}`;
    if (this.#proof?.channel !== channel || this.#proof.contract !== contract) {
      const root = this.#prove(channel, options).catch((error) => {
        this.#warn(`blobs are not read from ${this.#root}`, error);
        // Nobody answered: that proves nothing, so the next read asks again.
        if (isAway(error)) this.#proof = undefined;
        return undefined;
      });
      this.#proof = { channel, contract, root };
    }
    return this.#proof.root;
  }

  async #prove(channel: StoreChannel, options: CallOptions | undefined): Promise<string> {
    const nonce = hex(channel.random, NONCE_BYTES);
    const root = await realpath(this.#root);
    const { signal: _, ...rest } = options ?? {};
    const located = await channel.repeatable("blob.LocateFile", { nonce, what: "nonce" }, { options: rest });
    const handle = await openWithin(root, located.path);
    try {
      const text = await readFile(handle, "latin1");
      if (text !== nonce) throw violation("blob.locatefile.03", `${located.path} does not hold the nonce`);
    } finally {
      await handle.close();
    }
    this.#log.info(`blobs are read from ${root}`);
    return root;
  }

  #warn(text: string, error: unknown): void {
    if (this.#warnings++ < MAX_WARNINGS)
      this.#log.warn(`${text}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * Opens `<root>/<path>` for reading only if it lies there itself: no ".." and no link, in any component.
 * @param root a real path
 */
export async function openWithin(root: string, path: string): Promise<FileHandle> {
  const parts = path.split("/");
  if (path.length > 4096 || parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0")))
    throw violation("blob.locatefile.02", "the path leaves the root");
  const wanted = join(root, ...parts);
  const isLinux = process.platform === "linux";
  if (!isLinux) await assertNoLinks(root, parts);
  // O_NONBLOCK: a fifo in its place must not hold a thread.
  const handle = await open(wanted, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const opened = await handle.stat();
    if (!opened.isFile()) throw violation("blob.locatefile.02", "it is not a regular file");
    if (isLinux) {
      // What was opened, as the kernel names it: no link was followed if that is the name asked for, and nothing that
      // changes meanwhile can make it look so.
      const real = await readlink(`/proc/self/fd/${handle.fd}`);
      if (real !== wanted) throw violation("blob.locatefile.02", `it is ${real}`);
    } else {
      await assertNoLinks(root, parts);
      const named = await lstat(wanted);
      if (named.ino !== opened.ino || named.dev !== opened.dev)
        throw violation("blob.locatefile.02", "it was exchanged");
    }
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function assertNoLinks(root: string, parts: readonly string[]): Promise<void> {
  let at = root;
  for (const part of parts) {
    at = join(at, part);
    if ((await lstat(at)).isSymbolicLink()) throw violation("blob.locatefile.02", `${at} is a link`);
  }
}

async function* pieces(
  handle: FileHandle,
  key: string,
  startBytes: number,
  lengthBytes: number,
  close: () => Promise<void>,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    for (let at = startBytes, left = lengthBytes; left > 0; ) {
      const wanted = Math.min(left, PIECE_BYTES);
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(wanted), 0, wanted, at);
      if (bytesRead === 0)
        throw new OutriggerError("STORED_CORRUPT", `the file of ${key} ends ${left} bytes early`, { side: "driver" });
      at += bytesRead;
      left -= bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await close();
  }
}
