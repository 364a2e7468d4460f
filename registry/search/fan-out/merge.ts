/** Answers of several members as that of one registry: checked, ordered by (what was asked for, name, tag), cut to the page. */
import { bytewise } from "../../../proto/keys.ts";
import { type AnswerError, type GraphQlAnswer, inOrder, placeOf, type QueryAnswer } from "../answer.ts";
import type { Selection } from "../document.ts";
import { QueryError } from "../errors.ts";
import { objectIn } from "../json.ts";
import { countOn, infoOf, type PageInfo } from "../page.ts";
import { msOf } from "../times.ts";
import { MemberFault, type OwnerOf } from "./contract.ts";
import type { MergePlan } from "./plan.ts";
import { sortFieldOf } from "./plan.ts";
import { shaped, typeOf } from "./shape.ts";

/** What came of asking one member. */
export type Outcome =
  | { readonly member: string; readonly answer: GraphQlAnswer }
  | { readonly member: string; readonly error: unknown };

interface Item {
  readonly name: string;
  readonly tag: string;
  readonly by: number;
  readonly value: unknown;
  /** Where it was in its member's answer. */
  readonly index: number;
  readonly part: Part;
}

interface Part {
  readonly member: string;
  readonly total: number;
  /** By response key. */
  readonly lists: Map<string, Item[]>;
  /** Of fields of items. */
  readonly errors: readonly AnswerError[];
}

const MAX_MESSAGE = 500;
const MAX_CODE = 100;

export function merge(plan: MergePlan, outcomes: readonly Outcome[], ownerOf: OwnerOf): QueryAnswer {
  const { query } = plan;
  const parts: Part[] = [];
  const errors: AnswerError[] = [];
  const said: { readonly member: string; readonly error: AnswerError }[] = [];
  for (const outcome of outcomes) {
    try {
      const found = partOf(plan, outcome, ownerOf);
      if ("said" in found) said.push({ member: outcome.member, error: found.said });
      else parts.push(found);
    } catch (error) {
      if (!(error instanceof MemberFault)) throw error;
      errors.push(faultOf(query, outcome.member, error.message));
    }
  }
  const [first] = said;
  if (first !== undefined && parts.length === 0 && errors.length === 0) {
    // The query is in error, not a member: one registry says it once.
    if (said.every(({ error }) => error.message === first.error.message)) return refusal(query, first.error);
  }
  for (const { member, error } of said) {
    errors.push(faultOf(query, member, `member ${member} says: ${error.message}`, error.extensions));
  }
  if (parts.length === 0) return { value: null, errors };
  try {
    const merged = together(plan, parts);
    return { value: merged.value, errors: inOrder([...merged.errors, ...errors], query) };
  } catch (error) {
    if (!(error instanceof QueryError)) throw error;
    return refusal(query, { message: error.message });
  }
}

/** The same error as one registry's: nothing of the document is answered. */
export function refusal(query: Selection, { message, extensions }: AnswerError): QueryAnswer {
  const error = { message, path: [query.key], ...placeOf(query), ...(extensions === undefined ? {} : { extensions }) };
  return { value: null, errors: [error], nullsAll: true };
}

/** One member's entry among the errors; the rest of the answer stands. */
export function faultOf(query: Selection, member: string, message: string, extensions = {}): AnswerError {
  return {
    message: cut(message),
    path: [query.key],
    ...placeOf(query),
    extensions: { ...extensions, member },
  };
}

/** @throws MemberFault where it is no answer, or none to what was asked */
export function answerOf(outcome: Outcome): GraphQlAnswer {
  const { member } = outcome;
  if ("error" in outcome) {
    const { error } = outcome;
    throw new MemberFault(`member ${member} did not answer: ${error instanceof Error ? error.message : error}`, error);
  }
  const { answer } = outcome as { readonly answer: unknown };
  if (typeof answer !== "object" || answer === null || !("data" in answer)) {
    throw new MemberFault(`member ${member} answered what is not GraphQL`);
  }
  const { errors = [], data } = answer as GraphQlAnswer;
  if (!Array.isArray(errors) || !errors.every((each) => typeof each?.message === "string")) {
    throw new MemberFault(`member ${member} answered with errors that are not GraphQL's`);
  }
  if (data !== null && typeof data !== "object") throw new MemberFault(`member ${member} answered what is not GraphQL`);
  return { errors: errors.map(believed), data };
}

/** What is taken of a member's error: of its words so many, of the rest what has the form that the specification gives it. */
function believed({ message, path, extensions }: AnswerError): AnswerError {
  const isPath = Array.isArray(path) && path.every((part) => typeof part === "string" || typeof part === "number");
  const code: unknown = extensions?.["code"];
  return {
    message: cut(message),
    ...(isPath ? { path } : {}),
    // Members tell no more than this.
    ...(typeof code === "string" && code.length <= MAX_CODE ? { extensions: { code } } : {}),
  };
}

function cut(message: string): string {
  return message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message;
}

/**
 * What a member says of a query that it does not answer: an error of the query itself.
 * @throws MemberFault for an error of another kind: a document that it does not take, since its schema is older
 */
export function saidOf(key: string, member: string, { errors = [] }: GraphQlAnswer): AnswerError {
  const said = errors.find(({ path }) => path?.[0] === key);
  if (said !== undefined) return said;
  const why = errors.map(({ message }) => message).join("; ") || "it answered nothing";
  throw new MemberFault(`member ${member} does not take the question (is its version older?): ${why}`);
}

function partOf(plan: MergePlan, outcome: Outcome, ownerOf: OwnerOf): Part | { readonly said: AnswerError } {
  const { member } = outcome;
  const answer = answerOf(outcome);
  const container = answer.data?.[plan.query.key];
  if (typeof container !== "object" || container === null) return { said: saidOf(plan.query.key, member, answer) };
  const fields = container as Readonly<Record<string, unknown>>;
  const total = (fields[plan.hidden.page] as { readonly TotalCount?: unknown } | null | undefined)?.TotalCount;
  if (typeof total !== "number" || !Number.isSafeInteger(total) || total < 0) {
    throw new MemberFault(`member ${member} tells no number of what it has`);
  }
  const part: Part = { member, total, lists: new Map(), errors: answer.errors ?? [] };
  for (const list of plan.query.fields) {
    if (list.name === plan.list) part.lists.set(list.key, itemsOf(plan, part, list, fields[list.key], ownerOf));
  }
  return part;
}

function itemsOf(plan: MergePlan, part: Part, list: Selection, given: unknown, ownerOf: OwnerOf): Item[] {
  const { member, total } = part;
  const type = typeOf(plan.query.name === "GlobalSearch" ? "GlobalSearchResult" : containerOf(plan), list.name);
  let values: unknown;
  try {
    values = shaped(list, type, given, list.key);
  } catch (error) {
    if (error instanceof MemberFault)
      throw new MemberFault(`member ${member} answered what was not asked: ${error.message}`);
    throw error;
  }
  if (!Array.isArray(values) || !Array.isArray(given)) throw new MemberFault(`member ${member} answered no list`);
  const due = Math.min(plan.askedFor, total);
  if (values.length !== due) {
    throw new MemberFault(`member ${member} answered ${values.length} items where ${due} were due`);
  }
  const items = values.map((value, index): Item => {
    const keys = objectIn(given[index]);
    const name = keys[plan.hidden.name];
    const tag = plan.of === "repos" ? "" : keys[plan.hidden.tag];
    if (typeof name !== "string" || typeof tag !== "string")
      throw new MemberFault(`member ${member} answered an item without its name`);
    if (ownerOf(name) !== member)
      throw new MemberFault(`member ${member} answered ${name.slice(0, 255)}, which is not its own`);
    return { name, tag, by: numberOf(plan, keys[plan.hidden.by], member), value, index, part };
  });
  const compare = orderOf(plan);
  for (const [index, item] of items.entries()) {
    const before = items[index - 1];
    if (before === undefined || compare(before, item) < 0) continue;
    throw new MemberFault(
      `member ${member} answered out of order, or twice: ${item.name}${item.tag && `:${item.tag}`}`,
    );
  }
  return items;
}

function containerOf({ of }: MergePlan): string {
  return of === "repos" ? "PaginatedReposResult" : "PaginatedImagesResult";
}

function numberOf(plan: MergePlan, value: unknown, member: string): number {
  const field = sortFieldOf(plan, plan.page);
  if (field === undefined) return 0;
  if (field === "LastUpdated" && (value === null || typeof value === "string")) {
    const ms = msOf(value ?? undefined);
    if (Number.isFinite(ms)) return ms;
  }
  if (field !== "LastUpdated" && typeof value === "number") return value;
  throw new MemberFault(`member ${member} answered an item without its ${field}`);
}

function orderOf({ page }: MergePlan): (a: Item, b: Item) => number {
  const byName = (a: Item, b: Item) => bytewise(a.name, b.name) || bytewise(a.tag, b.tag);
  switch (page.order) {
    case "ALPHABETIC_DSC":
      return (a, b) => byName(b, a);
    case "UPDATE_TIME":
    case "DOWNLOADS":
      return (a, b) => b.by - a.by || byName(a, b);
    default:
      // By rank, the best first.
      return (a, b) => a.by - b.by || byName(a, b);
  }
}

/** @throws QueryError where all were asked for and are too many */
function together(
  plan: MergePlan,
  parts: readonly Part[],
): { readonly value: unknown; readonly errors: AnswerError[] } {
  const { query, page } = plan;
  const total = parts.reduce((sum, part) => sum + part.total, 0);
  const count = countOn(page, total);
  const errors: AnswerError[] = [];
  const listOf = (key: string) => {
    const all = parts.flatMap((part) => part.lists.get(key) ?? []).sort(orderOf(plan));
    const items = all.slice(page.offset, page.offset + count);
    for (const [index, item] of items.entries()) errors.push(...errorsOf(plan, key, item, index));
    return items.map(({ value }) => value);
  };
  const info = infoOf(total, count);
  const entries = query.fields.map((field): [string, unknown] => {
    if (field.name === plan.list) return [field.key, listOf(field.key)];
    if (field.name === "Page") return [field.key, pageFields(field, info)];
    if (field.name === "__typename")
      return [field.key, query.name === "GlobalSearch" ? "GlobalSearchResult" : containerOf(plan)];
    // The other lists of a search: of repositories where images are searched for it is null, as in zot.
    return [field.key, field.name === "Repos" ? null : []];
  });
  return { value: Object.fromEntries(entries), errors };
}

function pageFields({ fields }: Selection, info: PageInfo): object {
  return Object.fromEntries(
    fields.map(({ key, name }) => [key, name === "__typename" ? "PageInfo" : info[name as keyof PageInfo]]),
  );
}

/** Of fields of an item that is on the page, at the place it has there. */
function errorsOf(plan: MergePlan, key: string, { part, index: from }: Item, to: number): AnswerError[] {
  return part.errors.flatMap(({ message, path, extensions }) => {
    if (path?.[0] !== plan.query.key || path[1] !== key || path[2] !== from) return [];
    const moved = [plan.query.key, key, to, ...path.slice(3)];
    return {
      message,
      path: moved,
      ...placeOf(plan.query, moved),
      ...(extensions === undefined ? {} : { extensions }),
    };
  });
}
