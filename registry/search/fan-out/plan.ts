/** What each member is asked for one query of a document, and how the answers become one. Pure: nothing is asked here. */
import {
  type ArgumentNode,
  astFromValue,
  type FieldNode,
  type GraphQLField,
  getArgumentValues,
  Kind,
  print,
  type SelectionNode,
} from "graphql";
import type { Document, Selection } from "../document.ts";
import { QueryError } from "../errors.ts";
import { MAX_ITEMS, type Order, type Page, pageOf } from "../page.ts";
import { schema } from "../schema.ts";
import type { OwnerOf, PeerRequest } from "./contract.ts";
import { type Listed, type PageArgs, type Route, routeOf } from "./routes.ts";

export type QueryPlan =
  /** Answered where it was asked: of no repository, or in error whoever answers. */
  | { readonly kind: "here"; readonly query: Selection }
  | { readonly kind: "refused"; readonly query: Selection; readonly message: string }
  | { readonly kind: "owner"; readonly query: Selection; readonly member: string; readonly request: PeerRequest }
  | MergePlan
  | {
      readonly kind: "difference";
      readonly query: Selection;
      readonly args: Readonly<Record<string, unknown>>;
      readonly minuend: string;
      readonly subtrahend: string;
    };

export interface MergePlan extends Listed {
  readonly kind: "all";
  readonly query: Selection;
  readonly members: readonly string[];
  /** As each member is asked. */
  readonly request: PeerRequest;
  /** Present: this one first. It also tells the layers that the others are asked about. */
  readonly first?: { readonly member: string; readonly request: PeerRequest } | undefined;
  readonly page: Page;
  /** Items that each member is asked for. */
  readonly askedFor: number;
  readonly hidden: Hidden;
}

/** Response keys of what merging needs beside what was asked; none is one of the document's. */
export interface Hidden {
  readonly page: string;
  readonly name: string;
  readonly tag: string;
  readonly by: string;
  readonly layers: string;
}

/** Fields that lists are ordered by, beside names. */
export const SORT_FIELDS: { readonly [By in Order]: string | undefined } = {
  RELEVANCE: "Rank",
  UPDATE_TIME: "LastUpdated",
  DOWNLOADS: "DownloadCount",
  ALPHABETIC_ASC: undefined,
  ALPHABETIC_DSC: undefined,
};

export function planQuery(
  query: Selection,
  document: Pick<Document, "variables">,
  ownerOf: OwnerOf,
  members: readonly string[],
): QueryPlan {
  const field = schema.getQueryType()?.getFields()[query.name];
  if (field === undefined) return { kind: "here", query };
  try {
    const args = getArgumentValues(field, query.nodes[0], document.variables);
    return planRoute(query, field, args, routeOf(query.name, args, ownerOf), members);
  } catch (error) {
    // In error whoever answers: in the words, and the order of looking, of one registry.
    if (error instanceof QueryError) return { kind: "here", query };
    throw error;
  }
}

function planRoute(
  query: Selection,
  field: GraphQLField<unknown, unknown>,
  args: Readonly<Record<string, unknown>>,
  route: Route,
  members: readonly string[],
): QueryPlan {
  if (route.kind === "here") return { kind: "here", query };
  if (route.kind === "difference") return { ...route, query, args };
  if (route.kind === "owner") {
    return { ...route, query, request: { query: documentOf([fieldOf(query, argumentsOf(field, args))]) } };
  }
  const page = pageOf((args as PageArgs).requestedPage, route.usual, route.of);
  if (page.offset + page.limit > MAX_ITEMS) {
    const message = `offset + limit is ${page.offset + page.limit}, and over several members at most ${MAX_ITEMS} are merged: search for less`;
    return { kind: "refused", query, message };
  }
  const hidden = hiddenOf(query);
  const selections = memberSelections(query, route, page, hidden);
  // Where no item is asked for, what counts them is.
  const items = selections.length === 1 ? 1 : page.offset + page.limit;
  const askedFor = page.everything && selections.length > 1 ? MAX_ITEMS : Math.max(1, items);
  const requestedPage = { limit: askedFor, offset: 0, sortBy: page.order };
  const part = {
    ...fieldOf(query, argumentsOf(field, { ...args, requestedPage })),
    selectionSet: { kind: Kind.SELECTION_SET, selections },
  } as const;
  const request: PeerRequest = { query: documentOf([part]) };
  const first =
    route.kind === "layers"
      ? { member: route.member, request: { query: documentOf([layersField(args, hidden), part]) } }
      : undefined;
  const { of, list, usual } = route;
  return { kind: "all", query, members, request, first, page, askedFor, hidden, of, list, usual };
}

/** Page counts; the list that has items, each time it was asked for, with what merging needs. */
function memberSelections(query: Selection, listed: Listed, page: Page, hidden: Hidden): SelectionNode[] {
  const alias = (key: string, field: string): FieldNode => ({
    kind: Kind.FIELD,
    ...(key === field ? {} : { alias: { kind: Kind.NAME, value: key } }),
    name: { kind: Kind.NAME, value: field },
  });
  const total = {
    ...alias(hidden.page, "Page"),
    selectionSet: { kind: Kind.SELECTION_SET, selections: [alias("TotalCount", "TotalCount")] },
  };
  const names =
    listed.of === "repos" ? [alias(hidden.name, "Name")] : [alias(hidden.name, "RepoName"), alias(hidden.tag, "Tag")];
  const by = sortFieldOf(listed, page);
  if (by !== undefined) names.push(alias(hidden.by, by));
  const lists = query.fields
    .filter(({ name }) => name === listed.list)
    .map((each) => {
      const selections = [...each.fields.map((field) => fieldOf(field)), ...names];
      return { ...alias(each.key, each.name), selectionSet: { kind: Kind.SELECTION_SET, selections } } as FieldNode;
    });
  return [total as FieldNode, ...lists];
}

/** What a list's items are ordered by before their names. Images have no rank: they are ordered by name. */
export function sortFieldOf({ of }: Pick<Listed, "of">, { order }: Pick<Page, "order">): string | undefined {
  return of === "images" && order === "RELEVANCE" ? undefined : SORT_FIELDS[order];
}

/** Of the image whose layers are searched for: `Image`, or one of its manifests where a digest says which. */
function layersField(args: Readonly<Record<string, unknown>>, hidden: Hidden): FieldNode {
  const field = schema.getQueryType()?.getFields()["Image"];
  if (field === undefined) throw new Error("the schema has no Image");
  const leaf = (name: string): FieldNode => ({ kind: Kind.FIELD, name: { kind: Kind.NAME, value: name } });
  const branch = (name: string, selections: readonly SelectionNode[]): FieldNode => ({
    ...leaf(name),
    selectionSet: { kind: Kind.SELECTION_SET, selections },
  });
  return {
    ...branch("Image", [branch("Manifests", [leaf("Digest"), branch("Layers", [leaf("Digest")])])]),
    alias: { kind: Kind.NAME, value: hidden.layers },
    arguments: argumentsOf(field, { image: args["image"] }),
  };
}

/** A field with all below it, without fragments, directives and variables. */
export function fieldOf({ key, name, fields }: Selection, args: readonly ArgumentNode[] = []): FieldNode {
  return {
    kind: Kind.FIELD,
    name: { kind: Kind.NAME, value: name },
    ...(key === name ? {} : { alias: { kind: Kind.NAME, value: key } }),
    ...(args.length === 0 ? {} : { arguments: args }),
    ...(fields.length === 0
      ? {}
      : { selectionSet: { kind: Kind.SELECTION_SET, selections: fields.map((field) => fieldOf(field)) } }),
  };
}

export function argumentsOf(
  field: GraphQLField<unknown, unknown>,
  args: Readonly<Record<string, unknown>>,
): ArgumentNode[] {
  return field.args.flatMap(({ name, type }) => {
    const value = args[name] === undefined ? undefined : astFromValue(args[name], type);
    return value == null ? [] : { kind: Kind.ARGUMENT, name: { kind: Kind.NAME, value: name }, value };
  });
}

export function documentOf(fields: readonly FieldNode[]): string {
  return print({ kind: Kind.SELECTION_SET, selections: fields });
}

/** Beginnings are tried until none of the document's response keys has it. */
function hiddenOf(query: Selection): Hidden {
  const keys: string[] = [query.key];
  const visit = ({ fields }: Selection) => {
    for (const field of fields) {
      keys.push(field.key);
      visit(field);
    }
  };
  visit(query);
  let beginning = "outrigger";
  while (keys.some((key) => key.startsWith(beginning))) beginning += "_";
  return {
    page: `${beginning}Page`,
    name: `${beginning}Name`,
    tag: `${beginning}Tag`,
    by: `${beginning}By`,
    layers: `${beginning}Layers`,
  };
}
