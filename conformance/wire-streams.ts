/** The two halves of a stream on the wire: answers taken one by one with a time for each, messages sent as they are. */
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  status as Code,
  Metadata,
  type StatusObject,
} from "@grpc/grpc-js";
import type { AnswerHead, Incoming } from "./contract.ts";
import { faultOf, Garbled, Silence } from "./faults.ts";
import type { CallLog } from "./recorder.ts";
import type { WireMethod } from "./wire.ts";

/** How one RPC's messages become bytes. */
export interface Codec {
  readonly path: string;
  requestSerialize(message: object): Buffer;
  responseDeserialize(bytes: Buffer): object;
}

/** Messages that wait for a test that does not read; then the connection's own backpressure begins. */
const QUEUE = 16;

export type StreamCall = ClientReadableStream<Buffer> | ClientDuplexStream<Buffer, Buffer>;

/** The answering half of a stream. */
export class IncomingStream implements Incoming<object> {
  readonly #method: WireMethod;
  readonly #codec: Codec;
  readonly #call: StreamCall;
  readonly #patienceMs: number;
  readonly #log: CallLog;
  readonly #queue: Buffer[] = [];
  readonly #waiting = new Set<() => void>();
  #initial: Metadata | undefined;
  #status: StatusObject | undefined;
  #drained = false;
  #cancelled = false;
  /** Set once the end was told: what each further call says. */
  #ended: { readonly error: unknown } | undefined;
  largestBytes = 0;

  constructor(
    method: WireMethod,
    codec: Codec,
    call: StreamCall,
    patienceMs: number,
    log: CallLog,
    finished: () => void,
  ) {
    this.#method = method;
    this.#codec = codec;
    this.#call = call;
    this.#patienceMs = patienceMs;
    this.#log = log;
    call.on("metadata", (received: Metadata) => {
      this.#initial = received;
      this.#wake();
    });
    call.on("data", (bytes: Buffer) => {
      this.#queue.push(bytes);
      if (this.#queue.length >= QUEUE) call.pause();
      this.#wake();
    });
    call.on("end", () => {
      this.#drained = true;
      this.#wake();
    });
    // The same is told by "status", which always comes.
    call.on("error", () => {});
    call.on("status", (status: StatusObject) => {
      this.#status = status;
      finished();
      this.#wake();
    });
  }

  get ended(): boolean {
    return this.#status !== undefined;
  }

  /** Resolves at the next event. */
  event(run: () => void): () => void {
    this.#waiting.add(run);
    return () => this.#waiting.delete(run);
  }

  async next(withinMs = this.#patienceMs): Promise<object | undefined> {
    const deadlineMs = performance.now() + withinMs;
    for (;;) {
      const bytes = this.#queue.shift();
      if (bytes !== undefined) return this.#take(bytes);
      if (this.#status !== undefined && (this.#drained || this.#cancelled || this.#status.code !== Code.OK)) {
        // What was received before the end is still under way from the call's own buffer.
        if (this.#drained || this.#call.readableLength === 0) return this.#end(this.#status);
      }
      if (!(await this.#wait(deadlineMs - performance.now()))) {
        const error = new Silence(`${this.#method}: no message and no end`, withinMs);
        this.#log.note(error.message);
        throw error;
      }
    }
  }

  async rest(most = 100_000): Promise<object[]> {
    const messages: object[] = [];
    for (;;) {
      const message = await this.next();
      if (message === undefined) return messages;
      messages.push(message);
      if (messages.length >= most) {
        this.cancel();
        throw new Error(`${this.#method} sent ${most} messages and did not end`);
      }
    }
  }

  async head(): Promise<AnswerHead> {
    const deadlineMs = performance.now() + this.#patienceMs;
    while (this.#initial === undefined && this.#status === undefined) {
      if (!(await this.#wait(deadlineMs - performance.now())))
        throw new Silence(`${this.#method}: no answer at all`, this.#patienceMs);
    }
    return headOf(this.#initial, this.#status?.metadata);
  }

  cancel(): void {
    this.#cancelled = true;
    this.#call.cancel();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<object> {
    for (;;) {
      const message = await this.next();
      if (message === undefined) return;
      yield message;
    }
  }

  #take(bytes: Buffer): object {
    if (this.#queue.length < QUEUE / 2 && this.#call.isPaused()) this.#call.resume();
    if (bytes.length > this.largestBytes) this.largestBytes = bytes.length;
    try {
      const message = decode(this.#method, this.#codec, bytes);
      this.#log.received(message, bytes.length);
      return message;
    } catch (error) {
      this.#log.note((error as Error).message);
      this.cancel();
      throw error;
    }
  }

  #end(status: StatusObject): undefined {
    if (this.#ended === undefined) {
      const error =
        status.code === Code.OK ? undefined : faultOf(this.#method, status.code, status.details, status.metadata);
      this.#ended = { error };
      this.#log.end(error, headOf(this.#initial, status.metadata), this.#cancelled);
    }
    if (this.#ended.error !== undefined) throw this.#ended.error;
    return undefined;
  }

  /** Resolves with false when nothing happened for so long. */
  #wait(ms: number): Promise<boolean> {
    if (ms <= 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      const finish = (happened: boolean) => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(happened);
      };
      const wake = () => finish(true);
      const timer = setTimeout(() => finish(false), ms);
      this.#waiting.add(wake);
    });
  }

  #wake(): void {
    for (const run of [...this.#waiting]) run();
  }
}

/** Both halves of a stream. */
export class Duplex {
  readonly incoming: Incoming<object>;
  readonly #stream: IncomingStream;
  readonly #method: WireMethod;
  readonly #codec: Codec;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #patienceMs: number;
  readonly #log: CallLog;
  #halfClosed = false;

  constructor(
    method: WireMethod,
    codec: Codec,
    call: ClientDuplexStream<Buffer, Buffer>,
    incoming: IncomingStream,
    patienceMs: number,
    log: CallLog,
  ) {
    this.#method = method;
    this.#codec = codec;
    this.#call = call;
    this.incoming = incoming;
    this.#stream = incoming;
    this.#patienceMs = patienceMs;
    this.#log = log;
  }

  /** @see AppendSession.send */
  send(message: object): Promise<boolean> {
    if (this.#stream.ended || this.#halfClosed) return Promise.resolve(false);
    const bytes = this.#codec.requestSerialize(message);
    this.#log.sent(message, bytes.length);
    return new Promise((resolve, reject) => {
      const finish = (act: () => void) => {
        clearTimeout(timer);
        stop();
        act();
      };
      const timer = setTimeout(
        () => finish(() => reject(new Silence(`${this.#method}: no room for one more message`, this.#patienceMs))),
        this.#patienceMs,
      );
      const stop = this.#stream.event(() => {
        if (this.#stream.ended) finish(() => resolve(false));
      });
      this.#call.write(bytes, () => finish(() => resolve(!this.#stream.ended)));
    });
  }

  halfClose(): void {
    if (this.#halfClosed) return;
    this.#halfClosed = true;
    this.#log.note("half-close");
    this.#call.end();
  }
}

/** @throws Garbled */
export function decode(method: WireMethod, codec: Codec, bytes: Buffer): object {
  try {
    return codec.responseDeserialize(bytes);
  } catch (error) {
    throw new Garbled(method, error);
  }
}

/** What an answer carried: the trailers where nothing else came. */
export function headOf(initial: Metadata | undefined, trailers: Metadata | undefined): AnswerHead {
  return { metadata: initial ?? trailers ?? new Metadata(), trailersOnly: initial === undefined };
}
