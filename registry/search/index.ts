/** Searches over one registry: `createSearch`. */
import { execute, type FieldNode, type GraphQLError, Kind } from "graphql";
import { type AnswerError, answerDocument, type HttpAnswer, inOrder, type QueryAnswer, showError } from "./answer.ts";
import { type Asker, Asking, type SearchParts, type Spent } from "./asking.ts";
import { valuesPerItem } from "./cost.ts";
import { RecordMemory } from "./details.ts";
import type { Document, GraphQlRequest, Selection } from "./document.ts";
import { QueryError } from "./errors.ts";
import { rootValue } from "./resolvers.ts";
import { schema } from "./schema.ts";

/** What a fault that is not the query's is told as. */
export type Explain = (error: unknown) => { readonly message: string; readonly code: string };

export interface Search {
  /** @param spent by what else is asked here for the same document */
  answer(request: GraphQlRequest, asker: Asker, spent?: Spent): Promise<HttpAnswer>;
  /** One query of a document, here; a document's queries share one `Asking`. */
  answerQuery(query: Selection, document: Document, asking: Asking): Promise<QueryAnswer>;
  asking(asker: Asker): Asking;
}

/** @param explain also logs what someone must look at */
export function createSearch(parts: SearchParts, explain: Explain): Search {
  const memory = new RecordMemory();
  const asking = (asker: Asker, spent?: Spent) => new Asking(parts, asker, memory, spent);
  const search: Search = {
    asking,
    answer(request, asker, spent) {
      const one = asking(asker, spent);
      return answerDocument(request, (query, document) => search.answerQuery(query, document, one));
    },
    async answerQuery(query, document, one) {
      const { operation } = document;
      const result = await execute({
        schema,
        document: {
          kind: Kind.DOCUMENT,
          definitions: [
            { ...operation, selectionSet: { kind: Kind.SELECTION_SET, selections: [fieldOf(query)] }, directives: [] },
          ],
        },
        rootValue,
        contextValue: { asking: one, values: valuesPerItem(query) },
        variableValues: document.given,
      });
      const errors = inOrder(
        (result.errors ?? []).map((error) => tell(error, explain)),
        query,
      );
      if (!result.data) return { value: null, errors, nullsAll: true };
      return { value: result.data[query.key], errors };
    },
  };
  return search;
}

/** The field with all below it, without fragments; places in the document stay those of what was written. */
function fieldOf({ nodes, fields }: Selection): FieldNode {
  const { selectionSet: _, ...field } = nodes[0];
  const below = { kind: Kind.SELECTION_SET, selections: fields.map(fieldOf) } as const;
  return { ...field, directives: [], ...(fields.length === 0 ? {} : { selectionSet: below }) };
}

function tell(error: GraphQLError, explain: Explain): AnswerError {
  const { originalError } = error;
  if (originalError === undefined || originalError instanceof QueryError) return showError(error, error.message);
  const { message, code } = explain(originalError);
  return showError(error, message, { code });
}
