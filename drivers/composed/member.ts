/** One store behind a composition: single attempts, each failure named after it. */
import { randomUUID } from "node:crypto";
import type { BlobConnection } from "../../client/blob-connection.ts";
import type { BlobInfo, BlobRead, CallOptions, StoreFacts, UploadInfo } from "../../client/contract.ts";
import { type RemoteOpen, RemoteUpload } from "../../client/remote-upload.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { algorithmOf } from "../../proto/keys.ts";
import { limits } from "../../proto/limits.ts";
import type { CallContext, Condition, Page, PageRequest } from "../../server/contract.ts";
import { digestOf } from "../../server/hasher.ts";
import { asMember } from "./fault.ts";

/** What is passed on of a call that changes something: its time, not its end, for a change once begun is seen through. */
export function mutating(call: CallContext): CallOptions {
  return {
    ...(call.notAfterMs === undefined ? {} : { notAfterMs: call.notAfterMs }),
    ...(call.requestId === undefined ? {} : { requestId: call.requestId }),
  };
}

export function reading(call: CallContext): CallOptions {
  return { ...mutating(call), signal: call.signal };
}

/** A key that nobody uses. */
const NO_KEY = "outrigger-nothing";

export class Member {
  /** "primary", "a". */
  readonly name: string;
  /** "the primary at unix:///run/a.sock" */
  readonly who: string;
  readonly connection: BlobConnection;
  /** The store it must be. */
  storeId = "";

  constructor(name: string, who: string, connection: BlobConnection) {
    this.name = name;
    this.who = who;
    this.connection = connection;
  }

  /** Connected, accepted, and answering as far as is known. */
  get isReady(): boolean {
    return this.connection.channel.health().ready;
  }

  get problem(): string | undefined {
    return this.connection.channel.health().problem;
  }

  /** `undefined` before it was ever described. */
  get facts(): StoreFacts | undefined {
    return this.connection.channel.isDescribed ? this.connection.channel.facts : undefined;
  }

  /** Whether it answers now, where it did not a moment ago: sooner than the channel would look by itself. Never rejects. */
  async answers(): Promise<boolean> {
    if (!this.isReady) await this.stat([NO_KEY]).catch(() => undefined);
    return this.isReady;
  }

  stat(keys: readonly string[], options?: CallOptions): Promise<(BlobInfo | undefined)[]> {
    return this.asked(() => this.connection.store.stat(keys, options));
  }

  async statOne(key: string, options?: CallOptions): Promise<BlobInfo | undefined> {
    const [info] = await this.stat([key], options);
    return info;
  }

  /** The body's failures are named too. */
  async read(
    key: string,
    range: { readonly offsetBytes?: number; readonly limitBytes?: number; readonly ifEtag?: string },
    options?: CallOptions,
  ): Promise<BlobRead> {
    const read = await this.asked(() => this.connection.store.read(key, range, options));
    return { ...read, body: this.#named(read.body) };
  }

  async *#named(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const pieces = body[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.asked(() => pieces.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await pieces.return?.();
    }
  }

  /** All bytes of a small blob; checked against `digest`, or one that the member tells. @throws STORED_CORRUPT */
  async readWhole(info: BlobInfo, options?: CallOptions, digest?: string): Promise<Buffer> {
    const read = await this.read(info.key, { ifEtag: info.etag }, options);
    const pieces: Buffer[] = [];
    for await (const piece of read.body) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    const told = digest ?? info.digests.find((one) => one.startsWith("sha256:"));
    if (told !== undefined && told !== digestOf(algorithmOf(told), bytes))
      throw new OutriggerError("STORED_CORRUPT", `${this.who} gives other bytes for ${info.key} than those of ${told}`);
    return bytes;
  }

  list(request: PageRequest, options?: CallOptions): Promise<Page<BlobInfo>> {
    return this.asked(() => this.connection.store.list(request, options));
  }

  count(prefix: string, options?: CallOptions): Promise<{ readonly count: number; readonly exact: boolean }> {
    return this.asked(() => this.connection.store.count(prefix, options));
  }

  put(
    key: string,
    data: Uint8Array,
    how: { readonly digest?: string; readonly condition?: Condition } = {},
    options?: CallOptions,
  ): Promise<BlobInfo> {
    return this.asked(() => this.connection.store.put(key, data, how, options));
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.asked(() => this.connection.store.delete([key], options));
  }

  deleteAll(keys: readonly string[], options?: CallOptions): Promise<void> {
    return this.asked(() => this.connection.store.delete(keys, options));
  }

  move(source: string, destination: string, options?: CallOptions): Promise<BlobInfo> {
    return this.asked(() => this.connection.store.move(source, destination, options));
  }

  getUpload(uploadId: string, options?: CallOptions): Promise<UploadInfo | undefined> {
    return this.asked(() => this.connection.store.getUpload(uploadId, options));
  }

  listUploads(
    request: { readonly startAfter: string; readonly limit: number },
    options?: CallOptions,
  ): Promise<Page<UploadInfo>> {
    return this.asked(() => this.connection.store.listUploads(request, options));
  }

  abortUpload(uploadId: string, options?: CallOptions, ifIdleMs?: number): Promise<void> {
    const how = ifIdleMs === undefined ? {} : { ifIdleMs };
    return this.asked(() => this.connection.store.abortUpload(uploadId, how, options));
  }

  openUpload(open: RemoteOpen, options?: CallOptions): Promise<RemoteUpload> {
    return this.asked(() => RemoteUpload.open(this.connection.channel, open, options));
  }

  async signUrl(key: string, ttlMs: number, options?: CallOptions): Promise<{ url: string; expiresMs: number }> {
    const { channel } = this.connection;
    return this.asked(async () => {
      const { url, expiresMs } = await channel.unary("blob.SignUrl", { key, ttlMs }, { options });
      return { url, expiresMs };
    });
  }

  /** Small values of the composition's own. `undefined`: absent. */
  async getValue(
    key: string,
    options?: CallOptions,
  ): Promise<{ readonly text: string; readonly etag: string } | undefined> {
    const info = await this.statOne(key, options);
    if (info === undefined) return undefined;
    if (info.sizeBytes > limits.putBytes)
      throw new OutriggerError("STORED_CORRUPT", `${key} at ${this.who} was written by somebody else`);
    return { text: (await this.readWhole(info, options)).toString("utf8"), etag: info.etag };
  }

  putValue(key: string, value: object, options?: CallOptions): Promise<BlobInfo> {
    return this.put(key, Buffer.from(`${JSON.stringify(value)}\n`), {}, options);
  }

  asked<Result>(work: () => Promise<Result>): Promise<Result> {
    return asMember(this.who, work);
  }

  close(): void {
    this.connection.channel.close();
  }
}

/** A sender that no other one is. */
export function newSender(): string {
  return randomUUID();
}
