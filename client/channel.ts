/**
 * One connected store: who it is, whether it may be used now, and every call to it with its deadline, metadata and
 * retries. Everything above speaks to a driver only through this.
 */
import { context, propagation } from "@opentelemetry/api";
import type { Logger } from "pino";
import { type Clock, sleep } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import { limits } from "../proto/limits.ts";
import type {
  AnswerMetadata,
  AnyMethod,
  AppendStream,
  IncomingStream,
  RequestMetadata,
  StreamMethod,
  StreamMethods,
  Transport,
  UnaryMethod,
  UnaryMethods,
} from "../proto/transport.ts";
import type { CallOptions, StoreFacts, StoreHealth, StoreTarget } from "./contract.ts";
import { assertClock, type Description, handshake, notADriver, type StoreKind } from "./handshake.ts";
import { Keeper } from "./keeper.ts";
import { hadNoEffect, isPassing, waitMs } from "./retry.ts";
import { timedUnary } from "./timed.ts";
import type { CompatCode } from "./versions.ts";

export interface ChannelParts {
  readonly transport: Transport;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly kind: StoreKind;
  readonly target: StoreTarget;
  readonly core: { readonly name: string; readonly version: string };
  readonly compat: readonly CompatCode[];
  /** Nothing is tried again: for who is asked by somebody who does that. */
  readonly once?: boolean;
  /** Less than the protocol's: for who has to answer within that time itself. */
  readonly patience?: Patience;
}

/** How long the other side may owe an answer, and a stream's next message. */
export interface Patience {
  readonly unaryMs: number;
  readonly streamMs: number;
}

export interface Call {
  readonly options?: CallOptions | undefined;
  /** Carries not-after. */
  readonly mutates?: boolean;
  /** Default: limits.unaryDeadlineMs. */
  readonly deadlineMs?: number;
  /** What earlier attempts have left of their common time. */
  readonly leftMs?: number;
}

export interface Change {
  readonly facts: StoreFacts;
  readonly outsideGrew: boolean;
  readonly otherStore: boolean;
}

const RETRY = { firstMs: 25, mostMs: 1_000 };
/** Retries take so long in all. */
const RETRY_BUDGET_MS = 10_000;
/** Hashes of releases that run behind one address: few; a driver that makes them up must not fill the memory. */
const MOST_HASHES = 64;

export class StoreChannel {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly kind: StoreKind;
  readonly address: string;
  readonly singleAttempts: boolean;
  readonly patience: Patience;
  readonly #parts: ChannelParts;
  readonly #closing = new AbortController();
  readonly #hashes = new Set<string>();
  readonly #listeners: ((change: Change) => void)[] = [];
  readonly #refusals: ((error: OutriggerError) => void)[] = [];
  #firstDescribed: () => void = () => undefined;
  readonly #described: Promise<void>;
  readonly #keeper: Keeper;
  #target: StoreTarget;
  #description: Description | undefined;
  #describing: Promise<Description> | undefined;
  #refusal: OutriggerError | undefined;
  #block: OutriggerError | undefined;
  #inFlight = 0;
  /** Ends each call under way that changes nothing. */
  readonly #reads = new Set<(error: OutriggerError) => void>();
  #epoch = 0;
  #onIdle: (() => void) | undefined;
  /** Set when the address was switched and the same store answers elsewhere: new attempts go there. */
  successor: StoreChannel | undefined;

  constructor(parts: ChannelParts) {
    this.#parts = parts;
    this.#target = parts.target;
    this.clock = parts.clock;
    this.random = parts.random;
    this.log = parts.log.child({ store: parts.kind, address: parts.target.address });
    this.kind = parts.kind;
    this.address = parts.target.address;
    this.singleAttempts = parts.once ?? false;
    this.patience = parts.patience ?? { unaryMs: limits.unaryDeadlineMs, streamMs: limits.streamOwedMs };
    this.#described = new Promise((resolve) => {
      this.#firstDescribed = resolve;
    });
    this.#keeper = new Keeper({
      clock: parts.clock,
      random: parts.random,
      log: this.log,
      what: `${parts.kind} store at ${parts.target.address}`,
      signal: this.#closing.signal,
      describe: (signal) => this.describe(signal).then(() => undefined),
      probe: (signal) => this.#probe(signal),
      onOpen: (error) => {
        for (const stop of [...this.#reads]) stop(again(error));
      },
    });
  }

  /** Begins to connect, and stays connected until `close`. */
  start(): void {
    this.#keeper.start();
  }

  /** As of the last Describe. @throws UNREACHABLE before the first one */
  get facts(): StoreFacts {
    if (this.#description === undefined) throw this.#unusable() ?? this.#keeper.away();
    return this.#description.facts;
  }

  /** Resolves at the first Describe that is accepted; however long that takes. */
  described(): Promise<void> {
    return this.#described;
  }

  get isDescribed(): boolean {
    return this.#description !== undefined;
  }

  /** Grows with each Describe: what was proven of an earlier process has to be proven again. */
  get epoch(): number {
    return this.#epoch;
  }

  get target(): StoreTarget {
    return this.#target;
  }

  get live(): StoreChannel {
    let channel: StoreChannel = this;
    while (channel.successor !== undefined) channel = channel.successor;
    return channel;
  }

  onChange(listener: (change: Change) => void): void {
    this.#listeners.push(listener);
  }

  /** Called whenever the driver is refused for another reason than before. */
  onRefused(listener: (error: OutriggerError) => void): void {
    this.#refusals.push(listener);
  }

  /** Why the driver is refused now. */
  get refusal(): OutriggerError | undefined {
    return this.#refusal;
  }

  /** Calls fail with this until it is taken back; for what only both stores together can tell (a mixed pair). */
  block(error: OutriggerError | undefined): void {
    this.#block = error;
  }

  health(): StoreHealth {
    const problem = this.#unusable() ?? this.#keeper.problem;
    const facts = this.#description?.facts;
    const described = facts && { id: facts.id, driver: facts.driver, driverVersion: facts.driverVersion };
    const base = { kind: this.kind, ...described, address: this.address };
    if (problem === undefined) return { ...base, ready: true };
    return { ...base, ready: false, problem: problem.message, reason: problem.reason };
  }

  /**
   * Version and Describe, once however many ask at the same moment.
   * @throws what makes the driver unusable; it is refused from then on, until a later Describe succeeds
   */
  describe(signal: AbortSignal = this.#closing.signal): Promise<Description> {
    this.#describing ??= this.#describe(signal).finally(() => {
      this.#describing = undefined;
    });
    return this.#describing;
  }

  async #describe(signal: AbortSignal): Promise<Description> {
    const { transport, clock, core, compat, kind } = this.#parts;
    try {
      const description = await handshake({
        transport,
        clock,
        log: this.log,
        kind,
        address: this.address,
        core,
        compat,
        requiredCapabilities: this.#target.requiredCapabilities ?? [],
        signal,
      });
      this.#accept(description);
      return description;
    } catch (error) {
      if (error instanceof OutriggerError && !isAway(error)) this.#refuse(error);
      throw error;
    }
  }

  /** @throws WRONG_STORE */
  #accept(description: Description): void {
    const { facts } = description;
    const before = this.#description?.facts;
    const known = before?.id ?? this.#target.id;
    const otherStore = known !== undefined && known !== facts.id;
    if (otherStore && facts.id !== this.#target.acceptStoreId) {
      const setting = this.kind === "blob" ? "stores.blobs" : "stores.meta";
      throw new OutriggerError(
        "WRONG_STORE",
        `the ${this.kind} store at ${this.address} is ${facts.id}, and ${known} is expected: give the driver its old data back, or set ${setting}.acceptStoreId to ${facts.id}`,
      );
    }
    const isNews = before === undefined || !sameFacts(before, facts);
    this.#description = description;
    this.#epoch++;
    this.#firstDescribed();
    this.#keeper.described();
    if (this.#hashes.size >= MOST_HASHES) this.#hashes.clear();
    this.#hashes.add(description.contract);
    if (this.#refusal !== undefined) this.log.info(`the ${this.kind} store at ${this.address} is accepted again`);
    this.#refusal = undefined;
    if (isNews) {
      for (const { level, text } of description.remarks) this.log[level](text);
      this.log.info(
        { storeId: facts.id, driver: facts.driver, driverVersion: facts.driverVersion, outside: facts.outside },
        `the ${this.kind} store is served by ${facts.driver} ${facts.driverVersion}`,
      );
    }
    const outsideGrew = before !== undefined && !otherStore && facts.outside > before.outside;
    if (before !== undefined && (outsideGrew || otherStore))
      for (const listener of this.#listeners) listener({ facts, outsideGrew, otherStore });
  }

  #refuse(error: OutriggerError): void {
    const isNews = this.#refusal?.message !== error.message;
    this.#refusal = error;
    // Whatever made it known: it is looked at again until it is right.
    this.#keeper.describeSoon();
    if (!isNews) return;
    this.log.error({ reason: error.reason }, `the ${this.kind} store at ${this.address} is refused: ${error.message}`);
    for (const listener of this.#refusals) listener(error);
  }

  #unusable(): OutriggerError | undefined {
    return this.#refusal ?? this.#block;
  }

  /** @throws when no call may be sent now */
  #admit(evenBlocked: boolean): Description {
    if (this.#closing.signal.aborted)
      throw new OutriggerError("UNREACHABLE", `the connection to ${this.address} is closed`);
    if (this.#refusal !== undefined) throw again(this.#refusal);
    if (this.#keeper.isOpen) throw this.#keeper.breakerError();
    if (this.#description === undefined) throw this.#keeper.away();
    if (!evenBlocked && this.#block !== undefined) throw again(this.#block);
    return this.#description;
  }

  /** One attempt. `evenBlocked`: also while `block` holds. */
  async unary<Method extends UnaryMethod>(
    method: Method,
    request: UnaryMethods[Method][0],
    call: Call = {},
    evenBlocked = false,
  ): Promise<UnaryMethods[Method][1]> {
    const description = this.#admit(evenBlocked);
    const wholeMs = call.deadlineMs ?? this.patience.unaryMs;
    const deadlineMs = Math.min(wholeMs, call.leftMs ?? wholeMs);
    const sentMs = this.clock.now();
    const release = this.hold();
    try {
      const answer = await timedUnary(description.transport, this.clock, method, request, {
        metadata: this.#metadata(description, call, deadlineMs),
        deadlineMs,
        signal: call.options?.signal,
        ...(call.mutates ? {} : { stops: this.#reads }),
      });
      this.note(answer.metadata, sentMs);
      return answer.response;
    } catch (error) {
      // Cut short by a budget that earlier attempts have used up, it says nothing of the driver.
      if (deadlineMs < wholeMs && hasReason(error, "TIMED_OUT")) throw error;
      throw await this.failed(error);
    } finally {
      release();
    }
  }

  /** A call that changes nothing, or may be repeated: tried again for up to 10 s in all. */
  async repeatable<Method extends UnaryMethod>(
    method: Method,
    request: UnaryMethods[Method][0],
    call: Call = {},
    evenBlocked = false,
  ): Promise<UnaryMethods[Method][1]> {
    let before: unknown;
    return this.retrying(
      method,
      async (leftMs) => {
        const wholeMs = call.deadlineMs ?? this.patience.unaryMs;
        try {
          return await this.live.unary(method, request, { ...call, leftMs }, evenBlocked);
        } catch (error) {
          const isCut = leftMs < wholeMs && hasReason(error, "TIMED_OUT");
          before = isCut ? (before ?? error) : error;
          throw before;
        }
      },
      call,
    );
  }

  /** A mutating call that must not be repeated: tried again only where it surely had no effect. */
  async once<Method extends UnaryMethod>(
    method: Method,
    request: UnaryMethods[Method][0],
    call: Call = {},
  ): Promise<UnaryMethods[Method][1]> {
    return this.retrying(method, () => this.live.unary(method, request, { ...call, mutates: true }), call, hadNoEffect);
  }

  /** Waits before another attempt; a connection that comes back ends the wait. */
  async pause(method: AnyMethod, ms: number, signal?: AbortSignal): Promise<void> {
    const { transport, clock } = this.#parts;
    const waited = sleep(clock, ms, signal);
    const back = transport.reconnected?.(method, ms);
    if (back === undefined) return waited;
    // The one that is not waited for any more may end as it likes.
    waited.catch(() => undefined);
    await Promise.race([waited, back.then((isBack) => (isBack ? undefined : waited))]);
  }

  /** Attempts within 10 s in all, while `passing` says that another one may work. */
  async retrying<Result>(
    method: AnyMethod,
    attempt: (leftMs: number) => Promise<Result>,
    call: Call = {},
    passing: (error: unknown) => boolean = isPassing,
  ): Promise<Result> {
    const budgetMs = Math.max(RETRY_BUDGET_MS, call.deadlineMs ?? 0);
    const startMs = this.clock.monotonic();
    for (let tried = 0; ; tried++) {
      try {
        return await attempt(budgetMs - (this.clock.monotonic() - startMs));
      } catch (error) {
        if (this.singleAttempts || !passing(error)) throw error;
        const pauseMs = waitMs(error, tried, this.random, RETRY);
        if (this.clock.monotonic() - startMs + pauseMs >= RETRY_BUDGET_MS) throw error;
        await this.live.pause(method, pauseMs, call.options?.signal);
      }
    }
  }

  /** One stream; its user reports its end by `failed` and holds the channel meanwhile. */
  stream<Method extends StreamMethod>(
    method: Method,
    request: StreamMethods[Method][0],
    call: Call & { readonly signal?: AbortSignal | undefined },
  ): IncomingStream<StreamMethods[Method][1]> {
    const description = this.#admit(false);
    const sentMs = this.clock.now();
    const stream = description.transport.stream(method, request, {
      metadata: this.#metadata(description, call, call.deadlineMs ?? limits.streamOwedMs),
      ...(call.signal ? { signal: call.signal } : {}),
    });
    void stream.metadata.then((metadata) => this.note(metadata, sentMs));
    return stream;
  }

  append(call: Call & { readonly signal?: AbortSignal | undefined }): AppendStream {
    const description = this.#admit(false);
    const sentMs = this.clock.now();
    const stream = description.transport.append({
      metadata: this.#metadata(description, call, limits.streamOwedMs),
      ...(call.signal ? { signal: call.signal } : {}),
    });
    void stream.incoming.metadata.then((metadata) => this.note(metadata, sentMs));
    return stream;
  }

  #metadata(description: Description, call: Call, deadlineMs: number): RequestMetadata {
    const trace: Record<string, string> = {};
    propagation.inject(context.active(), trace);
    return {
      store: description.facts.id,
      ...(call.mutates ? { notAfterMs: call.options?.notAfterMs ?? Math.floor(this.clock.now() + deadlineMs) } : {}),
      ...(call.options?.requestId === undefined ? {} : { requestId: call.options.requestId }),
      ...(Object.keys(trace).length === 0 ? {} : { trace }),
    };
  }

  /** What an answer says of the driver: it is there, its clock, and whether it must be described again. */
  note(metadata: AnswerMetadata, sentMs: number): void {
    if (metadata.nowMs === undefined && metadata.contract === undefined) return;
    this.#keeper.answered();
    try {
      assertClock(metadata, sentMs, this.clock.now(), this.address);
    } catch (error) {
      this.#refuse(error as OutriggerError);
    }
    if (metadata.contract !== undefined && !this.#hashes.has(metadata.contract)) this.#keeper.describeSoon();
  }

  /** Learns from a call's failure; answers the error to throw. */
  async failed(error: unknown): Promise<unknown> {
    if (!(error instanceof OutriggerError)) return error;
    switch (error.reason) {
      case "TIMED_OUT":
        this.#keeper.timedOut(error);
        break;
      case "UNREACHABLE":
        this.#keeper.missed(error);
        break;
      case "WRONG_STORE":
        // The driver was exchanged: find out by what before anything else is sent.
        await this.describe().catch(() => undefined);
        return this.#refusal === undefined ? error : again(this.#refusal);
      case "CAPABILITY_MISSING":
        if (error.side === "transport") this.#keeper.describeSoon();
        break;
      default:
    }
    return error;
  }

  /** Runs once the calls of this turn have been asked. */
  turnEnd(run: () => void): void {
    const { transport } = this.#parts;
    if (transport.turnEnd) transport.turnEnd(run);
    else queueMicrotask(run);
  }

  /** Counts work under way; the answer ends it. */
  hold(): () => void {
    this.#inFlight++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#inFlight--;
      if (this.#inFlight === 0) this.#onIdle?.();
    };
  }

  /** Closes once nothing is under way any more. */
  closeWhenIdle(): void {
    this.#onIdle = () => this.close();
    if (this.#inFlight === 0) this.close();
  }

  /** Accept this id from now on. */
  retarget(target: StoreTarget): void {
    this.#target = target;
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new OutriggerError("UNREACHABLE", `the connection to ${this.address} is closed`));
    this.#parts.transport.close();
  }

  /** @throws why the store is not usable now */
  async #probe(signal: AbortSignal): Promise<void> {
    const { transport, clock, kind } = this.#parts;
    const deadlineMs = 2_000;
    const service = kind === "blob" ? "outrigger.blob.v1.BlobService" : "outrigger.meta.v1.MetaService";
    const serving = await transport.health?.(service, { metadata: {}, deadlineMs, signal });
    if (serving === false)
      throw new OutriggerError(
        "BACKEND_DOWN",
        `the driver at ${this.address} says that its ${kind} store is not usable`,
      );
    // Answered at once by every driver that lives, and with its contract: by that a core that nobody asks for anything
    // notices that another store is there now.
    const sentMs = clock.now();
    try {
      const answer = await timedUnary(transport, clock, "handshake.Version", {}, { metadata: {}, deadlineMs, signal });
      this.note(answer.metadata, sentMs);
    } catch (error) {
      if (hasReason(error, "CAPABILITY_MISSING")) throw notADriver(this.address, error);
      throw error;
    }
  }
}

/** Faults that say "nobody is there yet", as opposed to "not this one". */
export function isAway(error: unknown): boolean {
  return isPassing(error) || hasReason(error, "TIMED_OUT", "BREAKER_OPEN");
}

/** The same refusal with a stack of its own: each caller gets its own error. */
function again(error: OutriggerError): OutriggerError {
  return new OutriggerError(error.reason, error.message, { metadata: error.metadata, side: error.side, cause: error });
}

function sameFacts(a: StoreFacts, b: StoreFacts): boolean {
  return (
    a.id === b.id &&
    a.driver === b.driver &&
    a.driverVersion === b.driverVersion &&
    a.outside === b.outside &&
    [...a.capabilities].sort().join() === [...b.capabilities].sort().join()
  );
}
