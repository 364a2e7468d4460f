/**
 * A driver that claims REPLICAS: several processes over one backend that has compare-and-set. Open takes an upload over
 * by changing its state object, each persisted piece and the commit compare it, as protocol.md section 7 asks.
 */
import { OutriggerError } from "../../proto/errors.ts";
import type {
  BlobBytes,
  BlobDriver,
  BlobInfo,
  CallContext,
  Condition,
  Driver,
  MetaCondition,
  MetaDriver,
  MetaItem,
  Page,
  PageRequest,
  Upload,
} from "../../server/contract.ts";
import type { Random } from "./random.ts";
import { EPOCH_MS, type Life, type World } from "./world.ts";

interface StoredBlob {
  readonly data: Buffer;
  readonly etag: string;
  readonly modifiedMs: number;
  readonly digest: string | undefined;
}

interface StoredUpload {
  /** Changed by each open and each piece. */
  readonly version: number;
  readonly data: Buffer;
  readonly usedMs: number;
  /** Highest attempt by sender. */
  readonly attempts: Readonly<Record<string, number>>;
}

/** Bugs that the simulation plants here to see whether it finds them. */
export interface SharedBugs {
  /** Pieces and commits do not compare the upload's state. */
  readonly noFence?: boolean;
  /** Etags are the time of day. */
  readonly clockEtags?: boolean;
  /** Nothing looks at not-after. */
  readonly neverLate?: boolean;
}

/** What all replicas see. It never stops; a request or an answer may be lost on the way. */
export class Backend {
  readonly blobs = new Map<string, StoredBlob>();
  readonly uploads = new Map<string, StoredUpload>();
  readonly items = new Map<string, MetaItem>();
  readonly bugs: SharedBugs;
  /** Chance that a request, or its answer, is lost. */
  faults = 0;
  slow = 0;
  /** Told after each change. */
  onChange: () => void = () => undefined;
  /** How often a Write of the meta store took effect. */
  itemChanges = 0;
  #stamps = 0;
  readonly #world: World;
  readonly #random: Random;

  constructor(world: World, random: Random, bugs: SharedBugs) {
    this.#world = world;
    this.#random = random;
    this.bugs = bugs;
  }

  stamp(): number {
    return ++this.#stamps;
  }

  nowMs(): number {
    return Math.floor(EPOCH_MS + this.#world.nowMs);
  }

  /** One atomic request. @throws BACKEND_DOWN when nobody knows whether it took effect, or it surely did not */
  ask<Result>(life: Life, call: CallContext | undefined, effect: () => Result): Promise<Result> {
    const random = this.#random;
    const world = this.#world;
    const notAfterMs = this.bugs.neverLate ? undefined : call?.notAfterMs;
    return new Promise((resolve, reject) => {
      const down = (delayMs: number) =>
        life.after(delayMs, () => reject(new OutriggerError("BACKEND_DOWN", "simulated: the backend does not answer")));
      if (random.chance(this.faults)) {
        world.coverage.count("fault backend request lost");
        down(random.fraction() * 50);
        return;
      }
      world.after(this.#latency(), () => {
        let result: Result;
        try {
          if (notAfterMs !== undefined && this.nowMs() > notAfterMs) {
            throw new OutriggerError("TOO_LATE", "the backend got the request past its not-after time");
          }
          result = effect();
        } catch (error) {
          life.after(this.#latency(), () => reject(error));
          return;
        }
        this.onChange();
        if (random.chance(this.faults)) {
          world.coverage.count("fault backend answer lost");
          down(random.fraction() * 50);
          return;
        }
        life.after(this.#latency(), () => resolve(result));
      });
    });
  }

  #latency(): number {
    if (this.#random.chance(this.slow)) {
      this.#world.coverage.count("fault backend slow");
      return this.#random.fraction() * 3_000;
    }
    return this.#random.fraction();
  }
}

const PIECE_BYTES = 16;

export interface SharedOptions {
  readonly persistStepBytes: number;
  readonly blobId: string;
  readonly metaId: string;
}

/** One replica. */
export function openShared(backend: Backend, life: Life, options: SharedOptions): Driver {
  return {
    name: "io.outrigger.simulated",
    version: "1.0.0",
    blob: new SharedBlobs(backend, life, options),
    meta: new SharedMeta(backend, life, options),
    close: () => Promise.resolve(),
  };
}

class SharedBlobs implements BlobDriver {
  readonly facts;
  readonly #backend: Backend;
  readonly #life: Life;
  readonly #stepBytes: number;

  constructor(backend: Backend, life: Life, { persistStepBytes, blobId }: SharedOptions) {
    this.#backend = backend;
    this.#life = life;
    this.#stepBytes = persistStepBytes;
    this.facts = {
      id: blobId,
      capabilities: ["DURABLE", "REPLICAS"],
      limits: { persistStepBytes, uploadTtlMs: 24 * 60 * 60 * 1000 },
      outside: 0,
    };
  }

  check(): Promise<void> {
    return this.#backend.ask(this.#life, undefined, () => undefined);
  }

  stat(keys: readonly string[]) {
    const { blobs } = this.#backend;
    return this.#backend.ask(this.#life, undefined, () => keys.map((key) => infoOf(key, blobs.get(key))));
  }

  async read(key: string, range: { offsetBytes: number; limitBytes?: number; ifEtag?: string }): Promise<BlobBytes> {
    const backend = this.#backend;
    const life = this.#life;
    const { blob, info } = await backend.ask(life, undefined, () => {
      const blob = backend.blobs.get(key);
      const info = infoOf(key, blob);
      if (blob === undefined || info === undefined) throw new OutriggerError("KEY_NOT_FOUND", key);
      if (range.ifEtag !== undefined && range.ifEtag !== blob.etag) throw new OutriggerError("ETAG_MISMATCH", key);
      if (range.offsetBytes > blob.data.length) throw new OutriggerError("OFFSET_MISMATCH", key);
      return { blob, info };
    });
    const end = Math.min(blob.data.length, range.offsetBytes + (range.limitBytes ?? Number.POSITIVE_INFINITY));
    async function* body() {
      for (let at = range.offsetBytes; at < end; at += PIECE_BYTES) {
        yield await backend.ask(life, undefined, () => blob.data.subarray(at, Math.min(end, at + PIECE_BYTES)));
      }
    }
    return {
      info,
      startBytes: range.offsetBytes,
      lengthBytes: end - range.offsetBytes,
      body: body(),
      cancel: () => Promise.resolve(),
    };
  }

  list(request: PageRequest): Promise<Page<BlobInfo>> {
    const { blobs } = this.#backend;
    return this.#backend.ask(this.#life, undefined, () => {
      const { keys, more } = pageOf(blobs, request);
      return { items: keys.map((key) => infoOf(key, blobs.get(key)) as BlobInfo), more };
    });
  }

  delete(key: string, call: CallContext): Promise<void> {
    call.assertInTime();
    return this.#backend.ask(this.#life, call, () => {
      this.#backend.blobs.delete(key);
    });
  }

  put(key: string, data: Uint8Array, condition: Condition | undefined, call: CallContext): Promise<BlobInfo> {
    call.assertInTime();
    return this.#backend.ask(this.#life, call, () => {
      this.#assertCondition(key, condition);
      return this.#store(key, Buffer.from(data), undefined);
    });
  }

  async open(uploadId: string, options: Parameters<BlobDriver["open"]>[1], call: CallContext): Promise<Upload> {
    const { create, sender = "", attempt = 0 } = options;
    const backend = this.#backend;
    const state = await backend.ask(this.#life, call, () => {
      const before = backend.uploads.get(uploadId);
      if (before === undefined && !create) throw new OutriggerError("UPLOAD_NOT_FOUND", uploadId);
      if (attempt <= (before?.attempts[sender] ?? -1)) throw new OutriggerError("UPLOAD_FENCED", "a late attempt");
      const attempts = { ...before?.attempts, [sender]: attempt };
      const data = before?.data ?? Buffer.alloc(0);
      const after = { version: backend.stamp(), data, usedMs: backend.nowMs(), attempts };
      backend.uploads.set(uploadId, after);
      return after;
    });
    return new SharedUpload(this, backend, this.#life, uploadId, state, this.#stepBytes);
  }

  abort(uploadId: string, call: CallContext): Promise<void> {
    return this.#backend.ask(this.#life, call, () => {
      this.#backend.uploads.delete(uploadId);
    });
  }

  listUploads(request: { readonly startAfter: string; readonly limit: number; readonly uploadId?: string }) {
    const backend = this.#backend;
    return backend.ask(this.#life, undefined, () => {
      const one = request.uploadId;
      const { keys, more } =
        one === undefined
          ? pageOf(backend.uploads, { ...request, prefix: "" })
          : { keys: backend.uploads.has(one) ? [one] : [], more: false };
      const items = keys.map((uploadId) => {
        const { data, usedMs } = backend.uploads.get(uploadId) as StoredUpload;
        return { uploadId, persistedBytes: data.length, idleMs: backend.nowMs() - usedMs };
      });
      return { items, more };
    });
  }

  move(source: string, destination: string, call: CallContext): Promise<BlobInfo> {
    call.assertInTime();
    return this.#backend.ask(this.#life, call, () => {
      const blob = this.#backend.blobs.get(source);
      if (blob === undefined) throw new OutriggerError("KEY_NOT_FOUND", source);
      if (source === destination) return infoOf(source, blob) as BlobInfo;
      this.#backend.blobs.delete(source);
      return this.#store(destination, blob.data, blob.digest);
    });
  }

  /** @internal Within one request. */
  commit(key: string, data: Buffer, digest: string, condition: Condition | undefined, keep: boolean): BlobInfo {
    const there = this.#backend.blobs.get(key);
    // Somebody may have overwritten it since the host looked.
    if (keep && there?.data.equals(data)) return infoOf(key, there) as BlobInfo;
    this.#assertCondition(key, condition);
    return this.#store(key, data, digest);
  }

  #assertCondition(key: string, condition: Condition | undefined): void {
    const there = this.#backend.blobs.get(key);
    if (condition === undefined) return;
    if ("ifAbsent" in condition) {
      if (there !== undefined) throw new OutriggerError("KEY_EXISTS", key);
    } else if (there?.etag !== condition.ifEtag) {
      throw new OutriggerError("ETAG_MISMATCH", key);
    }
  }

  #store(key: string, data: Buffer, digest: string | undefined): BlobInfo {
    const blob = { data, etag: `b${this.#backend.stamp()}`, modifiedMs: this.#backend.nowMs(), digest };
    this.#backend.blobs.set(key, blob);
    return infoOf(key, blob) as BlobInfo;
  }
}

class SharedUpload implements Upload {
  persistedBytes: number;
  readonly #blobs: SharedBlobs;
  readonly #backend: Backend;
  readonly #life: Life;
  readonly #uploadId: string;
  readonly #stepBytes: number;
  #version: number;
  #pending: Buffer = Buffer.alloc(0);

  constructor(
    blobs: SharedBlobs,
    backend: Backend,
    life: Life,
    uploadId: string,
    state: StoredUpload,
    stepBytes: number,
  ) {
    this.#blobs = blobs;
    this.#backend = backend;
    this.#life = life;
    this.#uploadId = uploadId;
    this.#version = state.version;
    this.#stepBytes = stepBytes;
    this.persistedBytes = state.data.length;
  }

  async write(data: Uint8Array): Promise<void> {
    this.#pending = Buffer.concat([this.#pending, data]);
    if (this.#pending.length >= this.#stepBytes) await this.flush();
  }

  async flush(): Promise<void> {
    const piece = this.#pending;
    if (piece.length === 0) return;
    const state = await this.#backend.ask(this.#life, undefined, () => {
      const before = this.#mine();
      const data = Buffer.concat([before.data, piece]);
      const after = { ...before, version: this.#backend.stamp(), data, usedMs: this.#backend.nowMs() };
      if (this.#backend.bugs.noFence) Object.assign(after, { version: before.version });
      this.#backend.uploads.set(this.#uploadId, after);
      return after;
    });
    this.#version = state.version;
    this.#pending = this.#pending.subarray(piece.length);
    this.persistedBytes += piece.length;
  }

  async *read(): AsyncIterable<Uint8Array> {
    yield await this.#backend.ask(this.#life, undefined, () => this.#mine().data.subarray(0, this.persistedBytes));
    if (this.#pending.length > 0) yield this.#pending;
  }

  async commit(
    target: { readonly key: string; readonly condition?: Condition; readonly digest: string; readonly keep: boolean },
    call: CallContext,
  ): Promise<BlobInfo> {
    await this.flush();
    call.assertInTime();
    return this.#backend.ask(this.#life, call, () => {
      const { data } = this.#mine();
      const info = this.#blobs.commit(target.key, data, target.digest, target.condition, target.keep);
      this.#backend.uploads.delete(this.#uploadId);
      return info;
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #mine(): StoredUpload {
    const state = this.#backend.uploads.get(this.#uploadId);
    if (state === undefined || (state.version !== this.#version && !this.#backend.bugs.noFence)) {
      throw new OutriggerError("UPLOAD_FENCED", `upload ${this.#uploadId} was taken over through another replica`);
    }
    return state;
  }
}

class SharedMeta implements MetaDriver {
  readonly facts;
  readonly #backend: Backend;
  readonly #life: Life;

  constructor(backend: Backend, life: Life, { metaId }: SharedOptions) {
    this.#backend = backend;
    this.#life = life;
    this.facts = { id: metaId, capabilities: ["DURABLE", "REPLICAS"], limits: {}, outside: 0 };
  }

  check(): Promise<void> {
    return this.#backend.ask(this.#life, undefined, () => undefined);
  }

  get(keys: readonly string[]): Promise<readonly (MetaItem | undefined)[]> {
    return this.#backend.ask(this.#life, undefined, () => keys.map((key) => this.#backend.items.get(key)));
  }

  list(request: PageRequest): Promise<Page<MetaItem>> {
    const { items } = this.#backend;
    return this.#backend.ask(this.#life, undefined, () => {
      const { keys, more } = pageOf(items, request);
      return { items: keys.map((key) => items.get(key) as MetaItem), more };
    });
  }

  write(operations: Parameters<MetaDriver["write"]>[0], call: CallContext): Promise<readonly string[]> {
    call.assertInTime();
    const backend = this.#backend;
    return backend.ask(this.#life, call, () => {
      operations.forEach((operation, index) => {
        if (!holds(operation.condition, backend.items.get(operation.key))) {
          throw new OutriggerError("CONDITION_FAILED", operation.key, { metadata: { index: String(index) } });
        }
      });
      backend.itemChanges++;
      return operations.map((operation) => {
        const { key } = operation;
        if (operation.kind === "check") return backend.items.get(key)?.etag ?? "";
        if (operation.kind === "delete") {
          backend.items.delete(key);
          return "";
        }
        const etag = backend.bugs.clockEtags ? `t${this.#life.clock.now()}` : `m${backend.stamp()}`;
        backend.items.set(key, { key, value: Buffer.from(operation.value), etag });
        return etag;
      });
    });
  }
}

function holds(condition: MetaCondition | undefined, item: MetaItem | undefined): boolean {
  if (condition === undefined) return true;
  if ("ifAbsent" in condition) return item === undefined;
  if ("ifPresent" in condition) return item !== undefined;
  return item?.etag === condition.ifEtag;
}

function infoOf(key: string, blob: StoredBlob | undefined): BlobInfo | undefined {
  if (blob === undefined) return undefined;
  const { data, etag, modifiedMs, digest } = blob;
  return { key, sizeBytes: data.length, etag, modifiedMs, digests: digest === undefined ? [] : [digest] };
}

function pageOf(keys: ReadonlyMap<string, unknown>, { prefix, startAfter, limit }: PageRequest) {
  const all = [...keys.keys()].filter((key) => key.startsWith(prefix) && key > startAfter).sort();
  return { keys: all.slice(0, limit), more: all.length > limit };
}
