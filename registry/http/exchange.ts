/** One request and its answer, as the endpoints see them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import type { Account } from "../auth/contract.ts";
import type { Repositories, RequestContext } from "../repository/contract.ts";
import type { SearchService } from "../search/service.ts";
import type { BodyLimits } from "./body.ts";
import type { Route } from "./routes.ts";

/** What all endpoints share. */
export interface Shared {
  readonly repositories: Repositories;
  /** Signs upload states. */
  readonly secret: Buffer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly bodyLimits: BodyLimits;
  readonly traffic: Traffic;
  /** Absent: blobs are never fetched from the storage itself. */
  readonly redirect?: Redirect | undefined;
  /** Absent: there are no searches. */
  readonly search?: SearchService | undefined;
  /** Nothing may be changed. */
  readonly readOnly: boolean;
}

export interface Redirect {
  readonly minBytes: number;
  /** Where a client gets the blob for some minutes; `undefined`: the storage cannot say. */
  sign(name: string, digest: string, context: RequestContext): Promise<string | undefined>;
}

/** Counted in plain numbers; metrics read them. */
export interface Traffic {
  bytesIn: number;
  bytesOut: number;
  uploadsOpen: number;
  pullsOpen: number;
}

export interface Exchange {
  /** Another member of the cluster asks. */
  readonly byPeer?: true;
  readonly shared: Shared;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly route: Route;
  readonly query: URLSearchParams;
  readonly account: Account;
  readonly context: RequestContext;
  /** Ends the request's body when the registry stops: what came before is kept, so this is not context.signal. */
  readonly ended: { readonly signal: AbortSignal };
}

/** What an answer needs of an exchange. */
interface Answering {
  readonly response: ServerResponse;
  readonly shared: { readonly traffic: Traffic };
}

/**
 * On every answer. Manifests have the media type that whoever pushed them wrote, text/html too, and lie at the origin of the
 * page, to which browsers send credentials: none of them may ever be a document that runs.
 */
export const ALWAYS = [
  "Docker-Distribution-Api-Version",
  "registry/2.0",
  "Content-Security-Policy",
  "default-src 'none'; sandbox",
  "X-Content-Type-Options",
  "nosniff",
] as const;

/** What fits, with its head, into the buffer that Node writes text from. */
const SMALL_BYTES = 12 * 1024;

/** Headers as Node takes them without making objects: name, value, name, value. */
export function answer(exchange: Answering, status: number, headers: string[], body?: Buffer | string): void {
  const { response } = exchange;
  headers.push(...ALWAYS);
  response.writeHead(status, headers);
  if (body === undefined) response.end();
  else {
    exchange.shared.traffic.bytesOut += body.length;
    // Node writes head and body at once when both are text: half the work for a small answer.
    if (typeof body !== "string" && body.length <= SMALL_BYTES) response.end(body.toString("latin1"), "latin1");
    else response.end(body);
  }
}

export function answerJson(exchange: Answering, status: number, value: unknown, headers: string[] = []): void {
  const body = Buffer.from(JSON.stringify(value));
  headers.push("Content-Type", "application/json", "Content-Length", String(body.length));
  answer(exchange, status, headers, body);
}

/** Whether If-None-Match names this entity (RFC 9110, 13.1.2: weak comparison). */
export function matchesEtag(header: string | undefined, digest: string): boolean {
  if (header === undefined) return false;
  if (header.trim() === "*") return true;
  return header.split(",").some((each) => {
    const tag = each.trim().replace(/^W\//, "");
    return tag === `"${digest}"` || tag === digest;
  });
}
