/**
 * Stores in memory, for tests of what stands above them: conditions, etags, bytewise listings, uploads with fences; calls
 * are counted, can fail before or after their effect, and can be interleaved with other work.
 *
 * One FakeBackend is the data; each `connect()` is one core's view of it, with its own hooks and its own list of calls.
 */
import { createHash } from "node:crypto";
import sortedBtree from "sorted-btree";
import type {
  AppendRequest,
  AppendResult,
  BlobInfo,
  BlobRead,
  BlobStore,
  CallOptions,
  Condition,
  MetaItem,
  MetaOperation,
  MetaStore,
  Page,
  PageRequest,
  StoreFacts,
  StoreHealth,
  Stores,
  UploadInfo,
} from "../../client/contract.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { assertKey, assertUploadId, invalidField } from "../../proto/keys.ts";
import { limits } from "../../proto/limits.ts";

const BTree = sortedBtree.default;

export interface FakeCall {
  /** "blob.stat", "meta.write", … */
  readonly method: string;
  /** Keys the call names; for a listing its prefix. */
  readonly keys: readonly string[];
  /** 0 for the first call of this connection. */
  readonly index: number;
  readonly operations?: readonly MetaOperation[];
}

export interface FakeHooks {
  /** Runs before the effect; throwing is a call that never arrived, awaiting other work interleaves it. */
  before?: ((call: FakeCall) => unknown) | undefined;
  /** Runs after the effect; throwing is a lost answer. */
  after?: ((call: FakeCall) => unknown) | undefined;
}

interface StoredBlob {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly modifiedMs: number;
}

interface StoredUpload {
  bytes: Buffer;
  fence: number;
  usedMs: number;
}

const NO_FACTS: Omit<StoreFacts, "id"> = {
  capabilities: new Set(["DURABLE", "REPLICAS"]),
  limits: {
    persistStepBytes: 1024 * 1024,
    uploadTtlMs: limits.uploadTtlMs,
    maxBlobBytes: Number.POSITIVE_INFINITY,
    listLagMs: 0,
    maxValueBytes: limits.valueBytes,
  },
  outside: 0,
  driver: "io.outrigger.fake",
  driverVersion: "0.0.0",
  address: "fake",
};

export class FakeBackend {
  readonly blobs = new BTree<string, StoredBlob>(undefined, compareKeys);
  readonly meta = new BTree<string, { readonly value: Buffer; readonly etag: string }>(undefined, compareKeys);
  readonly uploads = new Map<string, StoredUpload>();
  blobFacts: StoreFacts = { ...NO_FACTS, id: "11111111-1111-4111-8111-111111111111" };
  metaFacts: StoreFacts = { ...NO_FACTS, id: "22222222-2222-4222-8222-222222222222" };
  now: () => number = Date.now;
  /** Pages never hold more than this, so that paging is exercised with little data. */
  pageLimit: number = limits.listItems;
  #etag = 0;

  nextEtag(): string {
    this.#etag += 1;
    return `e${this.#etag}`;
  }

  connect(hooks: FakeHooks = {}): FakeStores {
    return new FakeStores(this, hooks);
  }

  /** Puts a value behind every core's back. */
  putMeta(key: string, value: string | Uint8Array): void {
    assertKey(key);
    this.meta.set(key, { value: Buffer.from(value), etag: this.nextEtag() });
  }

  putBlob(key: string, bytes: string | Uint8Array): void {
    assertKey(key);
    this.blobs.set(key, { bytes: Buffer.from(bytes), etag: this.nextEtag(), modifiedMs: this.now() });
  }

  /** All metadata as text, in order: to compare states. */
  metaText(prefix = ""): Map<string, string> {
    const found = new Map<string, string>();
    for (const [key, { value }] of this.meta.entries(prefix)) {
      if (!key.startsWith(prefix)) break;
      found.set(key, value.toString("utf8"));
    }
    return found;
  }
}

export class FakeStores implements Stores {
  readonly backend: FakeBackend;
  readonly hooks: FakeHooks;
  readonly calls: FakeCall[] = [];
  readonly blobs: BlobStore;
  readonly meta: MetaStore;
  #listeners: Parameters<Stores["onChanged"]>[0][] = [];
  #count = 0;

  constructor(backend: FakeBackend, hooks: FakeHooks) {
    this.backend = backend;
    this.hooks = hooks;
    this.blobs = new FakeBlobs(this);
    this.meta = new FakeMeta(this);
  }

  /** The methods called since the last look, in order. */
  takeCalls(): string[] {
    return this.calls.splice(0).map((call) => call.method);
  }

  async perform<Result>(
    method: string,
    keys: readonly string[],
    options: CallOptions | undefined,
    effect: () => Result | Promise<Result>,
    operations?: readonly MetaOperation[],
  ): Promise<Result> {
    const call: FakeCall = { method, keys, index: this.#count++, ...(operations === undefined ? {} : { operations }) };
    this.calls.push(call);
    // Nothing is answered in the same turn, as over a wire.
    await null;
    options?.signal?.throwIfAborted();
    await this.hooks.before?.(call);
    const result = await effect();
    await this.hooks.after?.(call);
    return result;
  }

  readonly beside: BlobStore | undefined = undefined;

  get uploadStoreId(): string {
    return this.backend.blobFacts.id;
  }

  endsHere(storeId: string): boolean {
    return storeId === this.backend.blobFacts.id;
  }

  exchange(): Promise<void> {
    return this.switchTo();
  }

  blobsById(storeId: string): BlobStore | undefined {
    return storeId === this.backend.blobFacts.id ? this.blobs : undefined;
  }

  health(): StoreHealth[] {
    return [
      { kind: "blob", address: "fake", ready: true },
      { kind: "meta", address: "fake", ready: true },
    ];
  }

  async ready(): Promise<void> {}

  async switchTo(): Promise<void> {
    throw new OutriggerError("CAPABILITY_MISSING", "a fake store has no other address");
  }

  switchBoth(): Promise<void> {
    return this.switchTo();
  }

  onChanged(listener: Parameters<Stores["onChanged"]>[0]): void {
    this.#listeners.push(listener);
  }

  /** Tells the listeners what a client tells when it meets other data. */
  tellChanged(change: { outsideGrew: boolean; otherStore: boolean }): void {
    for (const listener of this.#listeners) listener({ kind: "meta", facts: this.meta.facts, ...change });
  }

  async close(): Promise<void> {}
}

class FakeBlobs implements BlobStore {
  readonly #stores: FakeStores;
  readonly #backend: FakeBackend;

  constructor(stores: FakeStores) {
    this.#stores = stores;
    this.#backend = stores.backend;
  }

  get facts(): StoreFacts {
    return this.#backend.blobFacts;
  }

  stat(keys: readonly string[], options?: CallOptions): Promise<(BlobInfo | undefined)[]> {
    for (const key of keys) assertKey(key);
    return this.#stores.perform("blob.stat", keys, options, () => keys.map((key) => this.#info(key)));
  }

  read(
    key: string,
    range: { offsetBytes?: number; limitBytes?: number; ifEtag?: string } = {},
    options?: CallOptions,
  ): Promise<BlobRead> {
    assertKey(key);
    return this.#stores.perform("blob.read", [key], options, () => {
      const info = this.#info(key);
      const stored = this.#backend.blobs.get(key);
      if (info === undefined || stored === undefined) throw new OutriggerError("KEY_NOT_FOUND", `no key ${key}`);
      if (range.ifEtag !== undefined && range.ifEtag !== info.etag) {
        throw new OutriggerError("ETAG_MISMATCH", `${key} has etag ${info.etag}`);
      }
      const start = range.offsetBytes ?? 0;
      if (start > info.sizeBytes) throw new OutriggerError("OFFSET_MISMATCH", `${key} has ${info.sizeBytes} bytes`);
      const end = Math.min(info.sizeBytes, start + (range.limitBytes ?? Number.POSITIVE_INFINITY));
      async function* body(bytes: Buffer) {
        for (let at = start; at < end; at += limits.preferredChunkBytes) {
          yield bytes.subarray(at, Math.min(end, at + limits.preferredChunkBytes));
        }
      }
      return { info, startBytes: start, lengthBytes: end - start, body: body(stored.bytes), cancel: async () => {} };
    });
  }

  put(
    key: string,
    data: Uint8Array,
    how: { digest?: string; condition?: Condition } = {},
    options?: CallOptions,
  ): Promise<BlobInfo> {
    assertKey(key);
    if (data.length > limits.putBytes) throw invalidField("data", "is over 1 MiB");
    return this.#stores.perform("blob.put", [key], options, () => {
      if (how.digest !== undefined && digestOf(data, how.digest) !== how.digest) {
        throw new OutriggerError("DIGEST_MISMATCH", `${key}: the bytes are not ${how.digest}`);
      }
      const held = this.#backend.blobs.get(key);
      if (how.condition !== undefined && "ifAbsent" in how.condition && held !== undefined) {
        throw new OutriggerError("KEY_EXISTS", `${key} exists`);
      }
      if (how.condition !== undefined && "ifEtag" in how.condition && how.condition.ifEtag !== held?.etag) {
        throw new OutriggerError("ETAG_MISMATCH", `${key} has another etag`);
      }
      this.#backend.putBlob(key, data);
      return this.#known(key);
    });
  }

  append(request: AppendRequest, options?: CallOptions): Promise<AppendResult> {
    assertUploadId(request.uploadId);
    const keys = request.commit === undefined ? [] : [request.commit.key];
    for (const key of keys) assertKey(key);
    return this.#stores.perform("blob.append", keys, options, async () => {
      const upload = this.#openUpload(request);
      const fence = upload.fence;
      let offset = request.offsetBytes;
      if (offset > upload.bytes.length) throw mismatch(upload);
      for await (const chunk of request.body) {
        options?.signal?.throwIfAborted();
        if (this.#backend.uploads.get(request.uploadId) !== upload || upload.fence !== fence) {
          throw new OutriggerError("UPLOAD_FENCED", "a newer stream has taken this upload over");
        }
        const skip = Math.min(chunk.length, upload.bytes.length - offset);
        upload.bytes = Buffer.concat([upload.bytes, chunk.subarray(skip)]);
        offset += chunk.length;
        upload.usedMs = this.#backend.now();
      }
      const { commit } = request;
      if (commit === undefined) return { persistedBytes: upload.bytes.length };
      if (this.#backend.uploads.get(request.uploadId) !== upload || upload.fence !== fence) {
        throw new OutriggerError("UPLOAD_FENCED", "a newer stream has taken this upload over");
      }
      if (commit.sizeBytes !== undefined && commit.sizeBytes !== upload.bytes.length) {
        throw new OutriggerError("SIZE_MISMATCH", `the upload has ${upload.bytes.length} bytes`);
      }
      const digest = digestOf(upload.bytes, commit.digest ?? `${request.algorithm}:`);
      if (commit.digest !== undefined && digest !== commit.digest) {
        throw new OutriggerError("DIGEST_MISMATCH", `the bytes are not ${commit.digest}`);
      }
      const held = this.#backend.blobs.get(commit.key);
      if (held === undefined || !held.bytes.equals(upload.bytes)) {
        if (held !== undefined && commit.ifAbsent) throw new OutriggerError("KEY_EXISTS", `${commit.key} exists`);
        this.#backend.putBlob(commit.key, upload.bytes);
      }
      this.#backend.uploads.delete(request.uploadId);
      return { persistedBytes: upload.bytes.length, committed: { info: this.#known(commit.key), digest } };
    });
  }

  #openUpload(request: AppendRequest): StoredUpload {
    let upload = this.#backend.uploads.get(request.uploadId);
    if (upload === undefined) {
      if (!request.create) throw new OutriggerError("UPLOAD_NOT_FOUND", `no upload ${request.uploadId}`);
      upload = { bytes: Buffer.alloc(0), fence: 0, usedMs: this.#backend.now() };
      this.#backend.uploads.set(request.uploadId, upload);
    }
    upload.fence += 1;
    return upload;
  }

  getUpload(uploadId: string, options?: CallOptions): Promise<UploadInfo | undefined> {
    assertUploadId(uploadId);
    return this.#stores.perform("blob.getUpload", [], options, () => {
      const upload = this.#backend.uploads.get(uploadId);
      return upload === undefined
        ? undefined
        : { uploadId, persistedBytes: upload.bytes.length, idleMs: this.#backend.now() - upload.usedMs };
    });
  }

  listUploads(
    request: { startAfter?: string; limit?: number },
    options?: CallOptions,
  ): Promise<{ items: UploadInfo[]; more: boolean }> {
    return this.#stores.perform("blob.listUploads", [], options, () => {
      const limit = request.limit ?? limits.listItems;
      const ids = [...this.#backend.uploads.keys()].filter((id) => id > (request.startAfter ?? "")).sort();
      const items = ids.slice(0, limit).map((uploadId) => {
        const upload = this.#backend.uploads.get(uploadId);
        return {
          uploadId,
          persistedBytes: upload?.bytes.length ?? 0,
          idleMs: this.#backend.now() - (upload?.usedMs ?? 0),
        };
      });
      return { items, more: ids.length > limit };
    });
  }

  abortUpload(uploadId: string, how: { ifIdleMs?: number } = {}, options?: CallOptions): Promise<void> {
    assertUploadId(uploadId);
    return this.#stores.perform("blob.abortUpload", [], options, () => {
      const upload = this.#backend.uploads.get(uploadId);
      if (upload !== undefined && this.#backend.now() - upload.usedMs < (how.ifIdleMs ?? 0)) {
        throw new OutriggerError("UPLOAD_BUSY", "used too recently");
      }
      this.#backend.uploads.delete(uploadId);
    });
  }

  move(source: string, destination: string, options?: CallOptions): Promise<BlobInfo> {
    return this.#stores.perform("blob.move", [source, destination], options, () => {
      const held = this.#backend.blobs.get(source);
      if (held === undefined) throw new OutriggerError("KEY_NOT_FOUND", `no key ${source}`);
      if (source !== destination) {
        this.#backend.putBlob(destination, held.bytes);
        this.#backend.blobs.delete(source);
      }
      return this.#known(destination);
    });
  }

  delete(keys: readonly string[], options?: CallOptions): Promise<void> {
    for (const key of keys) assertKey(key);
    return this.#stores.perform("blob.delete", keys, options, () => {
      for (const key of keys) this.#backend.blobs.delete(key);
    });
  }

  list(request: PageRequest, options?: CallOptions): Promise<Page<BlobInfo>> {
    return this.#stores.perform("blob.list", [request.prefix], options, () => {
      const page = pageOf(this.#backend.blobs, request, this.#backend.pageLimit);
      return { items: page.keys.map((key) => this.#known(key)), more: page.more };
    });
  }

  count(prefix: string, options?: CallOptions): Promise<{ count: number; exact: boolean }> {
    return this.#stores.perform("blob.count", [prefix], options, () => ({
      count: countOf(this.#backend.blobs, prefix),
      exact: true,
    }));
  }

  async signUrl(): Promise<undefined> {
    return undefined;
  }

  #info(key: string): BlobInfo | undefined {
    const held = this.#backend.blobs.get(key);
    return held === undefined
      ? undefined
      : { key, sizeBytes: held.bytes.length, etag: held.etag, modifiedMs: held.modifiedMs, digests: [] };
  }

  #known(key: string): BlobInfo {
    const info = this.#info(key);
    if (info === undefined) throw new Error(`${key} was just there`);
    return info;
  }
}

class FakeMeta implements MetaStore {
  readonly #stores: FakeStores;
  readonly #backend: FakeBackend;

  constructor(stores: FakeStores) {
    this.#stores = stores;
    this.#backend = stores.backend;
  }

  get facts(): StoreFacts {
    return this.#backend.metaFacts;
  }

  async get(keys: readonly string[], options?: CallOptions): Promise<(MetaItem | undefined)[]> {
    for (const key of keys) assertKey(key);
    if (keys.length === 0 || keys.length > limits.getKeys) throw invalidField("keys", `${keys.length} keys`);
    return this.#stores.perform("meta.get", keys, options, () => keys.map((key) => this.#item(key)));
  }

  list(request: PageRequest, options?: CallOptions): Promise<Page<MetaItem>> {
    return this.#stores.perform("meta.list", [request.prefix], options, () => {
      const page = pageOf(this.#backend.meta, request, this.#backend.pageLimit);
      const items = page.keys.map((key) => this.#item(key)).filter((item) => item !== undefined);
      return { items, more: page.more };
    });
  }

  count(prefix: string, options?: CallOptions): Promise<{ count: number; exact: boolean }> {
    return this.#stores.perform("meta.count", [prefix], options, () => ({
      count: countOf(this.#backend.meta, prefix),
      exact: true,
    }));
  }

  async write(operations: readonly MetaOperation[], options?: CallOptions): Promise<string[]> {
    const keys = operations.map((operation) => operation.key);
    for (const key of keys) assertKey(key);
    const bytes = operations.reduce((sum, it) => sum + it.key.length + (it.kind === "put" ? it.value.length : 0), 0);
    if (keys.length === 0 || keys.length > limits.writeOperations) throw invalidField("operations", `${keys.length}`);
    if (bytes > limits.writeBytes) throw invalidField("operations", `${bytes} bytes`);
    if (new Set(keys).size !== keys.length) throw invalidField("operations", `a key twice: ${keys.join(" ")}`);
    for (const operation of operations) {
      if (operation.kind === "put" && operation.value.length > limits.valueBytes) {
        throw invalidField("value", `${operation.value.length} bytes`);
      }
    }
    return this.#stores.perform("meta.write", keys, options, () => this.#apply(operations, options), operations);
  }

  #apply(operations: readonly MetaOperation[], options: CallOptions | undefined): string[] {
    if (options?.notAfterMs !== undefined && this.#backend.now() > options.notAfterMs) {
      throw new OutriggerError("TOO_LATE", "past not-after");
    }
    for (const [index, { key, condition }] of operations.entries()) {
      const etag = this.#backend.meta.get(key)?.etag;
      const holds =
        condition === undefined ||
        ("ifAbsent" in condition
          ? etag === undefined
          : "ifPresent" in condition
            ? etag !== undefined
            : condition.ifEtag === etag);
      if (!holds) {
        throw new OutriggerError("CONDITION_FAILED", `operation ${index} on ${key}`, {
          metadata: { index: String(index) },
        });
      }
    }
    return operations.map((operation) => {
      if (operation.kind === "put") this.#backend.putMeta(operation.key, operation.value);
      else if (operation.kind === "delete") this.#backend.meta.delete(operation.key);
      return operation.kind === "delete" ? "" : (this.#backend.meta.get(operation.key)?.etag ?? "");
    });
  }

  #item(key: string): MetaItem | undefined {
    const held = this.#backend.meta.get(key);
    return held === undefined ? undefined : { key, value: Buffer.from(held.value), etag: held.etag };
  }
}

function compareKeys(left: string, right: string): number {
  // Keys are ASCII, where UTF-16 order is byte order.
  return left < right ? -1 : left > right ? 1 : 0;
}

function pageOf(
  tree: { entries(from: string): IterableIterator<[string, unknown]> },
  request: PageRequest,
  pageLimit: number,
): { keys: string[]; more: boolean } {
  const limit = request.limit ?? limits.listItems;
  if (limit < 1 || limit > limits.listItems) throw invalidField("limit", String(limit));
  const after = request.startAfter ?? "";
  const keys: string[] = [];
  for (const [key] of tree.entries(compareKeys(after, request.prefix) > 0 ? after : request.prefix)) {
    if (!key.startsWith(request.prefix)) break;
    if (key <= after) continue;
    if (keys.length === Math.min(limit, pageLimit)) return { keys, more: true };
    keys.push(key);
  }
  return { keys, more: false };
}

function countOf(tree: { entries(from: string): IterableIterator<[string, unknown]> }, prefix: string): number {
  let count = 0;
  for (const [key] of tree.entries(prefix)) {
    if (!key.startsWith(prefix)) break;
    count += 1;
  }
  return count;
}

function digestOf(bytes: Uint8Array, like: string): string {
  const algorithm = like.slice(0, like.indexOf(":"));
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

function mismatch(upload: StoredUpload): OutriggerError {
  return new OutriggerError("OFFSET_MISMATCH", `the upload has ${upload.bytes.length} bytes`, {
    metadata: { persisted: String(upload.bytes.length) },
  });
}
