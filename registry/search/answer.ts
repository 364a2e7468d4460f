/** An answer to a document: the answers to its queries, put together in their order. */
import { type GraphQLError, getLocation } from "graphql";
import { type Document, DocumentError, type GraphQlRequest, readDocument, type Selection } from "./document.ts";

export interface Location {
  readonly line: number;
  readonly column: number;
}

export interface AnswerError {
  readonly message: string;
  readonly path?: readonly (string | number)[];
  readonly locations?: readonly Location[];
  readonly extensions?: Readonly<Record<string, unknown>>;
}

export interface GraphQlAnswer {
  readonly errors?: readonly AnswerError[];
  readonly data: Readonly<Record<string, unknown>> | null;
}

/** Of one query of a document. */
export interface QueryAnswer {
  readonly value: unknown;
  readonly errors: readonly AnswerError[];
  /** No query may be null by the schema, so the whole of data is. */
  readonly nullsAll?: true;
}

export type AnswerQuery = (query: Selection, document: Document) => Promise<QueryAnswer>;

export interface HttpAnswer {
  /** 200, also where queries failed; 422: the document cannot be answered. */
  readonly status: 200 | 422;
  readonly answer: GraphQlAnswer;
}

/** Queries are answered beside each other. Rejects with what `answerQuery` rejects with. */
export async function answerDocument(request: GraphQlRequest, answerQuery: AnswerQuery): Promise<HttpAnswer> {
  let document: Document;
  try {
    document = readDocument(request);
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    const errors = error.errors.map((each) => showError(each, each.message, { code: error.code }));
    return { status: 422, answer: { errors, data: null } };
  }
  const read = document;
  const answers = await Promise.all(read.queries.map((query) => answerQuery(query, read)));
  const errors = answers.flatMap((answer) => answer.errors);
  const data = answers.some(({ nullsAll }) => nullsAll)
    ? null
    : Object.fromEntries(read.queries.map(({ key }, index) => [key, answers[index]?.value ?? null]));
  return { status: 200, answer: errors.length === 0 ? { data } : { errors, data } };
}

/** In the order of what was selected: which was found out first does not show. */
export function inOrder(errors: readonly AnswerError[], query: Selection): AnswerError[] {
  const ranks = new Map(errors.map((error) => [error, rankOf(error, query)] as const));
  return [...errors].sort((a, b) => compareRanks(ranks.get(a) ?? [], ranks.get(b) ?? []));
}

function rankOf({ path = [] }: AnswerError, query: Selection): number[] {
  let at: Selection | undefined = query;
  return path.slice(1).map((part) => {
    if (typeof part === "number") return part;
    const index: number = at?.fields.findIndex(({ key }) => key === part) ?? -1;
    at = at?.fields[index];
    return index;
  });
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Where a field stands in the document. @param path of an error, beginning with the query's key */
export function placeOf(query: Selection, path: readonly (string | number)[] = []): { locations?: Location[] } {
  let at: Selection = query;
  for (const part of path.slice(1)) at = at.fields.find(({ key }) => key === part) ?? at;
  const { loc } = at.nodes[0];
  if (loc === undefined) return {};
  const { line, column } = getLocation(loc.source, loc.start);
  return { locations: [{ line, column }] };
}

/** Members in the order in which zot writes them. */
export function showError(
  { path, locations }: Pick<GraphQLError, "path" | "locations">,
  message: string,
  extensions?: Readonly<Record<string, unknown>>,
): AnswerError {
  return {
    message,
    ...(path === undefined ? {} : { path }),
    ...(locations === undefined || locations.length === 0
      ? {}
      : { locations: locations.map(({ line, column }) => ({ line, column })) }),
    ...(extensions === undefined ? {} : { extensions }),
  };
}
