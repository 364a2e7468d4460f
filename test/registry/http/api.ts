/** The API on a real socket over fakes, and a small client that shows everything of an answer. */
import { createHash } from "node:crypto";
import { Agent, request as httpRequest, type IncomingHttpHeaders } from "node:http";
import type { TestContext } from "node:test";
import { pino } from "pino";
import type { Clock } from "../../../proto/clock.ts";
import { systemClock } from "../../../proto/clock.ts";
import { createOpenAuthenticator } from "../../../registry/auth/basic.ts";
import type { BodyLimits } from "../../../registry/http/body.ts";
import type { Traffic } from "../../../registry/http/exchange.ts";
import { type Backend, createHandler, type Handler } from "../../../registry/http/handler.ts";
import { type Listener, listen } from "../../../registry/http/listener.ts";
import { type FakeRepositories, fakeRepositories } from "./fake-repositories.ts";

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** First OCI error of the body. */
  readonly error: { code: string; message: string; detail?: Record<string, unknown> } | undefined;
}

export interface Api {
  readonly repositories: FakeRepositories;
  readonly handler: Handler;
  readonly listener: Listener;
  readonly traffic: Traffic;
  readonly backend: { -readonly [Key in keyof Backend]: Backend[Key] };
  readonly port: number;
  call(method: string, path: string, options?: CallOptions): Promise<Reply>;
}

export interface CallOptions {
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | string;
  /** Without Content-Length. */
  readonly chunked?: boolean;
}

export const SECRET = createHash("sha256").update("a secret for tests").digest();

export async function startApi(
  t: TestContext,
  options: { readonly clock?: Clock; readonly bodyLimits?: Partial<BodyLimits> } = {},
): Promise<Api> {
  const repositories = fakeRepositories();
  const traffic: Traffic = { bytesIn: 0, bytesOut: 0, uploadsOpen: 0, pullsOpen: 0 };
  const backend: Api["backend"] = {
    serving: { repositories, secret: SECRET },
    authenticator: createOpenAuthenticator("push"),
    readOnly: false,
  };
  const handler = createHandler({
    backend: () => backend,
    aside: () => false,
    clock: options.clock ?? systemClock,
    log: pino({ level: "silent" }),
    bodyLimits: { idleMs: 60_000, manifestBytes: 4 * 1024 * 1024, ...options.bodyLimits },
    traffic,
    metrics: { observe() {} },
  });
  const listener = await listen({ host: "127.0.0.1", port: 0, tls: undefined, handler });
  const { port } = listener.address;
  const agent = new Agent({ keepAlive: true });
  t.after(async () => {
    agent.destroy();
    listener.stopAccepting();
    listener.closeAll();
    await listener.closed();
    await repositories.cleanUp();
  });
  const call: Api["call"] = (method, path, { headers = {}, body, chunked } = {}) =>
    new Promise((resolve, reject) => {
      const request = httpRequest({ host: "127.0.0.1", port, method, path, headers, agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const bytes = Buffer.concat(chunks);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes, error: errorOf(bytes) });
        });
      });
      request.on("error", reject);
      if (body !== undefined && !chunked) request.setHeader("Content-Length", Buffer.byteLength(body));
      if (body !== undefined && chunked) request.write(body);
      request.end(chunked ? undefined : body);
    });
  return { repositories, handler, listener, traffic, backend, port, call };
}

function errorOf(bytes: Buffer): Reply["error"] {
  try {
    return JSON.parse(bytes.toString()).errors?.[0];
  } catch {
    return undefined;
  }
}

/** Pushes a blob in one request. */
export async function pushBlob(api: Api, name: string, bytes: Buffer): Promise<string> {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const reply = await api.call("POST", `/v2/${name}/blobs/uploads/?digest=${digest}`, { body: bytes });
  if (reply.status !== 201) throw new Error(`the push of a blob answered ${reply.status}: ${reply.body}`);
  return digest;
}
