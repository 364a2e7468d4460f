/** Searches by GraphQL, what someone prefers, and which extensions of the API there are (OCI distribution-spec, extensions/_oci.md). */
import { setMaxListeners } from "node:events";
import type { Account } from "../auth/contract.ts";
import { RegistryError } from "../errors.ts";
import type { RequestContext } from "../repository/contract.ts";
import { isName } from "../repository/names.ts";
import type { GraphQlAnswer } from "../search/answer.ts";
import type { Asker } from "../search/asking.ts";
import { type PeerRequest, readExtensions } from "../search/fan-out/contract.ts";
import type { Preference } from "../search/preferences.ts";
import type { SearchService } from "../search/service.ts";
import { readWhole } from "./body.ts";
import { answer, answerJson, type Exchange } from "./exchange.ts";
import { shorten } from "./names.ts";

/** Document and variables together. */
const MAX_BODY_BYTES = 256 * 1024;

/**
 * GET with query, variables and operationName in the URL, or POST with them as JSON (graphql-over-http).
 * @param byPeer another member asks: it is answered from here alone, and may add what only members may
 */
export async function answerSearch(exchange: Exchange, byPeer = false): Promise<void> {
  const { shared, account, context } = exchange;
  const search = serviceOf(exchange);
  // As many as a document asks for at once.
  setMaxListeners(0, context.signal);
  const asked = exchange.request.method === "POST" ? await fromBody(exchange, byPeer) : fromQuery(exchange.query);
  if ("problem" in asked) {
    const refusal: GraphQlAnswer = { errors: [{ message: asked.problem }], data: null };
    return answerJson(exchange, 400, refusal);
  }
  const asker = askerOf(account, shared.readOnly, context);
  const { status, answer: answered } = await (byPeer ? search.answerPeer(asked, asker) : search.answer(asked, asker));
  answerJson(exchange, status, answered);
}

export function askerOf(account: Account, readOnly: boolean, context: RequestContext): Asker {
  return {
    account,
    scope: { everything: account.readsAll === true, has: account.mayRead },
    mayDelete: (name) => !readOnly && account.mayWrite(name),
    context,
  };
}

type Asked = PeerRequest | { readonly problem: string };

function fromQuery(query: URLSearchParams): Asked {
  const variables = query.get("variables");
  try {
    return requestOf({
      query: query.get("query") ?? "",
      operationName: query.get("operationName") ?? undefined,
      variables: variables ? JSON.parse(variables) : undefined,
    });
  } catch (error) {
    return { problem: `variables could not be decoded: ${(error as Error).message}` };
  }
}

async function fromBody(exchange: Exchange, byPeer: boolean): Promise<Asked> {
  const { request, response, shared, ended } = exchange;
  const { clock, bodyLimits: limits, traffic } = shared;
  let text: string;
  try {
    const source = { request, response, clock, limits, traffic, ended: ended.signal };
    text = (await readWhole(source, MAX_BODY_BYTES)).toString("utf8");
  } catch (error) {
    // Its words are those of a manifest.
    if (!(error instanceof RegistryError) || error.status !== 413) throw error;
    throw new RegistryError("UNSUPPORTED", `the question is larger than ${MAX_BODY_BYTES} bytes`, {
      status: 413,
      detail: { limit: MAX_BODY_BYTES },
    });
  }
  try {
    const value: unknown = JSON.parse(text);
    const asked = requestOf(value);
    if (!byPeer || "problem" in asked || !isObject(value)) return asked;
    return { ...asked, extensions: readExtensions(value["extensions"]) };
  } catch (error) {
    return {
      problem: `json request body could not be decoded: ${(error as Error).message} body:${text.slice(0, 200)}`,
    };
  }
}

function requestOf(value: unknown): Asked {
  if (!isObject(value)) return { problem: "the request is not a JSON object with a query" };
  const { query = "", variables, operationName } = value as Readonly<Record<string, unknown>>;
  if (typeof query !== "string") return { problem: "query is not a text" };
  if (operationName != null && typeof operationName !== "string") return { problem: "operationName is not a text" };
  if (variables != null && !isObject(variables)) {
    return { problem: "variables could not be decoded: they are not a JSON object" };
  }
  return {
    query,
    ...(isObject(variables) ? { variables } : {}),
    ...(typeof operationName === "string" ? { operationName } : {}),
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function serviceOf({ shared }: Exchange): SearchService {
  if (shared.search !== undefined) return shared.search;
  throw new RegistryError("UNSUPPORTED", "this registry has no searches", { status: 404 });
}

/** zot's name for what its clients look for: they compare the whole path of the endpoint. */
export async function discover(exchange: Exchange): Promise<void> {
  const extensions =
    exchange.shared.search === undefined
      ? []
      : [
          {
            name: "_zot",
            url: "https://github.com/project-zot/zot/blob/main/pkg/extensions/_zot.md",
            description: "zot registry extensions: searches and preferences",
            endpoints: ["/v2/_zot/ext/search", "/v2/_zot/ext/userprefs"],
          },
          {
            name: "_outrigger",
            url: "https://github.com/opencontainers/distribution-spec/tree/main/extensions",
            description: "searches by GraphQL, in the schema of _zot",
            endpoints: ["/v2/_outrigger/search"],
          },
        ];
  answerJson(exchange, 200, { extensions });
}

const ACTIONS: Readonly<Record<string, Preference>> = { toggleStar: "star", toggleBookmark: "bookmark" };

/** 200; 400 for what zot refuses so, 403 for nobody in particular, 404 for what is not there. */
export async function togglePreference(exchange: Exchange): Promise<void> {
  const { query, account, context, response } = exchange;
  const search = serviceOf(exchange);
  const action = query.get("action") ?? "";
  const preference = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
  if (preference === undefined) {
    throw new RegistryError("UNSUPPORTED", `the parameter action is ${shorten(action)}: toggleStar or toggleBookmark`, {
      status: 400,
    });
  }
  const name = query.get("repo");
  if (name === null) {
    throw new RegistryError("NAME_INVALID", "the parameter repo is missing: it is a repository's name");
  }
  if (account.name === "") {
    if (account.challenge !== undefined) {
      response.setHeader("WWW-Authenticate", account.challenge);
      throw new RegistryError("UNAUTHORIZED", "log in to star or bookmark");
    }
    throw new RegistryError("DENIED", "whoever is not logged in has no stars and no bookmarks");
  }
  const known = isName(name) && account.mayRead(name);
  const isSet = known ? await search.toggle(account.name, preference, name, context) : undefined;
  if (isSet === undefined) {
    throw new RegistryError("NAME_UNKNOWN", "there is no such repository", { detail: { name: name.slice(0, 256) } });
  }
  answer(exchange, 200, ["Content-Length", "0", "Outrigger-Preference", isSet ? "set" : "unset"]);
}
