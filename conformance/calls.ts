/** Every RPC by name, with the metadata that a right caller sends, on one connection. */
import assert from "node:assert/strict";
import type { AppendRequestInput } from "../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type { OpenInput } from "../proto/gen/outrigger/blob/v1/Open.ts";
import { limits } from "../proto/limits.ts";
import { headers } from "../proto/metadata.ts";
import type { StreamMethod, StreamMethods, UnaryMethod, UnaryMethods } from "../proto/transport.ts";
import type {
  Answer,
  AnswerHead,
  AppendSession,
  CallOptions,
  Calls,
  Incoming,
  StoreKind,
  StreamCall,
  Timers,
  UnaryCall,
} from "./contract.ts";
import type { Sending, Wire } from "./wire.ts";
import type { Duplex } from "./wire-streams.ts";

/** How long a mutating call of the kit may still take effect after it was sent. */
export const NOT_AFTER_MS = 60_000;

const mutating: ReadonlySet<string> = new Set([
  "blob.Put",
  "blob.AbortUpload",
  "blob.Move",
  "blob.Delete",
  "meta.Write",
]);
const listing: ReadonlySet<string> = new Set([
  "blob.List",
  "blob.ListUploads",
  "blob.Count",
  "meta.List",
  "meta.Count",
]);

export interface CallsOptions {
  readonly timers: Timers;
  /** The id that Describe told for this kind; absent where it is not served, or not known yet. */
  storeId(kind: StoreKind): string | undefined;
}

export function callsOn(wire: Wire, options: CallsOptions): Calls {
  const sending = (method: string, given: CallOptions = {}): Sending => {
    const metadata: Record<string, string> = {};
    const [service] = method.split(".");
    if (service === "blob" || service === "meta") {
      const store = given.store === undefined ? options.storeId(service) : given.store;
      if (store !== null && store !== undefined) metadata[headers.store] = store;
      const notAfter = given.notAfter === undefined && mutating.has(method) ? soon() : given.notAfter;
      if (notAfter !== null && notAfter !== undefined) metadata[headers.notAfter] = String(notAfter);
    }
    const { unaryMs, listMs, streamMs } = options.timers;
    const streamed = method === "blob.Read" || method === "blob.Move" || method === "blob.Append";
    const patienceMs = given.patienceMs ?? (streamed ? streamMs : listing.has(method) ? listMs : unaryMs);
    return { metadata: { ...metadata, ...given.metadata }, patienceMs };
  };
  const answer = <Method extends UnaryMethod>(
    method: Method,
    request: UnaryMethods[Method][0],
    given?: CallOptions,
  ): Promise<Answer<UnaryMethods[Method][1]>> => wire.unary(method, request, sending(method, given)) as never;
  const unary =
    <Method extends UnaryMethod>(method: Method): UnaryCall<Method> =>
    async (request, given) =>
      (await answer(method, request, given)).response;
  const stream =
    <Method extends StreamMethod>(method: Method): StreamCall<Method> =>
    (request, given) =>
      wire.stream(method, request, sending(method, given)) as Incoming<StreamMethods[Method][1]>;
  return {
    answer,
    async health(service, given) {
      const { response } = await wire.unary("health.Check", { service }, sending("health.Check", given));
      return String((response as { status?: unknown }).status);
    },
    handshake: { version: unary("handshake.Version"), describe: unary("handshake.Describe") },
    blob: {
      stat: unary("blob.Stat"),
      put: unary("blob.Put"),
      getUpload: unary("blob.GetUpload"),
      listUploads: unary("blob.ListUploads"),
      abortUpload: unary("blob.AbortUpload"),
      delete: unary("blob.Delete"),
      list: unary("blob.List"),
      count: unary("blob.Count"),
      signUrl: unary("blob.SignUrl"),
      locateFile: unary("blob.LocateFile"),
      read: stream("blob.Read"),
      move: stream("blob.Move"),
      append: (given) => new Session(wire.duplex("blob.Append", sending("blob.Append", given))),
    },
    meta: {
      get: unary("meta.Get"),
      list: unary("meta.List"),
      count: unary("meta.Count"),
      write: unary("meta.Write"),
    },
  };
}

/** A not-after that leaves a driver time enough. */
export function soon(): number {
  return Date.now() + NOT_AFTER_MS;
}

class Session implements AppendSession {
  readonly #duplex: Duplex;
  readonly #incoming: Incoming<AppendResponse>;

  constructor(duplex: Duplex) {
    this.#duplex = duplex;
    this.#incoming = duplex.incoming as Incoming<AppendResponse>;
  }

  get largestBytes(): number {
    return this.#incoming.largestBytes;
  }

  next(withinMs?: number): Promise<AppendResponse | undefined> {
    return this.#incoming.next(withinMs);
  }

  rest(most?: number): Promise<AppendResponse[]> {
    return this.#incoming.rest(most);
  }

  head(): Promise<AnswerHead> {
    return this.#incoming.head();
  }

  cancel(): void {
    this.#incoming.cancel();
  }

  halfClose(): void {
    this.#duplex.halfClose();
  }

  [Symbol.asyncIterator](): AsyncIterator<AppendResponse> {
    return this.#incoming[Symbol.asyncIterator]();
  }

  send(message: AppendRequestInput): Promise<boolean> {
    return this.#duplex.send(message);
  }

  async open(open: OpenInput & { readonly uploadId: string }): Promise<{ persisted: number; fence: number }> {
    const full = { sender: "kit", attempt: 1, create: true, algorithm: "sha256", notAfterMs: soon(), ...open };
    await this.send({ step: "open", open: full } as AppendRequestInput);
    const first = await this.next();
    assert.ok(first !== undefined, "the stream ended with OK instead of an answer to open");
    assert.ok(first.opened, `open was answered by ${first.step ?? "a message without a step"} instead of opened`);
    return first.opened;
  }

  async chunks(offset: number, data: Uint8Array, chunkBytes: number = limits.preferredChunkBytes): Promise<boolean> {
    for (let at = 0; at < data.length; at += chunkBytes) {
      const chunk = { offset: offset + at, data: Buffer.from(data.subarray(at, at + chunkBytes)) };
      if (!(await this.send({ step: "chunk", chunk } as AppendRequestInput))) return false;
    }
    return true;
  }

  async until<Step extends "opened" | "progress" | "committed">(
    step: Step,
    withinMs?: number,
  ): Promise<NonNullable<AppendResponse[Step]>> {
    // A driver may say progress again and again; each resets the timer, but not for ever.
    for (let messages = 0; messages < 100_000; messages++) {
      const message = await this.next(withinMs);
      if (message === undefined) assert.fail(`the stream ended with OK before ${step}`);
      const found = message[step];
      if (found !== undefined && found !== null) return found;
    }
    return assert.fail(`100,000 messages and no ${step} among them`);
  }
}
