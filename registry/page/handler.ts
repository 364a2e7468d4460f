/** The page's own paths: who asks, which view, and its answer. Whatever goes wrong is a page as well. */
import { setMaxListeners } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import type { Account, Authenticator, Outcome } from "../auth/contract.ts";
import { RegistryError } from "../errors.ts";
import { matchesEtag } from "../http/exchange.ts";
import type { Aside } from "../http/handler.ts";
import type { RequestContext } from "../repository/contract.ts";
import { type Assets, etagOf, loadAssets } from "./assets.ts";
import type { Ask, BoundAsk, Overview } from "./contract.ts";
import { html } from "./html.ts";
import { readImageDetails } from "./image-details.ts";
import { readFilters } from "./parameters.ts";
import { PageProblem, toPageProblem } from "./problem.ts";
import { findRepositories, findRepository } from "./queries.ts";
import { matchPage, type PageRoute } from "./routes.ts";
import { imagePage } from "./views/image.ts";
import { type Frame, layout, type PageContent } from "./views/layout.ts";
import { membersPage } from "./views/members.ts";
import { problemPage } from "./views/problem.ts";
import { repositoriesPage } from "./views/repositories.ts";
import { repositoryPage } from "./views/repository.ts";

export interface PageOptions {
  /** Read anew for each request: a reload exchanges it. */
  readonly authenticator: () => Authenticator;
  readonly ask: Ask;
  readonly overview: Overview;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the registry; shown. */
  readonly version?: string | undefined;
}

/** For one page, whatever it asks. */
const DEADLINE_MS = 10_000;

/**
 * Nothing runs or is fetched but the page's own files, nothing is written inside the document: what a name or a label
 * may hold cannot become a program even where it should slip through the escaping.
 */
const POLICY =
  "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HEADERS = {
  "Content-Security-Policy": POLICY,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
} as const;

interface Visit {
  readonly route: Exclude<PageRoute, { readonly kind: "asset" }>;
  readonly request: IncomingMessage;
  readonly query: URLSearchParams;
  readonly account: Account;
  readonly context: RequestContext;
}

/** The page before what else is served beside the API, while it is wanted. */
export function withPage(isWanted: () => boolean, page: Aside, others: Aside): Aside {
  return (path, request, response) => (isWanted() && page(path, request, response)) || others(path, request, response);
}

/** Takes the requests of `matchPage`'s paths. @throws Error when its files are missing */
export function createPage(options: PageOptions): Aside {
  const { clock, log } = options;
  const assets = loadAssets();
  let visits = 0;

  return (path, request, response) => {
    const route = matchPage(path);
    if (route === undefined) return false;
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { Allow: "GET, HEAD", "Content-Length": 0 }).end();
      request.resume();
      return true;
    }
    if (route.kind === "asset") {
      sendAsset(assets, route.file, request, response);
      return true;
    }
    visits += 1;
    const leaving = new AbortController();
    // As many as the search asks for at once.
    setMaxListeners(0, leaving.signal);
    const cancel = clock.after(DEADLINE_MS, () =>
      leaving.abort(new RegistryError("UNAVAILABLE", "the answer took too long; try again later")),
    );
    response.once("close", () => {
      cancel();
      if (!response.writableFinished) leaving.abort(new RegistryError("UNAVAILABLE", "the client went away"));
    });
    const context: RequestContext = { requestId: `page-${visits.toString(36)}`, signal: leaving.signal };
    visit(route, request, response, context).catch((error) => {
      log.error({ err: error, requestId: context.requestId }, "a page could not be sent");
      response.destroy();
    });
    return true;
  };

  async function visit(
    route: Visit["route"],
    request: IncomingMessage,
    response: ServerResponse,
    context: RequestContext,
  ): Promise<void> {
    const url = request.url ?? "/";
    const mark = url.indexOf("?");
    const query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
    let account: Account | undefined;
    let status = 200;
    let content: PageContent;
    try {
      account = admitted(await options.authenticator().authenticate(request.headers.authorization), route, response);
      if (route.kind === "login") {
        response
          .writeHead(303, { Location: loginTarget(query), "Content-Length": 0, "Cache-Control": "no-store" })
          .end();
        return;
      }
      const { signal } = context;
      content = await within(signal, contentOf({ route, request, query, account, context }));
    } catch (error) {
      if (response.destroyed) return;
      const problem = toPageProblem(error);
      report(error, problem, context.requestId);
      status = problem.status;
      content = problemPage(problem, route.kind === "repositories" ? (query.get("q") ?? "").slice(0, 256) : undefined);
    }
    const frame: Frame = {
      account: account?.name ?? "",
      mayLogIn: account?.challenge !== undefined,
      version: options.version,
      asset: assets.address,
      here: url.startsWith("/") ? url : "/",
    };
    send(request, response, status, Buffer.from(layout(frame, content).text));
  }

  function contentOf({ route, request, query, account, context }: Visit): PageContent | Promise<PageContent> {
    const ask: BoundAsk = (asked) => options.ask(asked, account, context);
    const nowMs = clock.now();
    switch (route.kind) {
      case "repositories": {
        const filters = readFilters(query);
        return findRepositories(ask, filters).then((found) => repositoriesPage(filters, found, nowMs));
      }
      case "repository": {
        const { name } = route;
        const filters = readFilters(query);
        return findRepository(ask, mayRead(account, name), filters).then((found) =>
          repositoryPage(name, filters, found, nowMs),
        );
      }
      case "image": {
        const { name, tag } = route;
        return readImageDetails(ask, mayRead(account, name), tag).then(({ image, missing }) =>
          imagePage(image, missing, hostOf(request), nowMs),
        );
      }
      case "members":
        return Promise.resolve(options.overview(context)).then(membersPage);
      case "nothing":
        throw new PageProblem(404, "Not found", route.why);
      case "login":
        throw new Error("logging in is answered before");
    }
  }

  /** Faults of the registry, and what an operator must look at. */
  function report(error: unknown, problem: PageProblem, requestId: string): void {
    const fields = { err: error, requestId, status: problem.status };
    if (problem.status === 500) log.error(fields, problem.message);
    else if (problem.status > 500) log.warn(fields, problem.message);
    else log.debug(fields, problem.message);
  }
}

/** @throws PageProblem 401 after having put the challenge into the answer: the API's own */
function admitted(outcome: Outcome, route: PageRoute, response: ServerResponse): Account {
  if ("challenge" in outcome) throw unauthorized(response, outcome.challenge);
  const { account } = outcome;
  if (route.kind === "login" && account.challenge !== undefined) throw unauthorized(response, account.challenge);
  return account;
}

function unauthorized(response: ServerResponse, challenge: string): PageProblem {
  response.setHeader("WWW-Authenticate", challenge);
  return new PageProblem(401, "Log in", "This registry shows its content to those who log in.");
}

/** What an account may not read is, to it, not there. @returns the name */
function mayRead(account: Account, name: string): string {
  if (account.mayRead(name)) return name;
  throw new PageProblem(404, "Not found", `There is no repository ${name} here.`);
}

/** One of the page's own paths and no other: this is no redirect to wherever a link says. */
function loginTarget(query: URLSearchParams): string {
  const to = query.get("to") ?? "/";
  const path = /^(\/[^?#\\]*)(?:\?[^#\\\s]*)?$/.exec(to)?.[1];
  const route = path === undefined || path.startsWith("//") ? undefined : matchPage(path);
  return route === undefined || route.kind === "login" || !/^[\x21-\x7e]*$/.test(to) ? "/" : to;
}

/** As the client wrote it, when it is the name of a host. */
function hostOf({ headers: { host } }: IncomingMessage): string | undefined {
  return host !== undefined && /^(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,50}\])(?::\d{1,5})?$/.test(host)
    ? host
    : undefined;
}

/** Rejects with the signal's reason: whoever was asked may not have heard of it. */
function within<Value>(signal: AbortSignal, work: Value | Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    Promise.resolve(work)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", stop));
  });
}

function send(request: IncomingMessage, response: ServerResponse, status: number, body: Buffer): void {
  const etag = `"${etagOf(body)}"`;
  const headers = {
    ...HEADERS,
    "Content-Type": "text/html; charset=utf-8",
    // Kept by nobody but this browser, and asked for again each time.
    "Cache-Control": "private, no-cache",
    Vary: "Authorization, Host",
  };
  if (status === 200 && matchesEtag(request.headers["if-none-match"], etag.slice(1, -1))) {
    response.writeHead(304, { ...headers, ETag: etag }).end();
    return;
  }
  response.writeHead(status, { ...headers, ...(status === 200 ? { ETag: etag } : {}), "Content-Length": body.length });
  response.end(body);
}

function sendAsset(assets: Assets, file: string, request: IncomingMessage, response: ServerResponse): void {
  const asset = assets.get(file);
  if (asset === undefined) {
    const body = Buffer.from(html`There is no file ${file.slice(0, 100)} here.\n`.text);
    response.writeHead(404, { ...HEADERS, "Content-Type": "text/html; charset=utf-8", "Content-Length": body.length });
    response.end(body);
    return;
  }
  const { bytes, type, etag } = asset;
  const isVersioned = (request.url ?? "").endsWith(`?v=${etag}`);
  const headers = {
    ...HEADERS,
    "Content-Type": type,
    ETag: `"${etag}"`,
    "Cache-Control": isVersioned ? "public, max-age=31536000, immutable" : "public, no-cache",
  };
  if (matchesEtag(request.headers["if-none-match"], etag)) {
    response.writeHead(304, headers).end();
    return;
  }
  response.writeHead(200, { ...headers, "Content-Length": bytes.length });
  response.end(bytes);
}
