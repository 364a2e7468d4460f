/**
 * Answers of the search read field by field. Part of one may be a member's: what has not its type is absent, so that one
 * odd member costs a dash on the page and not the page.
 */
import { type OciCode, ociErrors } from "../errors.ts";
import type { GraphQlAnswer, GraphQlError } from "./contract.ts";
import { PageProblem, sentence } from "./problem.ts";

export type Fields = Readonly<Record<string, unknown>>;

const NOTHING: Fields = {};

export function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : NOTHING;
}

export function list(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fields) : [];
}

/** "" is absent: zot's schema writes it for what is not there. */
export function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Sizes are text in zot's schema, counts are numbers. */
export function amount(value: unknown): number | undefined {
  const number = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

/** @returns unix ms; absent for the zero times of Go and of unix, which say that nobody knows */
export function instant(value: unknown): number | undefined {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return ms > 0 ? ms : undefined;
}

/** "linux/arm64/v8": zot's schema writes the variant behind the architecture. */
export function platformOf(value: Fields): string | undefined {
  const parts = [text(value["Os"]), text(value["Arch"])].filter((part) => part !== undefined && part !== "unknown");
  return parts.length === 0 ? undefined : parts.join("/");
}

export interface Answered {
  readonly data: Fields;
  /** Sentences: what is missing in the data, and who did not answer. */
  readonly missing: readonly string[];
}

/** What the search says of what is not there; the schema has no codes (recorded answers of zot). */
const NOT_FOUND = /not found|can't find|no such|unknown (?:repository|image)|does not exist/i;

export interface Asked {
  /** A text that somebody typed is part of what was asked. */
  readonly isQuery?: boolean;
  /** What a 404 says. */
  readonly absent?: string;
}

/** Of a page beyond what the search goes through. */
const TOO_FAR = /\b(?:offset|limit)\b/i;

/**
 * @throws PageProblem when there is no data: 404 for what is not there, 400 for a text that cannot be searched, 503 that
 * names the member that did not answer
 */
export function answered(answer: GraphQlAnswer, { isQuery = false, absent }: Asked = {}): Answered {
  const errors = answer.errors ?? [];
  const data = fields(answer.data);
  // A root field that is null was not answered: none is null otherwise.
  const given = Object.values(data).some((value) => value !== null && value !== undefined);
  if (given) return { data, missing: errors.map(told) };
  const silent = errors.filter((error) => memberOf(error) !== undefined);
  if (silent.length > 0) throw new PageProblem(503, "A member does not answer", silent.map(told).join(" "));
  const [first] = errors;
  if (first === undefined) {
    if (absent !== undefined && answer.data !== undefined) throw new PageProblem(404, "Not found", absent);
    throw new PageProblem(503, "No answer", "The search gave no answer: try again later.");
  }
  const status = faultOf(first);
  if (status !== undefined) {
    const title = status === 500 ? "A fault of the registry" : "Not to be had now";
    throw new PageProblem(status, title, sentence(first.message));
  }
  if (NOT_FOUND.test(first.message)) throw new PageProblem(404, "Not found", absent ?? sentence(first.message));
  if (isQuery || TOO_FAR.test(first.message))
    throw new PageProblem(400, "That cannot be shown", sentence(first.message));
  throw new PageProblem(503, "No answer", sentence(first.message));
}

/** Status of what is the registry's own failure: it has a code, which what is wrong with a question has not. */
function faultOf({ extensions }: GraphQlError): number | undefined {
  const code = text(extensions?.["code"]);
  return code !== undefined && Object.hasOwn(ociErrors, code) ? ociErrors[code as OciCode].status : undefined;
}

function memberOf(error: GraphQlError): string | undefined {
  return text(error.extensions?.["member"]);
}

function told(error: GraphQlError): string {
  const member = memberOf(error);
  if (member === undefined) return sentence(`a part could not be had: ${error.message}`);
  // Its name is said once, however often the message says it.
  const message = error.message.replace(/^member (\S+) did not answer: (?=member \1 )/, "");
  const what = message.includes(`member ${member}`) ? message : `member ${member} did not answer: ${message}`;
  return `${sentence(what)} What it owns is missing here.`;
}
