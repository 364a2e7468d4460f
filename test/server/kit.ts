/** What the server's tests share: a clock of their own, handlers over the memory driver, and one end of an Append stream. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { pino } from "pino";
import { openMemoryDriver } from "../../drivers/memory/index.ts";
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError, type Reason } from "../../proto/errors.ts";
import type { AppendRequestInput } from "../../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type { Committed } from "../../proto/gen/outrigger/blob/v1/Committed.ts";
import type { Progress } from "../../proto/gen/outrigger/blob/v1/Progress.ts";
import type {
  AppendStream,
  RequestMetadata,
  StreamMethod,
  StreamMethods,
  Transport,
  UnaryMethod,
  UnaryMethods,
} from "../../proto/transport.ts";
import type { BlobDriver, Driver, Upload } from "../../server/contract.ts";
import { createHandlers, type DriverHandlers, type HandlersOptions } from "../../server/handlers.ts";
import { createInProcess } from "../helpers/in-process.ts";

export const silent = pino({ level: "silent" });

/** Time that moves only when told. */
export class FakeClock implements Clock {
  #ms = 1_700_000_000_000;
  #timers: { atMs: number; run: () => void }[] = [];

  now(): number {
    return this.#ms;
  }

  monotonic(): number {
    return this.#ms;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.#ms + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  /** Runs what falls due, in order, and lets what it wakes go on. */
  async advance(ms: number): Promise<void> {
    const end = this.#ms + ms;
    for (;;) {
      const [next] = this.#timers.filter((one) => one.atMs <= end).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#ms = next.atMs;
      this.#timers = this.#timers.filter((one) => one !== next);
      next.run();
      await settle();
    }
    this.#ms = end;
    await settle();
  }
}

/** Lets everything that can go on without time or input go on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export interface Rig {
  readonly clock: FakeClock;
  readonly driver: Driver;
  readonly blob: BlobDriver;
  readonly handlers: DriverHandlers;
  readonly transport: Transport;
  /** Metadata of a well-formed request to that store. */
  readonly toBlob: RequestMetadata;
  readonly toMeta: RequestMetadata;
  unary<Method extends UnaryMethod>(
    method: Method,
    request: UnaryMethods[Method][0],
    metadata?: RequestMetadata,
  ): Promise<UnaryMethods[Method][1]>;
  stream<Method extends StreamMethod>(
    method: Method,
    request: StreamMethods[Method][0],
  ): Promise<StreamMethods[Method][1][]>;
  append(signal?: AbortSignal): Appending;
  /** An upload in one stream. */
  upload(key: string, data: Buffer): Promise<Committed>;
  read(key: string): Promise<Buffer>;
}

export interface RigOptions extends Partial<HandlersOptions> {
  readonly persistStepBytes?: number;
  readonly uploadTtlMs?: number;
  readonly wrap?: (driver: Driver) => Driver;
}

export async function rig(options: RigOptions = {}): Promise<Rig> {
  const clock = new FakeClock();
  const { persistStepBytes, uploadTtlMs, wrap = (driver) => driver } = options;
  const driver = wrap(
    await openMemoryDriver({
      clock,
      ...(persistStepBytes === undefined ? {} : { persistStepBytes }),
      ...(uploadTtlMs === undefined ? {} : { uploadTtlMs }),
    }),
  );
  const { blob, meta } = driver;
  assert(blob && meta);
  const handlers = createHandlers(driver, { clock, log: silent, ...options });
  const transport = createInProcess(handlers);
  const toBlob: RequestMetadata = { store: blob.facts.id };
  const toMeta: RequestMetadata = { store: meta.facts.id };
  const metadataFor = (method: string) => (method.startsWith("blob.") ? toBlob : toMeta);
  const self: Rig = {
    clock,
    driver,
    blob,
    handlers,
    transport,
    toBlob,
    toMeta,
    async unary(method, request, metadata = metadataFor(method)) {
      return (await transport.unary(method, request, { metadata })).response;
    },
    async stream(method, request) {
      const all = [];
      for await (const one of transport.stream(method, request, { metadata: metadataFor(method) })) all.push(one);
      return all;
    },
    append: (signal) =>
      new Appending(transport.append({ metadata: toBlob, ...(signal === undefined ? {} : { signal }) })),
    async upload(key, data) {
      const stream = self.append();
      await stream.open({ uploadId: `u-${key.replace(/[^A-Za-z0-9]/g, "-")}`, create: true });
      if (data.length > 0) await stream.chunk(0, data);
      return stream.commit({ key, digest: sha256(data) });
    },
    async read(key) {
      const parts = await self.stream("blob.Read", { key });
      return Buffer.concat(parts.flatMap((part) => (part.chunk ? [part.chunk.data] : [])));
    },
  };
  return self;
}

/** The core's end of one Append stream. */
export class Appending {
  readonly stream: AppendStream;
  readonly #iterator: AsyncIterator<AppendResponse>;

  constructor(stream: AppendStream) {
    this.stream = stream;
    this.#iterator = stream.incoming[Symbol.asyncIterator]();
  }

  /** Sends without waiting for room. */
  send(message: AppendRequestInput): void {
    this.stream.send(message).catch(() => {});
  }

  async next(): Promise<AppendResponse | undefined> {
    const result = await this.#iterator.next();
    return result.done ? undefined : result.value;
  }

  /** Opens and answers `opened`. */
  async open(open: NonNullable<AppendRequestInput["open"]>) {
    this.send({ open: { sender: "core-1", attempt: 1, algorithm: "sha256", ...open } });
    const answer = await this.next();
    assert.equal(answer?.step, "opened");
    assert(answer.opened);
    return answer.opened;
  }

  async chunk(offset: number, data: Uint8Array): Promise<void> {
    await this.stream.send({ chunk: { offset, data } });
  }

  /** The next progress that says so much was received. */
  async progress(received: number): Promise<Progress> {
    for (;;) {
      const answer = await this.next();
      assert.equal(answer?.step, "progress", `the stream ended before ${received} bytes were told`);
      assert(answer.progress);
      if (answer.progress.received >= received) return answer.progress;
    }
  }

  async flush(received: number): Promise<Progress> {
    this.send({ flush: {} });
    for (;;) {
      const progress = await this.progress(received);
      if (progress.persisted === progress.received) return progress;
    }
  }

  /** Commits, and answers `committed` and nothing after it. */
  async commit(commit: NonNullable<AppendRequestInput["commit"]>): Promise<Committed> {
    this.send({ commit });
    for (;;) {
      const answer = await this.next();
      if (answer?.step === "progress") continue;
      assert.equal(answer?.step, "committed");
      assert(answer.committed);
      const { committed } = answer;
      assert.equal(await this.next(), undefined);
      return committed;
    }
  }

  /** Half-closes; the last progress before OK. */
  async end(): Promise<Progress | undefined> {
    this.stream.end();
    let last: Progress | undefined;
    for (;;) {
      const answer = await this.next();
      if (answer === undefined) return last;
      last = answer.progress ?? undefined;
    }
  }

  /** What the stream ends with. */
  async failure(): Promise<OutriggerError> {
    try {
      for (;;) {
        if ((await this.next()) === undefined) assert.fail("the stream ended with OK");
      }
    } catch (error) {
      if (!(error instanceof OutriggerError)) throw error;
      return error;
    }
  }

  async failsWith(reason: Reason): Promise<OutriggerError> {
    const error = await this.failure();
    assert.equal(error.reason, reason, error.message);
    return error;
  }
}

/** Asserts that it rejects with this reason. */
export async function failsWith(promise: Promise<unknown>, reason: Reason, field?: string): Promise<OutriggerError> {
  try {
    await promise;
  } catch (error) {
    assert(error instanceof OutriggerError, `not an OutriggerError: ${error}`);
    assert.equal(error.reason, reason, error.message);
    if (field !== undefined) assert.equal(error.metadata["field"], field);
    return error;
  }
  return assert.fail(`no ${reason}`);
}

export function sha256(data: Uint8Array): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

export function bytes(length: number, seed = 1): Buffer {
  const data = Buffer.alloc(length);
  for (let index = 0; index < length; index++) data[index] = (index * 31 + seed * 17 + (index >> 8)) & 0xff;
  return data;
}

/** What the driver's upload functions do, replaced by a test: `next` is the driver's own. */
export interface UploadHooks {
  write?(data: Uint8Array, next: () => Promise<void>): Promise<void>;
  flush?(next: () => Promise<void>): Promise<void>;
  commit?(next: () => ReturnType<Upload["commit"]>): ReturnType<Upload["commit"]>;
  onClose?(): void;
  onRead?(): void;
}

/**
 * A memory driver whose uploads persist only what was flushed, as one with a disk does: what was written after is lost at
 * close. `hooks` may be changed while it runs.
 */
export function lagging(hooks: UploadHooks = {}): (driver: Driver) => Driver {
  return (driver) => {
    const { blob } = driver;
    assert(blob);
    const open: BlobDriver["open"] = async (...args) => {
      const inner = await blob.open(...args);
      let waiting: Uint8Array[] = [];
      const flush = async () => {
        for (const piece of waiting.splice(0)) await inner.write(piece);
      };
      return {
        get persistedBytes() {
          return inner.persistedBytes;
        },
        write: (data) => {
          const next = async () => {
            waiting.push(data);
          };
          return hooks.write?.(data, next) ?? next();
        },
        flush: () => hooks.flush?.(flush) ?? flush(),
        async *read(call) {
          hooks.onRead?.();
          yield* inner.read(call);
          yield* waiting;
        },
        commit: async (target, call) => {
          const next = async () => {
            await flush();
            return inner.commit(target, call);
          };
          return hooks.commit?.(next) ?? next();
        },
        async close() {
          waiting = [];
          hooks.onClose?.();
          await inner.close();
        },
      };
    };
    return { ...driver, blob: { ...blob, open } };
  };
}

/** A promise and what settles it. */
export function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open: () => open() };
}
