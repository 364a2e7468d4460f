/** A small client of the OCI distribution API that says exactly what goes over the wire, for tests of faults. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { request as httpsRequest, Agent as TlsAgent } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type Algorithm, type Content, digestOf, type Image, type Manifest, mediaTypes } from "./oci.ts";

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** A stream is sent chunked unless content-length is given. */
  readonly body?: Buffer | Iterable<Buffer> | AsyncIterable<Buffer>;
  /** From sending to the whole answer. Default 60 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Another status than the one that was wanted. */
export class UnexpectedStatus extends Error {
  readonly reply: Reply;

  constructor(what: string, reply: Reply) {
    super(`${what}: ${reply.status} ${reply.body.toString().slice(0, 500)}`);
    this.name = "UnexpectedStatus";
    this.reply = reply;
  }
}

const ACCEPT = [mediaTypes.ociManifest, mediaTypes.ociIndex, mediaTypes.dockerManifest, mediaTypes.dockerList].join(
  ", ",
);

export class RegistryClient {
  /** http://127.0.0.1:5000 */
  readonly base: string;
  readonly #agent: Agent;
  readonly #send: typeof httpRequest;

  /** @param tls of an https:// base: whom to trust, what to show; PEM */
  constructor(base: string, tls?: { readonly ca: Buffer; readonly cert?: Buffer; readonly key?: Buffer }) {
    this.base = base;
    const pool = { keepAlive: true, maxSockets: 128 };
    this.#agent = tls ? new TlsAgent({ ...pool, ...tls }) : new Agent(pool);
    this.#send = tls ? httpsRequest : httpRequest;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** The answer's head; its body is the caller's to read or destroy. */
  async open(method: string, path: string, options: RequestOptions = {}): Promise<IncomingMessage> {
    const { body } = options;
    const url = new URL(path, this.base);
    const timeout = AbortSignal.timeout(options.timeoutMs ?? 60_000);
    const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
    const headers = {
      ...(Buffer.isBuffer(body) ? { "content-length": String(body.length) } : {}),
      ...(body === undefined && method !== "GET" && method !== "HEAD" ? { "content-length": "0" } : {}),
      ...options.headers,
    };
    const request = this.#send(url, { method, headers, agent: this.#agent, signal });
    const answered = once(request, "response") as Promise<[IncomingMessage]>;
    answered.catch(() => {});
    if (body === undefined || Buffer.isBuffer(body)) request.end(body);
    else {
      // A server may answer before it has read everything; its answer then counts, not the broken pipe.
      pipeline(Readable.from(body, { objectMode: true }), request).catch(() => {});
    }
    try {
      const [response] = await answered;
      return response;
    } catch (error) {
      throw new Error(`${method} ${url.pathname}: ${signal.aborted ? signal.reason : error}`, { cause: error });
    }
  }

  async request(method: string, path: string, options: RequestOptions = {}): Promise<Reply> {
    const response = await this.open(method, path, options);
    const body = await collect(response);
    return { status: response.statusCode ?? 0, headers: response.headers, body };
  }

  /** @throws UnexpectedStatus unless the answer's status is one of these */
  async expect(
    statuses: number | readonly number[],
    method: string,
    path: string,
    options: RequestOptions = {},
  ): Promise<Reply> {
    const reply = await this.request(method, path, options);
    if (![statuses].flat().includes(reply.status)) throw new UnexpectedStatus(`${method} ${path}`, reply);
    return reply;
  }

  /** POST. @returns where to send the bytes */
  async startUpload(repository: string, algorithm: Algorithm = "sha256"): Promise<string> {
    const query = algorithm === "sha256" ? "" : `?digest-algorithm=${algorithm}`;
    return locationOf(await this.expect(202, "POST", `/v2/${repository}/blobs/uploads/${query}`));
  }

  /** POST, then every byte in one PUT. */
  async pushBlob(repository: string, content: Content, options: RequestOptions = {}): Promise<void> {
    const location = await this.startUpload(repository, content.digest.startsWith("sha512") ? "sha512" : "sha256");
    await this.expect(201, "PUT", withDigest(location, content.digest), {
      timeoutMs: 120_000,
      ...options,
      headers: {
        "content-type": "application/octet-stream",
        "content-length": String(content.sizeBytes),
        ...options.headers,
      },
      body: options.body ?? content.read(),
    });
  }

  async hasBlob(repository: string, digest: string): Promise<boolean> {
    return (await this.expect([200, 404], "HEAD", `/v2/${repository}/blobs/${digest}`)).status === 200;
  }

  /** @throws Error when the bytes are not those of the digest */
  async pullBlob(
    repository: string,
    content: Pick<Content, "digest" | "sizeBytes">,
    options: RequestOptions & { readonly bytesPerSecond?: number } = {},
  ): Promise<void> {
    const path = `/v2/${repository}/blobs/${content.digest}`;
    const response = await this.open("GET", path, { timeoutMs: 120_000, ...options });
    if (response.statusCode !== 200) {
      const body = await collect(response);
      throw new UnexpectedStatus(`GET ${path}`, { status: response.statusCode ?? 0, headers: response.headers, body });
    }
    const algorithm = content.digest.slice(0, content.digest.indexOf(":"));
    const hash = createHash(algorithm);
    let size = 0;
    const started = performance.now();
    for await (const chunk of response as AsyncIterable<Buffer>) {
      if (options.bytesPerSecond !== undefined) {
        const waitMs = started + (size / options.bytesPerSecond) * 1000 - performance.now();
        if (waitMs > 1) await sleep(waitMs);
      }
      hash.update(chunk);
      size += chunk.length;
    }
    if (!response.complete) throw new Error(`GET ${path}: the answer was cut off after ${size} bytes`);
    const digest = `${algorithm}:${hash.digest("hex")}`;
    if (digest !== content.digest || size !== content.sizeBytes) {
      throw new Error(`GET ${path}: ${size} wrong bytes with digest ${digest} instead of ${content.sizeBytes}`);
    }
  }

  async putManifest(repository: string, reference: string, manifest: Manifest): Promise<Reply> {
    return this.expect(201, "PUT", `/v2/${repository}/manifests/${reference}`, {
      headers: { "content-type": manifest.mediaType },
      body: manifest.bytes,
    });
  }

  /** Bytes that were checked against the digest that the answer names, and the digest asked for. */
  async getManifest(repository: string, reference: string): Promise<Manifest> {
    const path = `/v2/${repository}/manifests/${reference}`;
    const reply = await this.expect(200, "GET", path, { headers: { accept: ACCEPT } });
    const named = String(reply.headers["docker-content-digest"]);
    const digest = digestOf(reply.body, named.startsWith("sha512") ? "sha512" : "sha256");
    if (digest !== named || (reference.includes(":") && reference !== digest)) {
      throw new Error(`GET ${path}: bytes of ${digest} were answered as ${named}`);
    }
    return { mediaType: String(reply.headers["content-type"]), bytes: reply.body, digest };
  }

  /** Blobs, then the manifest under its tags (or digest alone). */
  async pushImage(repository: string, pushed: Image, ...tags: string[]): Promise<void> {
    for (const blob of pushed.blobs) {
      if (!(await this.hasBlob(repository, blob.digest))) await this.pushBlob(repository, blob);
    }
    for (const reference of tags.length === 0 ? [pushed.manifest.digest] : tags) {
      await this.putManifest(repository, reference, pushed.manifest);
    }
  }

  /** Everything that the image is made of, checked. */
  async pullImage(repository: string, reference: string, wanted: Image): Promise<void> {
    const manifest = await this.getManifest(repository, reference);
    if (manifest.digest !== wanted.manifest.digest) {
      throw new Error(`${repository}:${reference} is ${manifest.digest}, not ${wanted.manifest.digest}`);
    }
    if (manifest.mediaType !== wanted.manifest.mediaType) {
      throw new Error(`${repository}:${reference} is of type ${manifest.mediaType}, not ${wanted.manifest.mediaType}`);
    }
    for (const blob of wanted.blobs) await this.pullBlob(repository, blob);
  }

  async tags(repository: string): Promise<string[]> {
    const reply = await this.expect(200, "GET", `/v2/${repository}/tags/list`);
    return JSON.parse(reply.body.toString()).tags ?? [];
  }

  async catalog(): Promise<string[]> {
    const reply = await this.expect(200, "GET", "/v2/_catalog?n=1000");
    return JSON.parse(reply.body.toString()).repositories ?? [];
  }
}

async function collect(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function locationOf(reply: Reply): string {
  const { location } = reply.headers;
  if (location === undefined) throw new Error(`an answer ${reply.status} has no Location`);
  return location;
}

export function withDigest(location: string, digest: string): string {
  return `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`;
}

/** The OCI error codes of an answer's body. */
export function errorCodes(reply: Reply): string[] {
  const parsed = JSON.parse(reply.body.toString()) as { errors: { code: string }[] };
  return parsed.errors.map(({ code }) => code);
}
