/**
 * What a group of the kit is written against: rules' tests on one side, a driver behind an address on the other. A group
 * is a file of `groups/` and one line in `groups/index.ts`.
 *
 * A test proves one rule, `MUST [id]` of the .proto files, and asserts nothing that belongs to another id more than it
 * cannot help: a wrong driver must escape once the checks of its rule are left out (`--without id`).
 *
 * A test fails by throwing: an assertion of node:assert, or a `Fault` or `Silence` it did not expect. It cannot hang: each
 * wait ends with `Silence` by itself, and the runner ends a test after `timeoutMs`.
 */
import type { Metadata } from "@grpc/grpc-js";
import type { AppendRequestInput } from "../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type { OpenInput } from "../proto/gen/outrigger/blob/v1/Open.ts";
import type { DescribeResponse } from "../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import type { Limits } from "../proto/gen/outrigger/handshake/v1/Limits.ts";
import type { Store } from "../proto/gen/outrigger/handshake/v1/Store.ts";
import type { AnyMethod, StreamMethod, StreamMethods, UnaryMethod, UnaryMethods } from "../proto/transport.ts";
import type { Random } from "./random.ts";

export type StoreKind = "blob" | "meta";

/** The kit's profiles (protocol.md section 12); `process` is what else can be seen of the process contract. */
export type Profile = "handshake" | "process" | "meta" | "blob" | "resume" | "replicas" | "fast-paths";

/**
 * What has to be so for a test to mean anything. The first half is the driver's claim, read from Describe and nothing else:
 * not so is "not claimed". The second half is the command line's: not so is "not run".
 */
export interface Requirement {
  /** The driver serves this kind of store. */
  readonly store?: StoreKind;
  /** That store (any store, without `store`) claims this capability: "DURABLE". */
  readonly capability?: string;
  /** That store does not claim this capability: what is refused then. */
  readonly lacks?: string;
  /** The kit can start and kill the driver: --start. */
  readonly start?: true;
  /** The kit knows a second address, where a replica of the driver answers. */
  readonly replicas?: true;
  /** --local-root: the kit sees the folder that the blob store keeps its files in. */
  readonly localRoot?: true;
  /** --slow: the test waits for a minute or more, because the driver does. */
  readonly slow?: true;
}

export interface Test {
  /** The rule's id, "blob.read.03"; where several tests prove it, with a name of their own: "blob.read.03/stale-etag". */
  readonly id: string;
  /** A sentence of what is so with a right driver. */
  readonly title: string;
  /** Beside the group's. */
  readonly requires?: Requirement;
  /** Of the whole test; default 30 s and four times the patience. */
  readonly timeoutMs?: number;
  run(ctx: Context): Promise<void>;
}

export interface Group {
  /** Unique; what --only takes. */
  readonly name: string;
  readonly profile: Profile;
  /** A sentence for the report and the docs. */
  readonly summary: string;
  readonly requires: Requirement;
  readonly tests: readonly Test[];
}

/** How long a silence is borne. All of them follow --patience. */
export interface Timers {
  /** A unary call's answer: 10 s. */
  readonly unaryMs: number;
  /** A listing's answer: 30 s. */
  readonly listMs: number;
  /** The next message of a stream, or room for one: 30 s. */
  readonly streamMs: number;
}

/** Of one call; everything absent is right by itself. */
export interface CallOptions {
  /** `outrigger-store`: default the id that Describe told for this kind; null: leave it out. */
  readonly store?: string | null;
  /** `outrigger-not-after`: default (mutating calls) now + 1 min by the kit's clock; null: leave it out; text: as it is. */
  readonly notAfter?: number | string | null;
  /** Further metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** How long an answer, or each message of it, may take; default `ctx.timers`. */
  readonly patienceMs?: number;
}

/** What an answer carried beside its message. */
export interface AnswerHead {
  /** Initial metadata, or the trailers of a trailers-only answer. */
  readonly metadata: Metadata;
  /** Whether these are trailers because nothing but they came. */
  readonly trailersOnly: boolean;
}

export interface Answer<Response> extends AnswerHead {
  readonly response: Response;
  /** Of the serialized message. */
  readonly sizeBytes: number;
  readonly tookMs: number;
}

/** A call's answer; rejects with Fault, or Silence once the patience is over. */
export type UnaryCall<Method extends UnaryMethod> = (
  request: UnaryMethods[Method][0],
  options?: CallOptions,
) => Promise<UnaryMethods[Method][1]>;

/** A stream of answers. Not reading it is backpressure. Whatever is open at a test's end is cancelled. */
export interface Incoming<Message> extends AsyncIterable<Message> {
  /**
   * The next message; `undefined` once the stream has ended with OK, and ever after.
   * @throws Fault when it ended otherwise (again at each further call), Silence when nothing came in time
   */
  next(withinMs?: number): Promise<Message | undefined>;
  /** Every message up to the end; stops, and cancels, after `most` of them. Default 100,000. */
  rest(most?: number): Promise<Message[]>;
  /** What the answer carried; rejects with Silence when nothing has come in time, never with Fault. */
  head(): Promise<AnswerHead>;
  /** Of the messages taken so far, serialized. */
  readonly largestBytes: number;
  cancel(): void;
}

export type StreamCall<Method extends StreamMethod> = (
  request: StreamMethods[Method][0],
  options?: CallOptions,
) => Incoming<StreamMethods[Method][1]>;

/** One Append stream. `send` and the others may be used while `next` waits. */
export interface AppendSession extends Incoming<AppendResponse> {
  /**
   * Sends one message as it is, right or wrong. Resolves with true when there is room for more, with false when the stream
   * has ended (`next` says how). @throws Silence when the driver makes no room in time
   */
  send(message: AppendRequestInput): Promise<boolean>;
  /**
   * Sends `open` (sender "kit", attempt 1, create, sha256, not-after in a minute unless told otherwise) and waits for
   * `opened`. @throws Fault, Silence, AssertionError when another message comes
   */
  open(open: OpenInput & { readonly uploadId: string }): Promise<{ persisted: number; fence: number }>;
  /** Sends bytes as chunks from this offset; each at most `chunkBytes`, default 256 KiB. */
  chunks(offset: number, data: Uint8Array, chunkBytes?: number): Promise<boolean>;
  /** Messages up to and with the first of this kind. @throws AssertionError when the stream ends with OK before it */
  until<Step extends "opened" | "progress" | "committed">(
    step: Step,
    withinMs?: number,
  ): Promise<NonNullable<AppendResponse[Step]>>;
  /** "I send no more." */
  halfClose(): void;
}

export interface HandshakeCalls {
  readonly version: UnaryCall<"handshake.Version">;
  readonly describe: UnaryCall<"handshake.Describe">;
}

export interface BlobCalls {
  readonly stat: UnaryCall<"blob.Stat">;
  readonly put: UnaryCall<"blob.Put">;
  readonly getUpload: UnaryCall<"blob.GetUpload">;
  readonly listUploads: UnaryCall<"blob.ListUploads">;
  readonly abortUpload: UnaryCall<"blob.AbortUpload">;
  readonly delete: UnaryCall<"blob.Delete">;
  readonly list: UnaryCall<"blob.List">;
  readonly count: UnaryCall<"blob.Count">;
  readonly signUrl: UnaryCall<"blob.SignUrl">;
  readonly locateFile: UnaryCall<"blob.LocateFile">;
  readonly read: StreamCall<"blob.Read">;
  readonly move: StreamCall<"blob.Move">;
  append(options?: CallOptions): AppendSession;
}

export interface MetaCalls {
  readonly get: UnaryCall<"meta.Get">;
  readonly list: UnaryCall<"meta.List">;
  readonly count: UnaryCall<"meta.Count">;
  readonly write: UnaryCall<"meta.Write">;
}

/** Every call of one driver process. */
export interface Calls {
  readonly handshake: HandshakeCalls;
  readonly blob: BlobCalls;
  readonly meta: MetaCalls;
  /** grpc.health.v1: "SERVING", "NOT_SERVING", …; rejects with Fault NOT_FOUND for an unknown name. */
  health(service: string, options?: CallOptions): Promise<string>;
  /** A unary call with all that came with it. */
  answer<Method extends UnaryMethod>(
    method: Method,
    request: UnaryMethods[Method][0],
    options?: CallOptions,
  ): Promise<Answer<UnaryMethods[Method][1]>>;
}

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly tookMs: number;
}

/** The driver as a process; only where the kit was given --start (`requires: { start: true }`). */
export interface Control {
  /**
   * SIGKILL to its process group (or --kill). Resolves once the process has gone and nobody listens at its address.
   * @throws KitError where it did not die
   */
  kill(): Promise<void>;
  /**
   * Starts it and resolves once it answers. `flags` are added to the command's end: "--read-only".
   * @throws KitError where it does not come, or the old one is still there
   */
  start(flags?: readonly string[]): Promise<void>;
  /** Starts it and waits for its end. The caller expects one: a refusal, --init. @throws KitError where it goes on */
  run(flags: readonly string[], options?: RunCommandOptions): Promise<Ended & { readonly said: string }>;
  /** SIGTERM to its process group; resolves once it has ended, or with `undefined` after `withinMs`. */
  stop(withinMs: number): Promise<Ended | undefined>;
  readonly running: boolean;
  /** The same command, told to listen elsewhere; ended after the test. */
  elsewhere(address: string): Control;
}

export interface RunCommandOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** Default 60 s. */
  readonly withinMs?: number;
}

/** One driver process: its calls and, if the kit started it, the process. */
export interface Peer extends Calls {
  readonly address: string;
  /** Behind TLS. */
  readonly secure: boolean;
  readonly driver: Control;
  /** A new connection with calls of its own, to this driver or to another address of it; closed at the test's end. */
  connect(address?: string): Calls;
}

export interface Context extends Peer {
  /** The first is the driver itself (this context's own calls), the second its replica, where there is one. */
  readonly peers: readonly [Peer, ...Peer[]];
  /** What Describe told before the first test. */
  readonly described: DescribeResponse;
  /** That description's store; @throws Error where this kind is not served (say so in `requires`) */
  store(kind: StoreKind): Store;
  limits(kind: StoreKind): Limits;
  /** Ends with "/"; no key below it but this test's. What is left below it is deleted after the test. */
  readonly prefix: string;
  /** `prefix` + name; each name once a test is fine. Default: a name not used yet. */
  key(name?: string): string;
  /** An upload id not used yet; aborted after the test. */
  uploadId(): string;
  /** Seeded by --seed and the test's id, so that a test alone makes the same choices. */
  readonly random: Random;
  readonly timers: Timers;
  /** Aborts when the test's time is over, or the run is interrupted. */
  readonly signal: AbortSignal;
  /** A folder of the test's own on this machine, with a short path; gone after the test. */
  folder(): string;
  /** --local-root; only with `requires: { localRoot: true }`. */
  readonly localRoot: string | undefined;
  /** Told in the report beside the result. */
  note(text: string): void;
  /** Ends the test as "not run", for what neither Describe nor the command line tells before. Never to hide a failure. */
  notRun(why: string): never;
  sleep(ms: number): Promise<void>;
  /** What earlier calls of the run, of any test, showed of a rule that every answer must keep (`call.*`). */
  observed(id: string): readonly Observation[];
  /** How many answers were looked at for it. */
  observedCount(id: string): number;
}

/** An answer that broke a rule of all answers. */
export interface Observation {
  readonly test: string;
  readonly method: AnyMethod | "health.Check";
  readonly what: string;
}
