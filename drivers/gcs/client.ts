/** Requests to one bucket by the JSON API: credentials, repetition where it is harmless, answers told apart. */
import { setTimeout as sleep } from "node:timers/promises";
import type { RequestHow } from "../../server/objects/contract.ts";
import type { Credentials } from "./credentials.ts";
import { failureOf, isPassing, isThrottled, type Place, type Problem, problemOf, unreachable } from "./failures.ts";
import { type HttpReply, type Transport, textOf } from "./transport.ts";

export type Query = Readonly<Record<string, string | number | undefined>>;

export interface Call {
  readonly method: "GET" | "POST" | "DELETE";
  /** After the endpoint: "/storage/v1/b/…". */
  readonly path: string;
  readonly query?: Query;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: readonly Uint8Array[];
  /**
   * Whether sending it again is harmless, whatever became of it before. If not, it is sent again only when the service
   * refused it for its pace, and an unknown outcome is told as BACKEND_DOWN.
   */
  readonly repeatable: boolean;
  /** Statuses that the caller understands; anything else that is no success is thrown. */
  readonly expect?: readonly number[];
}

export type Answer<Body> =
  | { readonly ok: true; readonly body: Body }
  | { readonly ok: false; readonly problem: Problem; readonly outcomeUnknown: boolean };

const MOST_ATTEMPTS = 5;
const FIRST_WAIT_MS = 200;
const MOST_WAIT_MS = 5_000;

export class GcsClient {
  readonly place: Place;
  readonly #credentials: Credentials;
  readonly #transport: Transport;

  constructor(place: Place, credentials: Credentials, transport: Transport) {
    this.place = place;
    this.#credentials = credentials;
    this.#transport = transport;
  }

  /** "/storage/v1/b/BUCKET/o/NAME" */
  objectPath(object?: string): string {
    const objects = `${this.bucketPath}/o`;
    return object === undefined ? objects : `${objects}/${encodeURIComponent(object)}`;
  }

  get bucketPath(): string {
    return `/storage/v1/b/${encodeURIComponent(this.place.bucket)}`;
  }

  get uploadPath(): string {
    return `/upload${this.objectPath()}`;
  }

  /** @returns the answer's JSON, or the problem where its status is expected. @throws BACKEND_DOWN, THROTTLED, QUOTA */
  json<Body>(call: Call, how: RequestHow): Promise<Answer<Body>> {
    return this.#attempts(call, how, async (reply) => {
      const text = await textOf(reply);
      try {
        return (text === "" ? {} : JSON.parse(text)) as Body;
      } catch (cause) {
        throw new Error("what answers there is not Cloud Storage: check --api-endpoint", { cause });
      }
    });
  }

  /** Likewise; the body is still to come, and the caller ends it. */
  stream(call: Call, how: RequestHow): Promise<Answer<HttpReply>> {
    return this.#attempts(call, how, (reply) => Promise.resolve(reply));
  }

  async #attempts<Body>(call: Call, how: RequestHow, read: (reply: HttpReply) => Promise<Body>): Promise<Answer<Body>> {
    const mutates = call.method !== "GET";
    const expect = call.expect ?? [];
    for (let attempt = 1; ; attempt++) {
      const headers = { ...(await this.#credentials.headers(how.signal)), ...call.headers };
      let problem: Problem;
      let sent = false;
      try {
        const reply = await this.#transport.send({
          method: call.method,
          url: this.#url(call),
          headers: { ...headers, "user-agent": "outrigger-driver-gcs", "cache-control": "no-store" },
          body: call.body ?? [],
          signal: how.signal,
          beforeSend: () => {
            if (mutates) how.assertInTime();
            sent = true;
          },
        });
        if (reply.status < 300) return { ok: true, body: await read(reply) };
        problem = problemOf(reply.status, reply.message.headers["retry-after"], await textOf(reply));
      } catch (error) {
        how.signal.throwIfAborted();
        if (!sent && !isConnectionError(error)) throw error;
        if (attempt >= MOST_ATTEMPTS || (sent && !call.repeatable)) throw unreachable(error, this.place);
        await pause(attempt, undefined, how.signal);
        continue;
      }
      // A service that failed in the middle may have done the work.
      const outcomeUnknown = mutates && !call.repeatable && problem.status >= 500;
      if (expect.includes(problem.status)) return { ok: false, problem, outcomeUnknown };
      const again = call.repeatable ? isPassing(problem) : isThrottled(problem);
      if (!again || attempt >= MOST_ATTEMPTS) throw failureOf(problem, this.place, outcomeUnknown);
      await pause(attempt, problem.retryAfterMs, how.signal);
    }
  }

  #url({ path, query = {} }: Call): URL {
    const url = new URL(`${this.place.endpoint}${path}`);
    for (const [name, value] of Object.entries({ ...query, userProject: this.place.userProject })) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    return url;
  }
}

/** What Node says when a connection could not be made: the request was not sent. */
function isConnectionError(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === "string" && /^(?:E[A-Z]+|CERT_|UNABLE_|DEPTH_|SELF_)/.test(code);
}

/** Doubling, and by chance between half and all of it, so that replicas do not knock together. */
async function pause(attempt: number, retryAfterMs: number | undefined, signal: AbortSignal): Promise<void> {
  const most = Math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
  const waitMs = Math.max(most * (0.5 + Math.random() / 2), Math.min(retryAfterMs ?? 0, MOST_WAIT_MS));
  await sleep(waitMs, undefined, { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
}
