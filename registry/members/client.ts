/** Asking another member: one signed request, bounded in time, in bytes and in number, with an error that names it. */
import type { IncomingMessage } from "node:http";
import type { Clock } from "../../proto/clock.ts";
import { checkedAnswer, IDLE_MS, type OpenAnswer, type WholeAnswer } from "./answers.ts";
import { sendBody } from "./body.ts";
import { isMemberError, MemberDisagrees, MemberDown, MemberWrong } from "./errors.ts";
import type { Origin } from "./origin.ts";
import { type Role, signRequest } from "./peers.ts";
import type { View } from "./view.ts";

export interface MemberRequest {
  readonly method: string;
  /** With its query; made by paths.ts, never by a client. */
  readonly path: string;
  readonly role: Role;
  /** Whose request it is. Default: nobody's. */
  readonly account?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: MemberBody;
  /** What is asked, in place of `body`: sent at once, and once more where the member did not get it. It changes nothing. */
  readonly question?: Buffer;
  /** Whether a body passes, either way, at somebody else's pace. Default: where the answer is opened, not where it is read whole. */
  readonly isStreamed?: boolean;
  /**
   * From the request's end to the answer's head. Default: `cluster.answerSeconds`. A shorter one also bounds the wait for a
   * turn, that for the member to want the body, and the time in which an answer that is read whole ends.
   */
  readonly deadlineMs?: number;
  /** `false`: that it was not answered in time is no sign that the member is down. Default: it counts. */
  readonly countsInBreaker?: false;
  /** It has no body, and done twice it is as if done once: GET and HEAD are so anyhow. Default: it is not sent again. */
  readonly isRepeatable?: boolean;
  readonly signal: AbortSignal;
}

/** Consumed once, and not before the member has asked for it: until then a request can be sent again. */
export interface MemberBody {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Absent: sent chunked. */
  readonly sizeBytes?: number;
  /** No more is wanted: the member has answered. */
  stop(): void;
}

export type ObserveMember = (
  member: string,
  outcome: "answered" | "down" | "wrong" | "disagrees" | "left",
  ms: number,
) => void;

/** What is read whole is there in so much more time than its head. */
const WHOLE_MS = 20_000;
export const DEFAULT_MAX_BYTES = 1024 * 1024;

export class MemberClient {
  readonly #view: () => View;
  readonly #clock: Clock;
  readonly #observe: ObserveMember;

  constructor(view: () => View, clock: Clock, observe: ObserveMember = () => {}) {
    this.#view = view;
    this.#clock = clock;
    this.#observe = observe;
  }

  /**
   * The whole answer, at most `maxBytes` (default 1 MiB) of body.
   * @throws MemberDown, MemberWrong, MemberDisagrees; the signal's reason
   */
  async ask(member: string, request: MemberRequest & { readonly maxBytes?: number }): Promise<WholeAnswer> {
    const { maxBytes = DEFAULT_MAX_BYTES } = request;
    const answer = await this.open(member, { isStreamed: false, ...request });
    let isLate = false;
    const cancel = this.#clock.after(Math.min(WHOLE_MS, request.deadlineMs ?? WHOLE_MS), () => {
      isLate = true;
      answer.discard();
    });
    try {
      const body = request.method === "HEAD" ? Buffer.alloc(0) : await answer.whole(maxBytes);
      return { member, status: answer.status, headers: answer.headers, body };
    } catch (error) {
      throw isLate ? new MemberDown(member, "its answer did not end in time", error) : error;
    } finally {
      cancel();
      answer.discard();
    }
  }

  /**
   * The answer's head, any status that a member may answer with.
   * @throws MemberDown, MemberWrong, MemberDisagrees; the signal's reason; what the request's body threw
   */
  async open(member: string, request: MemberRequest): Promise<OpenAnswer> {
    const view = this.#view();
    const origin = view.origins.get(member);
    if (origin === undefined) throw new MemberDown(member, "no member has this id (cluster.members)");
    const startedMs = this.#clock.monotonic();
    const observe = (outcome: Parameters<ObserveMember>[1]) =>
      this.#observe(member, outcome, this.#clock.monotonic() - startedMs);
    // Its own requests are no fault of the member's: the breaker does not hear of them.
    const free = await this.#slot(origin, view, request);
    try {
      if (!origin.breaker.lets()) {
        throw new MemberDown(member, "it failed several times in a row, and is asked again in some seconds");
      }
      const answer = await this.#tell(origin, request, this.#openOn(origin, view, request, free));
      observe("answered");
      return answer;
    } catch (error) {
      free();
      observe(outcomeOf(error));
      throw error;
    }
  }

  /** Tells the breaker how it ended. */
  async #tell<Answer>(
    { breaker }: Origin,
    { countsInBreaker }: MemberRequest,
    asked: Promise<Answer>,
  ): Promise<Answer> {
    try {
      const answer = await asked;
      breaker.succeeded();
      return answer;
    } catch (error) {
      if (error instanceof MemberLate && countsInBreaker === false) breaker.unknown();
      else if (error instanceof MemberDown) breaker.failed();
      else if (isMemberError(error)) breaker.succeeded();
      else breaker.unknown();
      throw error;
    }
  }

  async #openOn(origin: Origin, view: View, request: MemberRequest, free: () => void): Promise<OpenAnswer> {
    const sent = { body: false };
    const response = await this.#response(origin, view, request, sent);
    response.once("close", free);
    // Closed before anybody listened: the answer had no body, or is broken.
    if (response.destroyed) free();
    try {
      return await checkedAnswer(origin.id, response, this.#clock);
    } catch (error) {
      if (!(error instanceof MemberDisagrees) || !sent.body) throw error;
      // What stands between has asked for the body in its place: it cannot be sent again.
      throw new MemberWrong(origin.id, "has another list of members, and says so only after the request's body", error);
    }
  }

  async #slot(origin: Origin, view: View, request: MemberRequest): Promise<() => void> {
    const { signal, isStreamed = true } = request;
    const slots = origin.slots[isStreamed ? "streamed" : "short"];
    const free = slots.takeNow();
    if (free) return free;
    const patience = new AbortController();
    const what = isStreamed ? "blobs and uploads" : "requests to it";
    const cancel = this.#clock.after(patienceMs(view, request), () =>
      patience.abort(new MemberDown(origin.id, `too many ${what} are under way`)),
    );
    try {
      return await slots.take(AbortSignal.any([signal, patience.signal]));
    } finally {
      cancel();
    }
  }

  /** A connection that was kept open may have been closed by the other side: then once more on a new one. */
  async #response(origin: Origin, view: View, request: MemberRequest, sent: Sent): Promise<IncomingMessage> {
    try {
      return await this.#attempt(origin, view, request, sent, false);
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error;
      return this.#attempt(origin, view, request, sent, true);
    }
  }

  #attempt(origin: Origin, view: View, request: MemberRequest, sent: Sent, fresh: boolean): Promise<IncomingMessage> {
    const { method, path, role, account = "", body, question, signal } = request;
    const [key] = view.keys;
    const named = { method, path, role, account, from: view.self, to: origin.id, listHash: view.hash };
    const all = { ...request.headers, ...signRequest(key, named, this.#clock.now()), ...bodyHeaders(request) };
    const headers = Object.entries(all).flat();
    signal.throwIfAborted();
    const outgoing = origin.request({ method, path, headers }, fresh);
    return new Promise<IncomingMessage>((resolve, reject) => {
      let isSettled = false;
      let answer: IncomingMessage | undefined;
      let cancelDeadline = () => {};
      const wait = (ms: number, why: string) => {
        cancelDeadline();
        if (isSettled) return;
        cancelDeadline = this.#clock.after(ms, () => fail(new MemberLate(origin.id, why)));
      };
      const settle = () => {
        isSettled = true;
        cancelDeadline();
      };
      const forget = () => signal.removeEventListener("abort", onAbort);
      const fail = (error: unknown) => {
        settle();
        forget();
        outgoing.destroy();
        body?.stop();
        reject(error);
      };
      // What ends the request ends its answer too.
      const onAbort = () => (answer ? answer.destroy(signal.reason) : fail(signal.reason));
      signal.addEventListener("abort", onAbort, { once: true });
      outgoing.on("error", (error: NodeJS.ErrnoException) => {
        const isStale = outgoing.reusedSocket && !fresh && maySendAgain(request, sent);
        if (isStale && (error.code === "ECONNRESET" || error.code === "EPIPE")) {
          settle();
          forget();
          return reject(new StaleConnection(error));
        }
        fail(new MemberDown(origin.id, `the connection failed (${error.code ?? error.message})`, error));
      });
      outgoing.once("response", (response) => {
        settle();
        body?.stop();
        answer = response;
        response.once("close", forget);
        resolve(response);
      });
      const headMs = request.deadlineMs ?? view.answerMs;
      const firstMs = body === undefined ? headMs : patienceMs(view, request);
      wait(firstMs, `no answer came within ${firstMs / 1000} s`);
      if (body === undefined) {
        outgoing.end(question);
        return;
      }
      outgoing.once("continue", () => {
        sent.body = true;
        cancelDeadline();
        const stall = () => fail(new MemberDown(origin.id, `it took no byte for ${IDLE_MS / 1000} s`));
        sendBody(outgoing, body.bytes, { stalled: () => this.#clock.after(IDLE_MS, stall) }).then((isWhole) => {
          if (isWhole) wait(headMs, `no answer came within ${headMs / 1000} s of the body's end`);
        }, fail);
      });
      outgoing.flushHeaders();
    });
  }
}

/** How long a request waits that has asked nothing of a store yet. */
function patienceMs({ answerMs }: View, { deadlineMs = answerMs }: MemberRequest): number {
  return Math.min(answerMs, deadlineMs);
}

/** Whether nothing is changed twice where the member has had it after all: what needs a body was not done without one. */
function maySendAgain({ method, body, question, isRepeatable }: MemberRequest, sent: Sent): boolean {
  if (method === "GET" || method === "HEAD" || question !== undefined) return true;
  return body === undefined ? isRepeatable === true : !sent.body && method !== "DELETE";
}

/** It may be at work on its answer. */
class MemberLate extends MemberDown {}

/** Whether any of the body has left. */
interface Sent {
  body: boolean;
}

function outcomeOf(error: unknown): Parameters<ObserveMember>[1] {
  if (error instanceof MemberDown) return "down";
  if (error instanceof MemberWrong) return "wrong";
  return error instanceof MemberDisagrees ? "disagrees" : "left";
}

/** The other side had closed the connection: the request never came to it. */
class StaleConnection extends Error {
  constructor(cause: unknown) {
    super("the connection was closed meanwhile", { cause });
  }
}

/** With a body the member is asked to say that it wants it: what it refuses at once can be asked elsewhere. */
function bodyHeaders({ method, body, question }: MemberRequest): Record<string, string> {
  if (question !== undefined) return { "content-length": String(question.length) };
  if (body === undefined) return method === "GET" || method === "HEAD" ? {} : { "content-length": "0" };
  const length = body.sizeBytes === undefined ? {} : { "content-length": String(body.sizeBytes) };
  return { expect: "100-continue", ...(body.sizeBytes === undefined ? { "transfer-encoding": "chunked" } : length) };
}
