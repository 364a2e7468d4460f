/**
 * A network between processes: proto/transport.ts over the handlers of whichever process serves an address now.
 * Messages of one stream keep their order; all else may be late, lost or repeated, and every connection may break.
 */
import { OutriggerError } from "../../proto/errors.ts";
import type { AppendRequest, AppendRequestInput } from "../../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type {
  AnswerMetadata,
  AppendStream,
  Handlers,
  IncomingStream,
  ReceivedRequests,
  RequestMetadata,
  StreamMethod,
  StreamMethods,
  Transport,
  TransportCall,
  UnaryMethod,
  UnaryMethods,
} from "../../proto/transport.ts";
import { incomingCall } from "../../server/calls.ts";
import { Inbox } from "./inbox.ts";
import type { Random } from "./random.ts";
import { asAnswered, asReceived } from "./wire.ts";
import type { Life, World } from "./world.ts";

/** How bad the network is: chances per message. */
export interface Weather {
  /** Some hundred ms to seconds late. */
  late: number;
  /** The connection breaks with this message on it. */
  cut: number;
  /** It is never delivered and nobody is told. */
  hole: number;
  /** Delivered a second time, up to 40 s later. Unary requests only. */
  repeat: number;
}

export const CALM: Readonly<Weather> = { late: 0, cut: 0, hole: 0, repeat: 0 };

/** Messages of one stream that may be on their way in one direction. */
const WINDOW = 8;
/** How much later than its first delivery a repeated request may arrive. */
const REPEAT_MS = 40_000;

interface Server {
  readonly life: Life;
  readonly handlers: Handlers;
}

/** Sees each message of an Append as the core sends and receives it. */
export interface AppendTap {
  sent(message: AppendRequestInput): void;
  /** The driver has handed it to the network: the true order of answers, whenever they arrive. */
  answered(message: AppendResponse): void;
  received(message: AppendResponse): void;
  ended(error: unknown): void;
}

export interface Taps {
  append?(metadata: RequestMetadata): AppendTap;
  /** A unary call was disturbed: it may have run never, once or twice, and its caller may not know. */
  disturbed?(metadata: RequestMetadata): void;
}

export class Network {
  readonly weather: Weather = { ...CALM };
  /** Virtual ms until which requests arrive again. */
  lastRepeatMs = 0;
  readonly #servers = new Map<string, Server>();
  readonly #world: World;
  readonly #random: Random;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  /** The process answers at the address until it dies. */
  listen(address: string, life: Life, handlers: Handlers): void {
    const server = { life, handlers };
    this.#servers.set(address, server);
    life.onDeath(() => {
      if (this.#servers.get(address) === server) this.#servers.delete(address);
    });
  }

  /** One core's channel to the replicas behind the addresses. */
  connect(core: Life, addresses: readonly string[], taps: Taps = {}): Transport {
    return new Channel(this.#world, this, this.#random, core, addresses, taps);
  }

  at(address: string): Server | undefined {
    return this.#servers.get(address);
  }

  latency(): number {
    const dice = this.#random.fraction();
    if (dice < 0.25) return 0;
    if (dice < 0.95) return dice * 2;
    if (dice < 0.95 + this.weather.late) {
      this.#world.coverage.count("fault message late");
      return this.#random.fraction() * 4_000;
    }
    return dice * 40;
  }

  fate(): "arrives" | "cut" | "hole" {
    const { cut, hole } = this.weather;
    if (cut === 0 && hole === 0) return "arrives";
    const dice = this.#random.fraction();
    if (dice < cut) return "cut";
    return dice < cut + hole ? "hole" : "arrives";
  }

  repeatAfter(): number | undefined {
    return this.#random.chance(this.weather.repeat) ? this.#random.fraction() * REPEAT_MS : undefined;
  }
}

class Channel implements Transport {
  readonly #world: World;
  readonly #network: Network;
  readonly #random: Random;
  readonly #core: Life;
  readonly #addresses: readonly string[];
  readonly #taps: Taps;
  #preferred = 0;

  constructor(world: World, network: Network, random: Random, core: Life, addresses: readonly string[], taps: Taps) {
    this.#world = world;
    this.#network = network;
    this.#random = random;
    this.#core = core;
    this.#addresses = addresses;
    this.#taps = taps;
  }

  /** Any replica may get any call; one that refuses connections is mostly avoided. */
  #pick(): Server | undefined {
    if (this.#addresses.length > 1 && this.#random.chance(0.3))
      this.#preferred = this.#random.below(this.#addresses.length);
    const server = this.#network.at(this.#addresses[this.#preferred] ?? "");
    if (server !== undefined || this.#addresses.length === 1 || this.#random.chance(0.3)) return server;
    this.#preferred = (this.#preferred + 1) % this.#addresses.length;
    return this.#network.at(this.#addresses[this.#preferred] ?? "");
  }

  unary<Method extends UnaryMethod>(
    method: Method,
    request: UnaryMethods[Method][0],
    call: TransportCall,
  ): Promise<{ response: UnaryMethods[Method][1]; metadata: AnswerMetadata }> {
    const core = this.#core;
    const network = this.#network;
    const world = this.#world;
    return new Promise((resolve, reject) => {
      if (call.signal?.aborted) return reject(call.signal.reason);
      const message = asReceived<ReceivedRequests[Method]>(method, request);
      const server = this.#pick();
      const controller = new AbortController();
      let settled = false;
      const settle = (): boolean => {
        if (settled) return false;
        settled = true;
        cancelDeadline?.();
        call.signal?.removeEventListener("abort", onAbort);
        forgetDeath?.();
        return true;
      };
      const giveUp = (error: unknown) => {
        if (!settle()) return;
        if (server !== undefined) server.life.after(network.latency(), () => controller.abort(error));
        reject(error);
      };
      const breaks = (delayMs: number) => {
        this.#taps.disturbed?.(call.metadata);
        core.after(delayMs, () => giveUp(unreachable()));
      };
      const onAbort = () => {
        this.#taps.disturbed?.(call.metadata);
        giveUp(call.signal?.reason);
      };
      call.signal?.addEventListener("abort", onAbort, { once: true });
      const cancelDeadline =
        call.deadlineMs === undefined
          ? undefined
          : core.after(call.deadlineMs, () => {
              this.#taps.disturbed?.(call.metadata);
              giveUp(timedOut(call.deadlineMs ?? 0));
            });
      const forgetDeath = server?.life.onDeath(() => breaks(network.latency()));
      if (server === undefined) {
        core.after(network.latency(), () => giveUp(unreachable("no")));
        return;
      }
      abortAtDeath(core, server.life, network, controller);

      const repeatAfter = network.repeatAfter();
      if (repeatAfter !== undefined) {
        world.coverage.count("fault request repeated");
        this.#taps.disturbed?.(call.metadata);
        network.lastRepeatMs = Math.max(network.lastRepeatMs, world.nowMs + repeatAfter);
        world.after(repeatAfter, () => this.#deliverAgain(method, message, call));
      }
      const fate = network.fate();
      if (fate !== "arrives") {
        world.coverage.count(fate === "cut" ? "fault request cut" : "fault request lost");
        this.#taps.disturbed?.(call.metadata);
        if (fate === "cut") breaks(network.latency());
        return;
      }
      world.note(() => `${core.name} asks ${server.life.name} ${method} ${brief(message)}`);
      server.life.after(network.latency(), () => {
        const incoming = incomingCall(call.metadata, controller);
        server.handlers.unary(method, message, incoming).then(
          (response) => answer(asAnswered(method, response as object) as UnaryMethods[Method][1]),
          (error) => answer(crossed(error)),
        );
      });
      const answer = (answered: UnaryMethods[Method][1] | OutriggerError) => {
        if (!server.life.alive) return;
        world.note(() => `${server.life.name} answers ${core.name} ${method} ${brief(answered)}`);
        const metadata = server.handlers.answerMetadata();
        const fate = network.fate();
        if (fate !== "arrives") {
          world.coverage.count(fate === "cut" ? "fault answer cut" : "fault answer lost");
          this.#taps.disturbed?.(call.metadata);
          if (fate === "cut") breaks(network.latency());
          return;
        }
        // What was handed to the network arrives even if its sender dies now.
        core.after(network.latency(), () => {
          if (!settle()) return;
          if (answered instanceof OutriggerError) reject(answered);
          else resolve({ response: answered, metadata });
        });
      };
    });
  }

  #deliverAgain<Method extends UnaryMethod>(
    method: Method,
    message: ReceivedRequests[Method],
    call: TransportCall,
  ): void {
    const server = this.#pick();
    server?.life.enter(() => {
      const incoming = incomingCall(call.metadata, new AbortController());
      server.handlers.unary(method, asReceived<ReceivedRequests[Method]>(method, message as object), incoming).then(
        () => undefined,
        () => undefined,
      );
    });
  }

  stream<Method extends StreamMethod>(
    method: Method,
    request: StreamMethods[Method][0],
    call: TransportCall,
  ): IncomingStream<StreamMethods[Method][1]> {
    const message = asReceived<ReceivedRequests[Method]>(method, request);
    const line = new Line<never, StreamMethods[Method][1]>(this.#world, this.#network, this.#core, this.#pick(), call);
    line.begin(async (server, incoming) => {
      for await (const answer of server.handlers.stream(method, message, incoming)) {
        await line.answer(asAnswered(method, answer as object) as StreamMethods[Method][1]);
      }
    });
    return line.incoming;
  }

  append(call: TransportCall): AppendStream {
    const tap = this.#taps.append?.(call.metadata);
    const line = new Line<AppendRequest, AppendResponse>(
      this.#world,
      this.#network,
      this.#core,
      this.#pick(),
      call,
      tap === undefined
        ? undefined
        : {
            answered: (message) => tap.answered(message),
            arrived: (message) => tap.received(message),
            ended: (error) => tap.ended(error),
          },
    );
    line.begin((server, incoming) =>
      server.handlers.append(line.requests, (response) => line.answer(asAnswered("blob.Append", response)), incoming),
    );
    return {
      incoming: line.incoming,
      send: (message) => {
        tap?.sent(message);
        return line.send(asReceived<AppendRequest>("blob.Append", message));
      },
      end: () => line.halfClose(),
    };
  }

  /** As without a transport's own, but for queueMicrotask, which makes a resource of the machine's for each. */
  turnEnd(run: () => void): void {
    void NOTHING.then(run);
  }

  close(): void {}
}

const NOTHING = Promise.resolve();

/** Kept as long as the core lives, also for calls that are over: so it holds nothing else of the call. */
function abortAtDeath(core: Life, server: Life, network: Network, controller: AbortController): void {
  core.onDeath(() => server.after(network.latency(), () => controller.abort(unreachable())));
}

interface LineTap<Answer> {
  answered(message: Answer): void;
  arrived(message: Answer): void;
  ended(error: unknown): void;
}

/** One stream between a core and a driver process: both directions, and the one connection they break with. */
class Line<Request, Answer> {
  readonly requests: Inbox<Request>;
  readonly incoming: IncomingStream<Answer>;
  readonly #answers: Inbox<Answer>;
  readonly #world: World;
  readonly #network: Network;
  readonly #core: Life;
  readonly #server: Server | undefined;
  readonly #call: TransportCall;
  readonly #tap: LineTap<Answer> | undefined;
  readonly #controller = new AbortController();
  readonly #metadata: { resolve(metadata: AnswerMetadata): void; told: boolean };
  readonly #forget: (() => void)[] = [];
  #coreOver = false;
  #driverOver = false;
  #silent = false;
  #upBusyUntilMs = 0;
  #downBusyUntilMs = 0;
  #upRoom = WINDOW;
  #downRoom = WINDOW;
  readonly #upWaiting: { resolve(): void; reject(error: unknown): void }[] = [];
  readonly #downWaiting: (() => void)[] = [];

  constructor(
    world: World,
    network: Network,
    core: Life,
    server: Server | undefined,
    call: TransportCall,
    tap?: LineTap<Answer>,
  ) {
    this.#world = world;
    this.#network = network;
    this.#core = core;
    this.#server = server;
    this.#call = call;
    this.#tap = tap;
    this.requests = new Inbox(
      () => this.#core.after(this.#network.latency(), () => this.#roomUp()),
      () => undefined,
    );
    this.#answers = new Inbox(
      () => this.#server?.life.after(this.#network.latency(), () => this.#roomDown()),
      () => this.#cancel(new OutriggerError("STREAM_BROKEN", "the reader left", { side: "core" })),
    );
    let resolve: (metadata: AnswerMetadata) => void = () => undefined;
    const metadata = new Promise<AnswerMetadata>((resolved) => {
      resolve = resolved;
    });
    this.#metadata = { resolve, told: false };
    const answers = this.#answers;
    this.incoming = {
      metadata,
      cancel: () => this.#cancel(new OutriggerError("STREAM_BROKEN", "cancelled", { side: "core" })),
      [Symbol.asyncIterator]: () => answers[Symbol.asyncIterator](),
    };
  }

  /** Carries the call to the driver, which serves it. */
  begin(serve: (server: Server, incoming: { metadata: RequestMetadata; signal: AbortSignal }) => Promise<void>): void {
    const { signal, deadlineMs, metadata } = this.#call;
    const server = this.#server;
    if (signal !== undefined) {
      const onAbort = () => this.#cancel(signal.reason);
      if (signal.aborted) queueMicrotask(onAbort);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#forget.push(() => signal.removeEventListener("abort", onAbort));
    }
    if (deadlineMs !== undefined) {
      this.#forget.push(this.#core.after(deadlineMs, () => this.#cancel(timedOut(deadlineMs))));
    }
    if (server === undefined) {
      this.#core.after(this.#network.latency(), () => this.#coreEnd(unreachable("no")));
      return;
    }
    this.#forget.push(
      server.life.onDeath(() => this.#core.after(this.#network.latency(), () => this.#coreEnd(broken()))),
    );
    this.#core.onDeath(() => server.life.after(this.#network.latency(), () => this.#driverEnd(broken())));
    this.#toDriver(() => {
      if (this.#driverOver) return;
      serve(server, { metadata, signal: this.#controller.signal }).then(
        () => this.#finish(undefined),
        (error) => this.#finish(crossed(error)),
      );
    });
  }

  send(message: Request): Promise<void> {
    if (this.#coreOver) return Promise.reject(broken());
    this.#world.note(() => `${this.#core.name} sends ${this.#server?.life.name} ${brief(message)}`);
    this.#toDriver(() => this.requests.arrive(message));
    this.#upRoom--;
    if (this.#upRoom > 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#upWaiting.push({ resolve, reject });
    });
  }

  halfClose(): void {
    if (!this.#coreOver) this.#toDriver(() => this.requests.end());
  }

  answer(message: Answer): Promise<void> {
    if (this.#driverOver) return Promise.reject(broken());
    this.#tap?.answered(message);
    this.#world.note(() => `${this.#server?.life.name} sends ${this.#core.name} ${brief(message)}`);
    this.#tellMetadata();
    this.#toCore(() => {
      this.#tap?.arrived(message);
      this.#answers.arrive(message);
    });
    this.#downRoom--;
    if (this.#downRoom > 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#downWaiting.push(resolve);
    });
  }

  #finish(error: OutriggerError | undefined): void {
    if (this.#driverOver || this.#server?.life.alive === false) return;
    this.#world.note(() => `${this.#server?.life.name} ends a stream of ${this.#core.name}: ${error ?? "ok"}`);
    this.#tellMetadata();
    this.#driverOver = true;
    this.#toCore(() => this.#coreEnd(error));
  }

  #tellMetadata(): void {
    if (this.#metadata.told || this.#server === undefined) return;
    this.#metadata.told = true;
    const metadata = this.#server.handlers.answerMetadata();
    this.#toCore(() => this.#metadata.resolve(metadata));
  }

  #toDriver(arrive: () => void): void {
    const server = this.#server;
    if (server === undefined || this.#lost()) return;
    const world = this.#world;
    this.#upBusyUntilMs = Math.max(this.#upBusyUntilMs, world.nowMs + this.#network.latency());
    server.life.after(this.#upBusyUntilMs - world.nowMs, arrive);
  }

  #toCore(arrive: () => void): void {
    if (this.#lost()) return;
    const world = this.#world;
    this.#downBusyUntilMs = Math.max(this.#downBusyUntilMs, world.nowMs + this.#network.latency());
    this.#core.after(this.#downBusyUntilMs - world.nowMs, () => {
      if (!this.#coreOver) arrive();
    });
  }

  /** A stream that loses a message carries nothing any more: TCP delivers in order or not at all. */
  #lost(): boolean {
    if (this.#silent) return true;
    const fate = this.#network.fate();
    if (fate === "arrives") return false;
    if (fate === "hole") {
      this.#world.coverage.count("fault stream silent");
      this.#silent = true;
      return true;
    }
    this.#silent = true;
    this.#world.coverage.count("fault stream cut");
    this.#core.after(this.#network.latency(), () => this.#coreEnd(broken()));
    this.#server?.life.after(this.#network.latency(), () => this.#driverEnd(broken()));
    return true;
  }

  #cancel(reason: unknown): void {
    if (this.#coreOver) return;
    this.#coreEnd(reason);
    this.#server?.life.after(this.#network.latency(), () => this.#driverEnd(broken()));
  }

  #coreEnd(error: unknown): void {
    if (this.#coreOver) return;
    this.#coreOver = true;
    for (const forget of this.#forget) forget();
    this.#metadata.resolve({});
    this.#tap?.ended(error);
    this.#answers.end(error);
    for (const waiting of this.#upWaiting.splice(0)) waiting.reject(broken());
  }

  #driverEnd(error: OutriggerError): void {
    if (this.#driverOver) return;
    this.#driverOver = true;
    this.#controller.abort(error);
    this.requests.end(error);
    for (const resolve of this.#downWaiting.splice(0)) resolve();
  }

  #roomUp(): void {
    this.#upRoom++;
    this.#upWaiting.shift()?.resolve();
  }

  #roomDown(): void {
    this.#downRoom++;
    this.#downWaiting.shift()?.();
  }
}

/** An error as it comes out at the other side of the wire. */
function crossed(error: unknown): OutriggerError {
  if (!(error instanceof OutriggerError)) {
    return new OutriggerError("INTERNAL", `a handler threw something else than an OutriggerError: ${String(error)}`, {
      cause: error,
    });
  }
  const { reason, message, metadata, retryAfterMs } = error;
  return new OutriggerError(reason, message, {
    metadata,
    side: "driver",
    cause: error,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** @param sent "no": the request has surely not left */
function unreachable(sent: "no" | "perhaps" = "perhaps"): OutriggerError {
  return new OutriggerError("UNREACHABLE", "simulated: the connection is gone", {
    side: "transport",
    metadata: sent === "no" ? { sent } : {},
  });
}

function broken(): OutriggerError {
  return new OutriggerError("STREAM_BROKEN", "simulated: the stream broke", { side: "transport" });
}

function timedOut(deadlineMs: number): OutriggerError {
  return new OutriggerError("TIMED_OUT", `simulated: no answer within ${deadlineMs} ms`, { side: "transport" });
}

/** A message for the trace. */
function brief(message: unknown): string {
  if (message instanceof Error) return String(message);
  const text = JSON.stringify(message, (_, value) =>
    value?.type === "Buffer"
      ? `${value.data.length} bytes ${Buffer.from(value.data.slice(0, 12)).toString("latin1")}`
      : value,
  );
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}
