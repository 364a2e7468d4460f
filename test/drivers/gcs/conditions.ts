/**
 * What fake-gcs-server leaves out of Cloud Storage and the driver relies on, as a proxy before it: ifGenerationMatch on
 * compose, rewrite, delete and reads (the server itself knows it on uploads only), the generations of compose's sources,
 * and rewrites of several steps. Requests that write one name are served one after the other, as there.
 */
import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { Scope } from "../../helpers/processes.ts";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface Conditions {
  /** host:port for drivers. */
  readonly address: string;
  /** So many steps of each rewrite answer "not done" before the one that does the work. */
  rewriteSteps: number;
  /** Requests by what they are: "insert", "compose", "rewrite", "delete", "media", "metadata", "list". */
  readonly counts: Map<string, number>;
  /** Refuses requests without this Authorization. */
  authorization: RegExp | undefined;
  /** The bucket's own settings, over what the server tells of it. */
  bucket: Readonly<Record<string, unknown>>;
}

export async function startConditions(scope: Scope, target: string): Promise<Conditions> {
  const proxy = new ConditionsProxy(target);
  const server = createServer({ requestTimeout: 0 }, (incoming, outgoing) => {
    proxy.serve(incoming, outgoing).catch(() => incoming.socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("an HTTP server has no port");
  proxy.address = `127.0.0.1:${bound.port}`;
  scope.defer(() => {
    server.close();
    server.closeAllConnections();
    proxy.agent.destroy();
  });
  return proxy;
}

const OBJECT = /^\/(?:download\/)?storage\/v1\/b\/([^/]+)\/o\/([^/]+)$/;
const COMPOSE = /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)\/compose$/;
const REWRITE = /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)\/rewriteTo\/b\/([^/]+)\/o\/([^/]+)$/;
const INSERT = /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/;

class ConditionsProxy implements Conditions {
  address = "";
  rewriteSteps = 0;
  authorization: RegExp | undefined = undefined;
  bucket: Readonly<Record<string, unknown>> = {};
  readonly counts = new Map<string, number>();
  readonly agent = new Agent({ keepAlive: false });
  readonly #target: string;
  readonly #locks = new Map<string, Promise<void>>();
  readonly #steps = new Map<string, number>();

  constructor(target: string) {
    this.#target = target;
  }

  async serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    outgoing.on("error", () => {});
    const body = await bytesOf(incoming);
    const answer = await this.#answer(incoming, body);
    const { "transfer-encoding": _, connection: __, ...headers } = answer.headers;
    outgoing.writeHead(answer.status, { ...headers, "content-length": String(answer.body.length) });
    outgoing.end(answer.body);
  }

  async #answer(incoming: IncomingMessage, body: Buffer): Promise<Answer> {
    const url = new URL(incoming.url ?? "", `http://${this.#target}`);
    if (this.authorization?.test(incoming.headers.authorization ?? "") === false) {
      return problem(401, "authError", "Invalid Credentials");
    }
    const pass = () => this.#forward(incoming.method ?? "GET", incoming.url ?? "", incoming.headers, body);
    const { pathname, searchParams: query } = url;
    const rewrite = REWRITE.exec(pathname);
    if (rewrite !== null) {
      this.#count("rewrite");
      const [, , from, bucket, to] = rewrite;
      return this.#locked(`${bucket}/${to}`, async () => {
        const wanted = query.get("sourceGeneration");
        if (wanted !== null && (await this.#generation(`${bucket}/o/${from}`)) !== wanted) {
          return problem(404, "notFound", `No such object: ${from}`);
        }
        return (await this.#unmet(query, `${bucket}/o/${to}`)) ?? this.#step(query, pass);
      });
    }
    const compose = COMPOSE.exec(pathname);
    if (compose !== null) {
      this.#count("compose");
      const [, bucket, to] = compose;
      return this.#locked(`${bucket}/${to}`, async () => {
        const { sourceObjects } = JSON.parse(body.toString()) as {
          sourceObjects: { name: string; generation?: string }[];
        };
        for (const { name, generation } of sourceObjects) {
          const there = await this.#generation(`${bucket}/o/${encodeURIComponent(name)}`);
          if (there === "0" || (generation !== undefined && generation !== there)) {
            return problem(404, "notFound", `No such object: ${name}`);
          }
        }
        return (await this.#unmet(query, `${bucket}/o/${to}`)) ?? pass();
      });
    }
    const insert = INSERT.exec(pathname);
    if (insert !== null) {
      this.#count("insert");
      return this.#locked(`${insert[1]}/${encodeURIComponent(query.get("name") ?? "")}`, pass);
    }
    const object = OBJECT.exec(pathname);
    if (object === null) {
      this.#count(pathname.endsWith("/o") ? "list" : "bucket");
      if (pathname.endsWith("/o") || Object.keys(this.bucket).length === 0) return pass();
      const answer = await pass();
      return {
        ...answer,
        body: Buffer.from(JSON.stringify({ ...JSON.parse(answer.body.toString()), ...this.bucket })),
      };
    }
    const [, bucket, name] = object;
    if (incoming.method === "DELETE") {
      this.#count("delete");
      return this.#locked(`${bucket}/${name}`, async () => (await this.#unmet(query, `${bucket}/o/${name}`)) ?? pass());
    }
    this.#count(query.get("alt") === "media" ? "media" : "metadata");
    return (await this.#unmet(query, `${bucket}/o/${name}`, true)) ?? pass();
  }

  /** A rewrite that takes several requests: the destination is there with the last. */
  async #step(query: URLSearchParams, pass: () => Promise<Answer>): Promise<Answer> {
    const token = query.get("rewriteToken") ?? `token-${this.#steps.size}`;
    const done = this.#steps.get(token) ?? 0;
    if (done >= this.rewriteSteps) return pass();
    this.#steps.set(token, done + 1);
    return json(200, { done: false, rewriteToken: token });
  }

  async #unmet(query: URLSearchParams, path: string, mustExist = false): Promise<Answer | undefined> {
    const wanted = query.get("ifGenerationMatch");
    if (wanted === null) return undefined;
    const there = await this.#generation(path);
    if (mustExist && there === "0") return undefined;
    return there === wanted
      ? undefined
      : problem(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.");
  }

  async #generation(path: string): Promise<string> {
    const { status, body } = await this.#forward("GET", `/storage/v1/b/${path}`, {}, Buffer.alloc(0));
    if (status === 404) return "0";
    if (status !== 200) throw new Error(`fake-gcs-server answers ${status}`);
    return (JSON.parse(body.toString()) as { generation: string }).generation;
  }

  async #locked(name: string, work: () => Promise<Answer>): Promise<Answer> {
    const before = this.#locks.get(name) ?? Promise.resolve();
    const mine = before.then(work);
    this.#locks.set(
      name,
      mine.then(
        () => {},
        () => {},
      ),
    );
    return mine;
  }

  async #forward(method: string, path: string, headers: IncomingMessage["headers"], body: Buffer): Promise<Answer> {
    const { connection: _, ...rest } = headers;
    const upstream = request(`http://${this.#target}${path}`, {
      method,
      agent: this.agent,
      // The server serves signed URLs to its own host only.
      headers: { ...rest, host: this.#target },
    });
    upstream.end(body);
    const [response] = (await once(upstream, "response")) as [IncomingMessage];
    const told = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
    return { status: response.statusCode ?? 502, headers: Object.fromEntries(told), body: await bytesOf(response) };
  }

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

function json(status: number, value: unknown): Answer {
  return { status, headers: { "content-type": "application/json" }, body: Buffer.from(JSON.stringify(value)) };
}

/** As Cloud Storage words it. */
export function problem(status: number, reason: string, message: string): Answer {
  return json(status, { error: { code: status, message, errors: [{ domain: "global", reason, message }] } });
}

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of message) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
