/**
 * One HTTP request, sent once. The SDK's own requests take no AbortSignal, repeat themselves by a switch that all calls
 * of a client share, and lose the conditions of a copy after its first step: docs/adr/gcs-requests.md.
 */
import { setMaxListeners } from "node:events";
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";

export interface HttpCall {
  readonly method: "GET" | "POST" | "DELETE";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: readonly Uint8Array[];
  readonly signal: AbortSignal;
  /** Called when the connection stands, right before the first byte goes out; what it throws ends the request unsent. */
  readonly beforeSend: () => void;
}

export interface HttpReply {
  readonly status: number;
  readonly message: IncomingMessage;
  /** As it comes, each piece within the idle time of being asked for. Leaving it early ends the transfer. */
  readonly body: AsyncGenerator<Buffer, void, undefined>;
}

/** Neither end has moved a byte for so long: the default. */
const IDLE_MS = 30_000;
const FREE_SOCKET_MS = 30_000;

export class Transport {
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #request: typeof requestHttp;
  readonly #idleMs: number;

  constructor(endpoint: URL, idleMs = IDLE_MS) {
    this.#idleMs = idleMs;
    // Any number of sockets: a request that waited for one would pass its not-after time unseen.
    const options = { keepAlive: true, maxFreeSockets: 64, scheduling: "lifo", timeout: FREE_SOCKET_MS } as const;
    const plain = endpoint.protocol === "http:";
    this.#agent = plain ? new HttpAgent(options) : new HttpsAgent(options);
    this.#request = plain ? requestHttp : requestHttps;
  }

  /** @returns its answer, whatever its status, with a body that must be consumed or destroyed. @throws when none comes */
  send(call: HttpCall): Promise<HttpReply> {
    const sizeBytes = call.body.reduce((sum, piece) => sum + piece.length, 0);
    return new Promise((resolve, reject) => {
      call.signal.throwIfAborted();
      // A call makes many requests at once, each of which listens.
      setMaxListeners(0, call.signal);
      const request = this.#request(call.url, {
        method: call.method,
        agent: this.#agent,
        signal: call.signal,
        headers: { ...call.headers, ...(call.method === "POST" ? { "content-length": sizeBytes } : {}) },
      });
      request.setTimeout(this.#idleMs, () => request.destroy(silent(this.#idleMs)));
      request.once("error", reject);
      request.once("response", (message) => {
        // From here on whoever reads the body watches the time: a slow reader is not a silent server.
        request.setTimeout(0);
        resolve({ status: message.statusCode ?? 0, message, body: pieces(message, this.#idleMs) });
      });
      const send = () => {
        try {
          call.beforeSend();
        } catch (error) {
          request.once("error", () => {});
          request.destroy();
          reject(error as Error);
          return;
        }
        for (const piece of call.body) request.write(piece);
        request.end();
      };
      request.once("socket", (socket) => {
        if (!socket.connecting) return send();
        socket.once(call.url.protocol === "http:" ? "connect" : "secureConnect", send);
      });
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** At most so much of an answer that is text. */
const MOST_TEXT_BYTES = 8 * 1024 * 1024;

/** @throws Error when the answer breaks off */
export async function textOf({ body }: HttpReply): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of body) {
    sizeBytes += piece.length;
    if (sizeBytes > MOST_TEXT_BYTES) throw new Error(`an answer of more than ${MOST_TEXT_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

async function* pieces(message: IncomingMessage, idleMs: number): AsyncGenerator<Buffer, void, undefined> {
  let asked = true;
  const timer = setTimeout(() => {
    if (asked) message.destroy(silent(idleMs));
  }, idleMs);
  try {
    for await (const piece of message as AsyncIterable<Buffer>) {
      asked = false;
      yield piece;
      asked = true;
      timer.refresh();
    }
  } finally {
    clearTimeout(timer);
    message.destroy();
  }
}

function silent(idleMs: number): Error {
  return Object.assign(new Error(`nothing came for ${idleMs / 1000} s`), { code: "ETIMEDOUT" });
}
