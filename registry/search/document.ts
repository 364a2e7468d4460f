/**
 * A document before it is answered: parsed, held against the limits, validated, and each of its queries by itself, with
 * fragments, @skip and @include taken out. All types of the schema are objects, so a selection is a tree of fields.
 */
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLError,
  GraphQLIncludeDirective,
  GraphQLSkipDirective,
  getDirectiveValues,
  getVariableValues,
  Kind,
  Lexer,
  type OperationDefinitionNode,
  parse,
  type SelectionSetNode,
  Source,
  TokenKind,
  validate,
} from "graphql";
import { schema } from "./schema.ts";

/** Of the text, in UTF-16 units. */
export const MAX_DOCUMENT = 64 * 1024;
const MAX_TOKENS = 8_000;
/** A full introspection query has 16. */
export const MAX_DEPTH = 20;
/** With fragments taken out, of all operations together. */
export const MAX_FIELDS = 1_000;
export const MAX_QUERIES = 30;

/** What was asked, as it came. */
export interface GraphQlRequest {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  readonly operationName?: string | undefined;
}

/** A field, with what is selected below it. Several fields of one response key are one. */
export interface Selection {
  /** Its alias, else its name. */
  readonly key: string;
  readonly name: string;
  /** All that were made one. */
  readonly nodes: readonly [FieldNode, ...FieldNode[]];
  readonly fields: readonly Selection[];
}

export interface Document {
  readonly queries: readonly Selection[];
  /** By name, as the schema takes them. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** As they were given. */
  readonly given: Readonly<Record<string, unknown>>;
  readonly operation: OperationDefinitionNode;
}

/** Why a document is not answered: HTTP 422. */
export class DocumentError extends Error {
  readonly code: "GRAPHQL_PARSE_FAILED" | "GRAPHQL_VALIDATION_FAILED";
  readonly errors: readonly GraphQLError[];

  constructor(code: DocumentError["code"], errors: readonly GraphQLError[]) {
    super(errors.map(({ message }) => message).join("; "));
    this.name = "DocumentError";
    this.code = code;
    this.errors = errors;
  }
}

/** @throws DocumentError */
export function readDocument({ query, variables = {}, operationName }: GraphQlRequest): Document {
  if (query.length > MAX_DOCUMENT) {
    throw refused(`the document has ${query.length} characters, and ${MAX_DOCUMENT} are allowed`);
  }
  if (query.trim() === "") throw refused("no operation provided");
  const document = parseDocument(query);
  assertLimits(document);
  const errors = validate(schema, document, undefined, { maxErrors: 20 });
  if (errors.length > 0) throw new DocumentError("GRAPHQL_VALIDATION_FAILED", errors);
  const operation = operationOf(document, operationName);
  if (operation.operation !== "query") throw refused(`there are queries alone here, and no ${operation.operation}s`);
  const coerced = getVariableValues(schema, operation.variableDefinitions ?? [], variables, { maxErrors: 20 });
  if (coerced.errors) throw new DocumentError("GRAPHQL_VALIDATION_FAILED", coerced.errors);
  const fragments = fragmentsOf(document);
  return {
    queries: collect([operation.selectionSet], fragments, coerced.coerced),
    variables: coerced.coerced,
    given: variables,
    operation,
  };
}

function refused(message: string): DocumentError {
  return new DocumentError("GRAPHQL_VALIDATION_FAILED", [new GraphQLError(message)]);
}

/** @throws DocumentError */
function parseDocument(query: string): DocumentNode {
  const text = withoutEmptyArguments(query);
  try {
    return parse(text, { maxTokens: MAX_TOKENS });
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    const message = error.message.replace(/^Syntax Error: /, "").replace(/\.$/, "");
    throw new DocumentError("GRAPHQL_PARSE_FAILED", [
      new GraphQLError(message, { ...positionOf(error), originalError: error }),
    ]);
  }
}

function positionOf({ source, positions }: GraphQLError): { source?: Source; positions?: readonly number[] } {
  return source === undefined || positions === undefined ? {} : { source, positions };
}

/**
 * zot's command line asks for `__schema()`. Its server takes that, the specification does not: empty parentheses are made
 * blanks, so that every place stays where it was.
 */
function withoutEmptyArguments(query: string): string {
  if (!/\([\s,]*\)/.test(query)) return query;
  let text = query;
  try {
    const lexer = new Lexer(new Source(query));
    for (let token = lexer.advance(); token.kind !== TokenKind.EOF; token = lexer.advance()) {
      const before = token.prev;
      if (token.kind !== TokenKind.PAREN_R || before?.kind !== TokenKind.PAREN_L) continue;
      text = `${text.slice(0, before.start)} ${text.slice(before.end, token.start)} ${text.slice(token.end)}`;
    }
    return text;
  } catch {
    // Whatever is wrong, parsing says so.
    return query;
  }
}

/** Before anything walks the document along its fragments. @throws DocumentError */
function assertLimits(document: DocumentNode): void {
  const fragments = fragmentsOf(document);
  const measured = new Map<string, Measure>();
  let fields = 0;
  for (const operation of document.definitions) {
    if (operation.kind !== Kind.OPERATION_DEFINITION) continue;
    const measure = measureOf(operation.selectionSet, fragments, measured);
    fields += measure.fields;
    if (measure.depth > MAX_DEPTH)
      throw refused(`the document is ${measure.depth} levels deep, and ${MAX_DEPTH} are allowed`);
    if (measure.queries > MAX_QUERIES) {
      throw refused(`the document has ${measure.queries} queries, and ${MAX_QUERIES} are allowed at once`);
    }
  }
  if (fields > MAX_FIELDS) throw refused(`the document selects ${fields} fields, and ${MAX_FIELDS} are allowed`);
}

interface Measure {
  readonly depth: number;
  readonly fields: number;
  /** On this level. */
  readonly queries: number;
}

const NOTHING: Measure = { depth: 0, fields: 0, queries: 0 };
/** Where counting ends: fragments of fragments grow beyond any number. */
const COUNTED = 1_000_000;

function measureOf(
  set: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  measured: Map<string, Measure>,
): Measure {
  let depth = 0;
  let fields = 0;
  let queries = 0;
  for (const selection of set.selections) {
    let part: Measure;
    if (selection.kind === Kind.FIELD) {
      const below =
        selection.selectionSet === undefined ? NOTHING : measureOf(selection.selectionSet, fragments, measured);
      part = { depth: below.depth + 1, fields: below.fields + 1, queries: 1 };
    } else if (selection.kind === Kind.INLINE_FRAGMENT) {
      part = measureOf(selection.selectionSet, fragments, measured);
    } else {
      const name = selection.name.value;
      const fragment = fragments.get(name);
      part = measured.get(name) ?? NOTHING;
      if (fragment !== undefined && !measured.has(name)) {
        // Also ends a circle; that there is one, validation says.
        measured.set(name, NOTHING);
        part = measureOf(fragment.selectionSet, fragments, measured);
        measured.set(name, part);
      }
    }
    depth = Math.max(depth, part.depth);
    fields = Math.min(COUNTED, fields + part.fields);
    queries = Math.min(COUNTED, queries + part.queries);
  }
  return { depth, fields, queries };
}

function fragmentsOf(document: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  return new Map(
    document.definitions.flatMap((each) => (each.kind === Kind.FRAGMENT_DEFINITION ? [[each.name.value, each]] : [])),
  );
}

/** @throws DocumentError */
function operationOf(document: DocumentNode, name: string | undefined): OperationDefinitionNode {
  const operations = document.definitions.filter((each) => each.kind === Kind.OPERATION_DEFINITION);
  const [first] = operations;
  if (first === undefined) throw refused("no operation provided");
  if (name === undefined || name === "") {
    if (operations.length === 1) return first;
    throw refused("the document has several operations: operationName says which");
  }
  const named = operations.find((each) => each.name?.value === name);
  if (named === undefined) throw refused(`operation ${name.slice(0, 100)} not found`);
  return named;
}

function collect(
  sets: readonly SelectionSetNode[],
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  variables: Readonly<Record<string, unknown>>,
): Selection[] {
  const byKey = new Map<string, [FieldNode, ...FieldNode[]]>();
  const visited = new Set<string>();
  const visit = (set: SelectionSetNode) => {
    for (const selection of set.selections) {
      if (!isIncluded(selection, variables)) continue;
      if (selection.kind === Kind.FIELD) {
        const key = selection.alias?.value ?? selection.name.value;
        const others = byKey.get(key);
        if (others === undefined) byKey.set(key, [selection]);
        else others.push(selection);
      } else if (selection.kind === Kind.INLINE_FRAGMENT) visit(selection.selectionSet);
      else if (!visited.has(selection.name.value)) {
        visited.add(selection.name.value);
        const fragment = fragments.get(selection.name.value);
        if (fragment !== undefined) visit(fragment.selectionSet);
      }
    }
  };
  for (const set of sets) visit(set);
  return [...byKey].map(([key, nodes]) => ({
    key,
    name: nodes[0].name.value,
    nodes,
    fields: collect(
      nodes.flatMap((node) => node.selectionSet ?? []),
      fragments,
      variables,
    ),
  }));
}

function isIncluded(
  node: Parameters<typeof getDirectiveValues>[1],
  variables: Readonly<Record<string, unknown>>,
): boolean {
  const skip = getDirectiveValues(GraphQLSkipDirective, node, variables);
  const include = getDirectiveValues(GraphQLIncludeDirective, node, variables);
  return skip?.["if"] !== true && include?.["if"] !== false;
}
