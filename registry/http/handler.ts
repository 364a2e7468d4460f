/** Every request's way: path, credentials, rights, endpoint, and the answer to whatever went wrong. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import type { Account, Authenticator, Outcome } from "../auth/contract.ts";
import { RegistryError } from "../errors.ts";
import type { Repositories, RequestContext } from "../repository/contract.ts";
import type { SearchService } from "../search/service.ts";
import { deleteBlob, pullBlob } from "./blobs.ts";
import type { BodyLimits } from "./body.ts";
import { answerEarly } from "./early-answer.ts";
import { answerError } from "./errors.ts";
import { answer, type Exchange, type Redirect, type Shared, type Traffic } from "./exchange.ts";
import { LazyAbort } from "./lazy-abort.ts";
import { listReferrers, listRepositories, listTags } from "./listings.ts";
import { deleteManifest, pullManifest, pushManifest } from "./manifests.ts";
import type { RequestMetrics } from "./metrics.ts";
import { shorten } from "./names.ts";
import { parseQuery } from "./query.ts";
import { matchRoute, type Route, routeMethods } from "./routes.ts";
import type { Asking, Routing } from "./routing.ts";
import { answerSearch, discover, togglePreference } from "./search.ts";
import { appendUpload, cancelUpload, finishUpload, startUpload, uploadStatus } from "./uploads.ts";

/** What stands behind the API; exchanged as a whole by a reload. */
export interface Backend {
  /** Absent: the stores were never reached, there is nothing to serve yet. */
  readonly serving: { readonly repositories: Repositories; readonly secret: Buffer } | undefined;
  readonly authenticator: Authenticator;
  /** Absent: there are no searches. */
  readonly search?: SearchService | undefined;
  readonly redirect?: Redirect | undefined;
  /** Nothing may be changed. */
  readonly readOnly: boolean;
  /** Where several registries answer as one. */
  readonly routing?: Routing | undefined;
}

/** A request outside /v2/; false: not one of its paths. */
export type Aside = (path: string, request: IncomingMessage, response: ServerResponse) => boolean;

export interface HandlerOptions {
  /** Read anew for each request. */
  readonly backend: () => Backend;
  readonly aside: Aside;
  readonly clock: Clock;
  readonly log: Logger;
  readonly bodyLimits: BodyLimits;
  readonly traffic: Traffic;
  readonly metrics: RequestMetrics;
}

export interface Handler {
  (request: IncomingMessage, response: ServerResponse): void;
  /** Resolves once no request is under way, nor any work for one whose client has left. */
  idle(): Promise<void>;
  /** Ends bodies and pulls under way; what uploads sent so far is still persisted. */
  endAll(): void;
  /** Gives up whatever still runs. */
  abortAll(): void;
}

interface Live {
  /** Ends what passes between client and registry. */
  readonly ended: LazyAbort;
  /** Ends what passes between registry and stores. */
  readonly work: LazyAbort;
}

const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;
const READING = new Set(["GET", "HEAD"]);

export function createHandler(options: HandlerOptions): Handler {
  const { clock, log, metrics } = options;
  const prefix = Math.floor(Math.random() * 0x7fffffff).toString(36);
  let count = 0;
  const live = new Set<Live>();
  let whenIdle: (() => void)[] = [];
  const done = (one: Live) => {
    live.delete(one);
    if (live.size > 0) return;
    for (const resolve of whenIdle) resolve();
    whenIdle = [];
  };

  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const url = originForm(request.url ?? "/");
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    if (!path.startsWith("/v2") && options.aside(path, request, response)) return;
    const startedMs = clock.monotonic();
    const given = request.headers["x-request-id"];
    count += 1;
    const requestId = typeof given === "string" && REQUEST_ID.test(given) ? given : `${prefix}-${count.toString(36)}`;
    const reading = READING.has(request.method ?? "") || isQuestion(path);
    const ended = new LazyAbort();
    const one: Live = { ended, work: reading ? ended : new LazyAbort() };
    live.add(one);
    let route: Route | undefined;
    let closed = false;
    let settled = false;
    response.once("close", () => {
      closed = true;
      if (settled) done(one);
      // Whoever reads and goes away wants nothing any more; what changes something is brought to its end.
      else if (reading && !response.writableFinished) one.work.abort(clientLeft());
      metrics.observe(route?.kind ?? "none", request.method ?? "", response.statusCode, clock.monotonic() - startedMs);
      // A body that was not read to its end would block the connection's next request.
      if (!request.complete) request.resume();
    });
    const fail = (error: unknown) =>
      answerEarly(request, response, clock, () => answerError(response, error, log, requestId));
    try {
      route = matchRoute(path);
      const { authorization } = request.headers;
      const backend = options.backend();
      const peer = backend.routing?.peerOf(request, response);
      const outcome = peer ?? backend.authenticator.authenticate(authorization);
      const go = (known: Outcome): Promise<void> => {
        const account = admit(backend, known, route, request, response);
        return serve(backend, account, peer, route, mark < 0 ? "" : url.slice(mark + 1));
      };
      (outcome instanceof Promise ? outcome.then(go) : go(outcome)).then(settle, (error) => {
        fail(error);
        settle();
      });
    } catch (error) {
      fail(error);
      settle();
    }

    function settle() {
      settled = true;
      if (closed) done(one);
    }

    async function serve(
      backend: Backend,
      account: Account,
      peer: Asking | undefined,
      found: Route | undefined,
      queryText: string,
    ) {
      if (found === undefined)
        throw new RegistryError("UNSUPPORTED", `there is no endpoint ${shorten(path)}`, { status: 404 });
      if (found.kind === "base") {
        return answer({ response, shared: options }, 200, BASE_HEADERS.slice(), "{}");
      }
      if (!backend.serving) {
        throw new RegistryError("UNAVAILABLE", "the storage was not reached yet; try again later", {
          retryAfterSeconds: 2,
        });
      }
      const { serving, redirect } = backend;
      const { bodyLimits, traffic } = options;
      const { repositories, secret } = serving;
      const { search, readOnly } = backend;
      const shared: Shared = { repositories, secret, redirect, search, readOnly, clock, log, bodyLimits, traffic };
      const context: RequestContext = {
        requestId,
        ...(account.name === "" ? {} : { user: account.name }),
        get signal() {
          return one.work.signal;
        },
      };
      const query = parseQuery(queryText);
      const exchange: Exchange = { shared, request, response, route: found, query, account, context, ended };
      await (backend.routing ? backend.routing.serve(exchange, peer, dispatch) : dispatch(exchange));
    }
  };

  return Object.assign(handle, {
    idle: () => (live.size === 0 ? Promise.resolve() : new Promise<void>((resolve) => whenIdle.push(resolve))),
    endAll: () => {
      const reason = new RegistryError("UNAVAILABLE", "the registry is stopping", { retryAfterSeconds: 1 });
      for (const { ended } of live) ended.abort(reason);
    },
    abortAll: () => {
      const reason = new RegistryError("UNAVAILABLE", "the registry is stopping", { retryAfterSeconds: 1 });
      for (const { work } of live) work.abort(reason);
    },
  });
}

/** `http://host/path`, which proxies send and every server must take (RFC 9112, 3.2.2), as `/path`. */
function originForm(target: string): string {
  if (target.startsWith("/")) return target;
  return /^https?:\/\/[^/?#]*(\/.*)$/i.exec(target)?.[1] ?? target;
}

const BASE_HEADERS = ["Content-Type", "application/json", "Content-Length", "2"];

/** Asked by POST, and changes nothing: who goes away wants no answer any more. */
function isQuestion(path: string): boolean {
  return path.startsWith("/v2/_") && path.endsWith("/search");
}

function clientLeft(): RegistryError {
  return new RegistryError("UNAVAILABLE", "the client went away");
}

/** @throws UNAUTHORIZED, DENIED, UNSUPPORTED */
function admit(
  backend: Backend,
  outcome: Outcome,
  route: Route | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Account {
  if ("challenge" in outcome) throw unauthorized(response, outcome.challenge, "these credentials are not known");
  const { account } = outcome;
  if (!route) return account;
  const method = request.method ?? "";
  const methods: readonly string[] = routeMethods[route.kind];
  if (!methods.includes(method)) {
    response.setHeader("Allow", methods.join(", "));
    throw new RegistryError(
      "UNSUPPORTED",
      `${method.slice(0, 20)} is not a method of this endpoint: ${methods.join(", ")}`,
    );
  }
  if (route.kind === "base") {
    if (backend.authenticator.asksAtBase && account.challenge !== undefined)
      throw unauthorized(response, account.challenge, "log in");
    return account;
  }
  // A question may be long: it is asked by POST, too.
  const reading = (READING.has(method) && route.kind !== "upload") || route.kind === "search";
  if (!reading && backend.readOnly) {
    response.setHeader("Allow", "GET, HEAD");
    throw new RegistryError("UNSUPPORTED", "this registry is read-only");
  }
  // These name no repository, or tell of those alone that the account may read.
  if (route.kind === "search" || route.kind === "discover" || route.kind === "preferences") return account;
  if (reading ? account.mayRead(route.name) : account.mayWrite(route.name)) return account;
  if (account.challenge !== undefined) throw unauthorized(response, account.challenge, "log in to do this");
  throw new RegistryError(
    "DENIED",
    `${account.name || "whoever is not logged in"} may ${reading ? "not read here" : "only read"}`,
  );
}

function unauthorized(response: ServerResponse, challenge: string, message: string): RegistryError {
  response.setHeader("WWW-Authenticate", challenge);
  return new RegistryError("UNAUTHORIZED", message);
}

function dispatch(exchange: Exchange): Promise<void> {
  const { route, request } = exchange;
  switch (route.kind) {
    case "manifest":
      if (request.method === "PUT") return pushManifest(exchange);
      return request.method === "DELETE" ? deleteManifest(exchange) : pullManifest(exchange);
    case "blob":
      return request.method === "DELETE" ? deleteBlob(exchange) : pullBlob(exchange);
    case "uploads":
      return startUpload(exchange);
    case "upload":
      if (request.method === "PATCH") return appendUpload(exchange);
      if (request.method === "PUT") return finishUpload(exchange);
      return request.method === "DELETE" ? cancelUpload(exchange) : uploadStatus(exchange);
    case "tags":
      return listTags(exchange);
    case "referrers":
      return listReferrers(exchange);
    case "catalog":
      return listRepositories(exchange);
    case "search":
      return answerSearch(exchange, exchange.byPeer);
    case "discover":
      return discover(exchange);
    case "preferences":
      return togglePreference(exchange);
    case "members":
      throw new RegistryError("UNSUPPORTED", "this registry is no member of a cluster", { status: 404 });
    case "base":
      throw new Error("the base is answered before");
  }
}
