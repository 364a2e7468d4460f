/**
 * One connection to the server, made anew whenever it breaks, with waits that grow. Nothing is sent twice, and nothing is
 * kept to be sent later: a call without a usable connection fails at once. What a new connection leads to is looked at
 * before any call may use it.
 */
import { Redis, type RedisOptions } from "ioredis";
import type { Logger } from "pino";
import { OutriggerError } from "../../proto/errors.ts";
import type { Address } from "./address.ts";
import { connectionError, replyError, scrubbed } from "./errors.ts";
import type { TlsSettings } from "./options.ts";

export type Reply = Buffer | number | null | readonly Reply[];
export type Argument = string | Buffer;
export type Send = (command: string, ...args: readonly Argument[]) => Promise<Reply>;

export interface LinkOptions {
  readonly address: Address;
  readonly tls: TlsSettings | undefined;
  readonly timeoutMs: number;
  readonly log: Logger;
  /** Makes a new connection usable: authenticates, and holds the server against what it must be. @throws why not */
  readonly greet: (send: Send) => Promise<void>;
}

/** A refusal by the server that no sentence is known for: the command had no effect. */
export class RefusedError extends Error {}

const FIRST_WAIT_MS = 50;
const MOST_WAIT_MS = 2_000;

export class Link {
  readonly #options: LinkOptions;
  readonly #client: Redis;
  /** Why there is no usable connection; `undefined`: there is. */
  #down: OutriggerError | undefined;
  #lastFault: OutriggerError | undefined;
  #greeting: Promise<void> | undefined;
  #failures = 0;
  #connection = 0;
  #wasUsable = false;
  #closed = false;
  readonly #waiting = new Set<(why: OutriggerError | undefined) => void>();

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#down = new OutriggerError("BACKEND_DOWN", `there is no connection to ${options.address.shown} yet`);
    this.#client = new Redis(this.#redisOptions());
    this.#client.on("error", (fault) => {
      this.#lastFault ??= this.#explain(fault);
    });
    this.#client.on("ready", () => {
      const greeting = this.#greet().finally(() => {
        if (this.#greeting === greeting) this.#greeting = undefined;
      });
      this.#greeting = greeting;
    });
    this.#client.on("close", () => this.#broken());
  }

  /** Connects. @throws why the first attempt failed; a server that loads its data is waited for */
  async open(signal: AbortSignal): Promise<void> {
    this.#client.connect().catch(() => {}); // told by its events
    for (;;) {
      const why = await orAborted(
        new Promise<OutriggerError | undefined>((resolve) => this.#waiting.add(resolve)),
        signal,
      );
      if (why === undefined) return;
      if (!/\bLOADING\b/.test(why.message)) throw why;
    }
  }

  close(): void {
    this.#closed = true;
    this.#client.disconnect();
  }

  /**
   * @throws RefusedError, OutriggerError with metadata `sent` "no": nothing was done; any other: the connection broke, the
   * answer is late, or the signal aborted, and what the command did is not known
   */
  async call(command: string, args: readonly Argument[], signal: AbortSignal): Promise<Reply> {
    signal.throwIfAborted();
    if (this.#greeting !== undefined) await orAborted(this.#greeting, signal);
    if (this.#down !== undefined) throw notSent(this.#down);
    return orAborted(this.#send(command, args), signal);
  }

  /** A number that no two connections share: where it is the same before and after a call, the call went through it. */
  get connection(): number {
    return this.#connection;
  }

  /** Gives this connection up and makes another, which is looked at anew. */
  renew(why: OutriggerError): void {
    this.#lastFault = why;
    this.#down = why;
    this.#client.disconnect(true);
  }

  async #send(command: string, args: readonly Argument[]): Promise<Reply> {
    try {
      // Upper-case, so that the library takes no notice: what `select` did it would do again, before AUTH.
      return (await this.#client.callBuffer(command, ...args)) as Reply;
    } catch (fault) {
      const error = scrubbed(fault instanceof Error ? fault : new Error(String(fault)));
      if (error.name === "ReplyError") throw this.#refused(error);
      const why = this.#lastFault ?? this.#explain(error);
      if (/isn't writeable/.test(error.message)) throw notSent(why);
      // Its reason must not say more than is known: others mean that nothing was done.
      throw new OutriggerError("BACKEND_DOWN", why.message, { cause: why });
    }
  }

  #refused(error: Error): Error {
    const refusal = new RefusedError(error.message);
    const known = replyError(error, this.#options.address);
    if (known === undefined) return refusal;
    const told = new OutriggerError(known.reason, known.message, {
      metadata: { sent: "no" },
      ...(known.retryAfterMs === undefined ? {} : { retryAfterMs: known.retryAfterMs }),
      cause: refusal,
    });
    // A role, a state or a user that is another one now: a new connection may lead to the right server.
    if (known.reason === "BACKEND_DOWN" && this.#down === undefined && !/MISCONF|NOREPLICAS|NOPERM/.test(error.message))
      this.renew(told);
    return told;
  }

  async #greet(): Promise<void> {
    try {
      await this.#options.greet((command, ...args) => this.#send(command, args));
    } catch (fault) {
      if (this.#client.status === "ready") this.renew(this.#explain(fault));
      else this.#lastFault ??= this.#explain(fault);
      return;
    }
    this.#down = undefined;
    this.#lastFault = undefined;
    this.#failures = 0;
    if (this.#wasUsable) this.#options.log.info({ server: this.#options.address.shown }, "connected again");
    this.#wasUsable = true;
    this.#tell(undefined);
  }

  #explain(fault: unknown): OutriggerError {
    return connectionError(fault, this.#options.address, !this.#wasUsable);
  }

  #broken(): void {
    this.#connection++;
    if (this.#closed) return;
    const why = this.#lastFault ?? this.#explain(new Error("Connection is closed."));
    if (this.#down === undefined || !this.#wasUsable || this.#failures <= 1)
      this.#options.log.warn({ server: this.#options.address.shown }, why.message);
    this.#down = why;
    this.#lastFault = undefined;
    this.#tell(why);
  }

  #tell(why: OutriggerError | undefined): void {
    for (const resolve of this.#waiting) resolve(why);
    this.#waiting.clear();
  }

  #redisOptions() {
    const { address, tls, timeoutMs } = this.#options;
    return {
      ...address.endpoint,
      ...(tls === undefined ? {} : { tls: { ...tls } }),
      lazyConnect: true,
      // A Write whose answer is lost may have happened: it is never sent again, nor is anything kept for later.
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: timeoutMs,
      commandTimeout: timeoutMs,
      // A server that stands still: what waits in the socket is dropped with it.
      socketTimeout: timeoutMs,
      // AUTH, SELECT and the look at INFO are `greet`'s: the library goes on in database 0 when SELECT fails.
      protocol: 2,
      enableReadyCheck: false,
      disableClientInfo: true,
      retryStrategy: () => {
        const fullMs = Math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(this.#failures++, 10));
        return fullMs * (0.5 + Math.random() / 2);
      },
    } satisfies RedisOptions;
  }
}

function notSent(why: OutriggerError): OutriggerError {
  return new OutriggerError(why.reason, why.message, {
    metadata: { ...why.metadata, sent: "no" },
    ...(why.retryAfterMs === undefined ? {} : { retryAfterMs: why.retryAfterMs }),
    cause: why,
  });
}

/** The work goes on when the signal wins; nobody waits for it. */
function orAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
