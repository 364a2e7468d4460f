/**
 * Time and a driver that tests hold in their hands: a clock that stands still until it is moved, and a transport whose
 * every answer is scripted, so that a fault happens exactly where a test wants it.
 */
import { pino } from "pino";
import { DriverBlobStore } from "../../client/blob-store.ts";
import { UploadBudget } from "../../client/budget.ts";
import { StoreChannel } from "../../client/channel.ts";
import type { StoreTarget } from "../../client/contract.ts";
import { DriverMetaStore } from "../../client/meta-store.ts";
import type { CompatCode } from "../../client/versions.ts";
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError, type Reason } from "../../proto/errors.ts";
import type { AppendRequestInput } from "../../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type { ReadRequestInput } from "../../proto/gen/outrigger/blob/v1/ReadRequest.ts";
import type { ReadResponse } from "../../proto/gen/outrigger/blob/v1/ReadResponse.ts";
import type {
  AnswerMetadata,
  AppendStream,
  IncomingStream,
  StreamMethod,
  StreamMethods,
  Transport,
  TransportCall,
  UnaryMethod,
  UnaryMethods,
} from "../../proto/transport.ts";

export class FakeClock implements Clock {
  #ms = 0;
  skewMs = 0;
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return 1_800_000_000_000 + this.#ms + this.skewMs;
  }

  monotonic(): number {
    return this.#ms;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#ms + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  /** Moves time on, step by step, with everything that becomes due run and settled on the way. */
  async advance(ms: number): Promise<void> {
    const end = this.#ms + ms;
    await settle();
    while (true) {
      const due = this.#timers.filter((one) => one.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((one) => one !== due);
      this.#ms = Math.max(this.#ms, due.at);
      due.run();
      await settle();
    }
    this.#ms = end;
  }

  /** Moves time until `promise` settles, at most `mostMs`. */
  async until<Result>(promise: Promise<Result>, mostMs = 120_000, stepMs = 50): Promise<Result> {
    let over = false;
    const done = () => {
      over = true;
    };
    promise.then(done, done);
    await settle();
    for (let spent = 0; !over; spent += stepMs) {
      if (spent >= mostMs) throw new Error(`not settled after ${mostMs} ms`);
      await this.advance(stepMs);
    }
    return promise;
  }
}

/** Lets everything that is ready run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve));
}

type Answer<Method extends UnaryMethod> = (
  request: UnaryMethods[Method][0],
  call: TransportCall,
) => UnaryMethods[Method][1] | Promise<UnaryMethods[Method][1]>;

export const ids = {
  blob: "11111111-1111-4111-8111-111111111111",
  meta: "22222222-2222-4222-8222-222222222222",
  other: "33333333-3333-4333-8333-333333333333",
};

/** The other end of one stream, as a script drives it. */
export class FakeStream<Request, Response> {
  readonly call: TransportCall;
  readonly received: Request[] = [];
  ended = false;
  cancelled = false;
  /** While false, `send` of the core does not resolve: the driver reads nothing. */
  reading = true;
  readonly #out: Response[] = [];
  #over: { error: unknown } | undefined;
  #wake: (() => void)[] = [];

  constructor(call: TransportCall) {
    this.call = call;
    call.signal?.addEventListener("abort", () => this.break(call.signal?.reason), { once: true });
  }

  changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  /** Resolves with what was received once `enough` holds, or the stream is over. */
  async wait(enough: (stream: this) => boolean): Promise<void> {
    await this.#until(() => enough(this) || this.#over !== undefined);
  }

  get isOver(): boolean {
    return this.#over !== undefined;
  }

  send(message: Response): void {
    this.#out.push(message);
    this.changed();
  }

  finish(): void {
    this.#over ??= { error: undefined };
    this.changed();
  }

  break(error: unknown): void {
    this.#over ??= { error };
    this.changed();
  }

  incoming(metadata: AnswerMetadata): IncomingStream<Response> {
    const take = async (): Promise<IteratorResult<Response>> => {
      await this.#until(() => this.#out.length > 0 || this.#over !== undefined);
      // A break loses what was not read yet, as a broken connection does.
      if (this.#over?.error !== undefined) throw this.#over.error;
      const message = this.#out.shift();
      if (message !== undefined) return { done: false, value: message };
      return { done: true, value: undefined };
    };
    return {
      metadata: Promise.resolve(metadata),
      cancel: () => {
        this.cancelled = true;
        this.break(new OutriggerError("STREAM_BROKEN", "cancelled"));
      },
      [Symbol.asyncIterator]: () => ({ next: take }),
    };
  }

  async take(message: Request): Promise<void> {
    await this.#until(() => this.reading || this.#over !== undefined);
    if (this.#over !== undefined) throw new OutriggerError("STREAM_BROKEN", "the stream has ended");
    this.received.push(message);
    this.changed();
  }
}

export type AppendScript = (stream: FakeStream<AppendRequestInput, AppendResponse>) => void | Promise<void>;
export type ReadScript = (stream: FakeStream<never, ReadResponse>, request: ReadRequestInput) => void | Promise<void>;

export interface Described {
  blobId?: string;
  metaId?: string;
  capabilities?: string[];
  persistStep?: number;
  outside?: number;
  blobVersions?: { major: number; minor: number }[];
  metaVersions?: { major: number; minor: number }[];
}

export class FakeTransport implements Transport {
  readonly clock: FakeClock;
  readonly calls: { method: string; request: unknown; call: TransportCall }[] = [];
  readonly answers: { [Method in UnaryMethod]?: Answer<Method> } = {};
  /** One for each Append in order; the last one stays. */
  appends: AppendScript[] = [];
  reads: ReadScript[] = [];
  moves: ((stream: FakeStream<never, StreamMethods["blob.Move"][1]>) => void)[] = [];
  contract = "c1";
  driverSkewMs = 0;
  describes: Described = {};
  healthy: boolean | undefined | OutriggerError = true;
  probes = 0;
  closed = false;

  constructor(clock: FakeClock) {
    this.clock = clock;
    this.answers["handshake.Version"] = () => ({
      api: {
        "outrigger.blob": { versions: this.describes.blobVersions ?? [{ major: 1, minor: 0 }] },
        "outrigger.meta": { versions: this.describes.metaVersions ?? [{ major: 1, minor: 0 }] },
      },
    });
    this.answers["handshake.Describe"] = () => {
      const { describes } = this;
      const limits = {
        persistStepBytes: describes.persistStep ?? 1024 * 1024,
        uploadTtlMs: 86_400_000,
        maxBlobBytes: 0,
        listLagMs: 0,
        maxValueBytes: 262_144,
        streamIdleMs: 60_000,
      };
      const store = { capabilities: describes.capabilities ?? [], limits, outside: describes.outside ?? 0 };
      return {
        driver: "io.outrigger.fake",
        version: "1",
        apis: {},
        notices: [],
        stores: [
          { kind: "STORE_KIND_BLOB", id: describes.blobId ?? ids.blob, ...store },
          { kind: "STORE_KIND_META", id: describes.metaId ?? ids.meta, ...store },
        ],
      };
    };
  }

  get metadata(): AnswerMetadata {
    return { nowMs: this.clock.now() + this.driverSkewMs, contract: this.contract };
  }

  count(method: string): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  async unary<Method extends UnaryMethod>(method: Method, request: UnaryMethods[Method][0], call: TransportCall) {
    this.calls.push({ method, request, call });
    const answer = this.answers[method] as Answer<Method> | undefined;
    if (answer === undefined) throw new OutriggerError("CAPABILITY_MISSING", `${method} is not scripted`);
    const response = await answer(request, call);
    return { response, metadata: this.metadata };
  }

  stream<Method extends StreamMethod>(
    method: Method,
    request: StreamMethods[Method][0],
    call: TransportCall,
  ): IncomingStream<StreamMethods[Method][1]> {
    this.calls.push({ method, request, call });
    const stream = new FakeStream<never, StreamMethods[Method][1]>(call);
    const scripts = (method === "blob.Read" ? this.reads : this.moves) as ((s: unknown, r: unknown) => void)[];
    const script = scripts.length > 1 ? scripts.shift() : scripts[0];
    void script?.(stream, request);
    return stream.incoming(this.metadata);
  }

  append(call: TransportCall): AppendStream {
    this.calls.push({ method: "blob.Append", request: undefined, call });
    const stream = new FakeStream<AppendRequestInput, AppendResponse>(call);
    const script = this.appends.length > 1 ? this.appends.shift() : this.appends[0];
    void script?.(stream);
    return {
      incoming: stream.incoming(this.metadata),
      send: (message) => stream.take(message),
      end: () => {
        stream.ended = true;
        stream.changed();
      },
    };
  }

  async health(): Promise<boolean | undefined> {
    this.probes++;
    if (this.healthy instanceof OutriggerError) throw this.healthy;
    return this.healthy;
  }

  close(): void {
    this.closed = true;
  }
}

export function error(reason: Reason, metadata: Record<string, string> = {}): OutriggerError {
  return new OutriggerError(reason, `scripted ${reason}`, { metadata });
}

/** Never settles. */
export function hang<Result>(): Promise<Result> {
  return new Promise(() => undefined);
}

export interface Bench {
  readonly clock: FakeClock;
  readonly transport: FakeTransport;
  readonly channel: StoreChannel;
  readonly blobs: DriverBlobStore;
  readonly meta: DriverMetaStore;
  readonly budget: UploadBudget;
  readonly lines: { level: number; msg: string }[];
}

/** One channel with both stores on it, described, its time standing still. */
export async function bench(
  options: {
    kind?: "blob" | "meta";
    target?: Partial<StoreTarget>;
    budgetBytes?: number;
    compat?: CompatCode[];
    prepare?: (transport: FakeTransport) => void;
    start?: boolean;
  } = {},
): Promise<Bench> {
  const clock = new FakeClock();
  const transport = new FakeTransport(clock);
  options.prepare?.(transport);
  const lines: { level: number; msg: string }[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const channel = new StoreChannel({
    transport,
    clock,
    random: () => 0.5,
    log,
    kind: options.kind ?? "blob",
    target: { address: "unix:///fake", ...options.target },
    core: { name: "test", version: "0" },
    compat: options.compat ?? [],
  });
  const budget = new UploadBudget(options.budgetBytes ?? 128 * 1024 * 1024);
  if (options.start !== false) {
    channel.start();
    await clock.until(channel.described());
  }
  return {
    clock,
    transport,
    channel,
    budget,
    lines,
    blobs: new DriverBlobStore({ channel, budget, resumeBudgetMs: 30_000 }),
    meta: new DriverMetaStore(channel),
  };
}
