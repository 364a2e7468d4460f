/**
 * An HTTP proxy before a real server that does to single requests what services do: refuse, throttle, answer late, fail
 * after the work was done. For what networks do to connections, see fault-proxy.ts.
 */
import { once } from "node:events";
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Scope } from "./processes.ts";

/** A request as the proxy saw it: what rules choose by, and what a test counts costs with. */
export interface SeenRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** What becomes of a request. */
export type HttpFault =
  | "pass"
  /** The connection is cut, and the server never sees the request. */
  | "cut-before"
  /** The server does the work; the connection is cut before the first byte of its answer: the outcome is unknown. */
  | "cut-after"
  /** The server never sees the request. */
  | { readonly answer: HttpAnswer }
  /** The server does the work, the client gets this answer instead of its own. */
  | { readonly answerAfter: HttpAnswer }
  /** Late on its way there, or back. The request is taken in whole first, and goes on also when its client has gone. */
  | { readonly delayMs: number; readonly of: "request" | "answer" }
  /** Likewise, until the promise resolves. */
  | { readonly hold: Promise<unknown>; readonly of: "request" | "answer" }
  /** The answer's head and so many bytes of its body, then the connection is cut. */
  | { readonly cutAnswerAtBytes: number }
  /** The server's answer, changed: a page of a listing twice, a header that is absent. */
  | { readonly rewrite: (answer: Required<HttpAnswer> & { readonly body: Buffer }) => HttpAnswer };

/** Which requests: all that is given must hold. */
export interface RequestMatch {
  readonly method?: string;
  /** Of the path with its query. */
  readonly path?: RegExp;
  /** By lower-case name. */
  readonly headers?: Readonly<Record<string, RegExp>>;
  /** Lets so many pass first. */
  readonly skip?: number;
  /** Then strikes so many. Default: all. */
  readonly times?: number;
}

export interface Rule {
  /** How many requests it struck. */
  readonly struck: number;
  /** Resolves when it has struck so many. */
  reached(count: number): Promise<void>;
  remove(): void;
}

export class HttpFaults {
  /** Every request that came, in order. */
  readonly seen: SeenRequest[] = [];
  #port = 0;
  readonly #rules = new Set<ActiveRule>();
  readonly #target: { readonly host: string; readonly port: number };
  // One connection a request: none is stale after the server was started anew.
  readonly #agent = new Agent({ keepAlive: false });

  /** In front of the server at `host:port`, until the scope closes. */
  static async start(scope: Scope, target: string): Promise<HttpFaults> {
    const proxy = new HttpFaults(target);
    const server = createServer({ requestTimeout: 0 }, (incoming, outgoing) => {
      proxy.#serve(incoming, outgoing).catch(() => outgoing.socket?.resetAndDestroy());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const bound = server.address();
    if (bound === null || typeof bound === "string") throw new Error("an HTTP server has no port");
    proxy.#port = bound.port;
    scope.defer(() => {
      server.close();
      server.closeAllConnections();
      proxy.#agent.destroy();
    });
    return proxy;
  }

  private constructor(target: string) {
    const at = target.lastIndexOf(":");
    this.#target = { host: target.slice(0, at), port: Number(target.slice(at + 1)) };
  }

  /** host:port for clients. The Host header goes on as it came, so that signatures hold. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Of the rules that match a request, the newest that is not used up decides. None: it passes. */
  add(match: RequestMatch, fault: HttpFault): Rule {
    const rule = new ActiveRule(match, fault, () => this.#rules.delete(rule));
    this.#rules.add(rule);
    return rule;
  }

  /** Everything passes from now on. */
  clear(): void {
    this.#rules.clear();
  }

  #faultFor(seen: SeenRequest): HttpFault {
    for (const rule of [...this.#rules].reverse()) if (rule.strikes(seen)) return rule.fault;
    return "pass";
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const seen = { method: incoming.method ?? "", path: incoming.url ?? "", headers: incoming.headers };
    this.seen.push(seen);
    const fault = this.#faultFor(seen);
    incoming.on("error", () => {});
    outgoing.on("error", () => {});
    const cut = () => {
      incoming.socket.resetAndDestroy();
    };
    if (fault === "pass") return this.#stream(incoming, outgoing);
    if (fault === "cut-before") return cut();
    const body = await bytesOf(incoming);
    if (typeof fault === "object" && "answer" in fault) return answer(outgoing, fault.answer);
    if (typeof fault === "object" && "of" in fault && fault.of === "request") await late(fault);
    const served = await this.#forward(incoming, body);
    if (fault === "cut-after") return cut();
    if ("of" in fault && fault.of === "answer") await late(fault);
    if ("answerAfter" in fault) return answer(outgoing, fault.answerAfter);
    if ("rewrite" in fault) return answer(outgoing, fault.rewrite(served));
    if (!("cutAnswerAtBytes" in fault)) return answer(outgoing, served);
    outgoing.writeHead(served.status, { ...served.headers, "content-length": served.body.length });
    outgoing.write(served.body.subarray(0, fault.cutAnswerAtBytes), cut);
  }

  /** Both ways as they come, with no more in memory than sockets hold. */
  async #stream(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const upstream = this.#request(incoming);
    incoming.pipe(upstream);
    outgoing.on("close", () => upstream.destroy());
    const [response] = (await once(upstream, "response")) as [IncomingMessage];
    outgoing.writeHead(response.statusCode ?? 502, response.statusMessage, response.rawHeaders);
    response.on("error", () => incoming.socket.resetAndDestroy());
    response.pipe(outgoing);
  }

  /** To its end, whether or not the client still waits. */
  async #forward(incoming: IncomingMessage, body: Buffer): Promise<Required<HttpAnswer> & { readonly body: Buffer }> {
    const upstream = this.#request(incoming);
    upstream.end(body);
    const [response] = (await once(upstream, "response")) as [IncomingMessage];
    const headers = Object.fromEntries(
      Object.entries(response.headers)
        .filter(([name]) => name !== "transfer-encoding" && name !== "connection")
        .map(([name, value]) => [name, String(value)]),
    );
    return { status: response.statusCode ?? 502, headers, body: await bytesOf(response) };
  }

  #request(incoming: IncomingMessage) {
    const headers = incoming.rawHeaders.filter((_, index, all) => !/^expect$/i.test(all[index & ~1] ?? ""));
    const { method, url: path } = incoming;
    // Whoever waits for the answer sees the error; after it the connection's end says the same.
    return request({ ...this.#target, agent: this.#agent, method, path, headers }).on("error", () => {});
  }
}

class ActiveRule implements Rule {
  readonly fault: HttpFault;
  readonly remove: () => void;
  struck = 0;
  #left: number;
  #skip: number;
  readonly #match: RequestMatch;
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(match: RequestMatch, fault: HttpFault, remove: () => void) {
    this.fault = fault;
    this.remove = remove;
    this.#match = match;
    this.#left = match.times ?? Number.POSITIVE_INFINITY;
    this.#skip = match.skip ?? 0;
  }

  strikes({ method, path, headers }: SeenRequest): boolean {
    const match = this.#match;
    if (match.method !== undefined && match.method !== method) return false;
    if (match.path?.test(path) === false) return false;
    for (const [name, wanted] of Object.entries(match.headers ?? {})) {
      if (!wanted.test(String(headers[name] ?? ""))) return false;
    }
    if (this.#left === 0 || this.#skip-- > 0) return false;
    this.#left--;
    this.struck++;
    for (const { resolve } of this.#waiting.filter(({ count }) => count <= this.struck)) resolve();
    this.#waiting = this.#waiting.filter(({ count }) => count > this.struck);
    return true;
  }

  reached(count: number): Promise<void> {
    if (this.struck >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }
}

function answer(outgoing: ServerResponse, { status, headers = {}, body = "" }: HttpAnswer): void {
  const { "content-length": length, ...rest } = headers;
  // HEAD answers tell the length of what they do not carry.
  const told = outgoing.req.method === "HEAD" ? (length ?? "0") : String(Buffer.byteLength(body));
  outgoing.writeHead(status, { ...rest, "content-length": told });
  outgoing.end(body);
}

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of message) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

async function late(fault: { readonly delayMs: number } | { readonly hold: Promise<unknown> }): Promise<void> {
  if ("hold" in fault) await fault.hold;
  else await sleep(fault.delayMs);
}
