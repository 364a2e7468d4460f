/** Searches over all members of a cluster: `createFanOut`. Which member is asked what, and how answers merge: plan.ts, merge.ts. */
import { answerDocument, type GraphQlAnswer, type HttpAnswer, placeOf, type QueryAnswer } from "../answer.ts";
import type { Asker, Asking } from "../asking.ts";
import type { Document, GraphQlRequest, Selection } from "../document.ts";
import type { Search } from "../index.ts";
import { objectIn, textIn } from "../json.ts";
import {
  type AskMember,
  DIGEST,
  type LayersByManifest,
  MAX_LAYERS,
  MemberFault,
  type OwnerOf,
  type PeerRequest,
} from "./contract.ts";
import { answerDifference } from "./difference.ts";
import { answerOf, faultOf, merge, type Outcome, refusal, saidOf } from "./merge.ts";
import { type MergePlan, planQuery, type QueryPlan } from "./plan.ts";
import { shaped, typeOf } from "./shape.ts";

export interface FanOutParts {
  readonly search: Search;
  /** The id of this member. */
  readonly self: string;
  /** As of now, this one among them. */
  readonly members: () => readonly string[];
  readonly ownerOf: OwnerOf;
  /** Never this one. */
  readonly askMember: AskMember;
  /** Whoever asks may change nothing. */
  readonly readOnly?: boolean;
}

export interface FanOut {
  answer(request: GraphQlRequest, asker: Asker): Promise<HttpAnswer>;
}

/** Each query goes where it belongs, beside the others; a member that fails costs its part and an entry in errors. */
export function createFanOut(parts: FanOutParts): FanOut {
  const { search, ownerOf } = parts;
  return {
    answer(request, asker) {
      const members = parts.members();
      const asking = search.asking(asker);
      return answerDocument(request, (query, document) =>
        answerPlanned(planQuery(query, document, ownerOf, members), document, asking),
      );
    },
  };

  async function answerPlanned(plan: QueryPlan, document: Document, asking: Asking): Promise<QueryAnswer> {
    const { query } = plan;
    switch (plan.kind) {
      case "here":
        return search.answerQuery(query, document, asking);
      case "refused":
        return refusal(query, { message: plan.message });
      case "owner": {
        if (plan.member === parts.self) return search.answerQuery(query, document, asking);
        return passedThrough(query, await ask(plan.member, plan.request, asking.asker));
      }
      case "difference":
        return answerDifference(plan, (member, request) => ask(member, request, asking.asker));
      case "all":
        return merge(plan, await outcomesOf(plan, asking.asker), ownerOf);
    }
  }

  async function ask(member: string, request: PeerRequest, asker: Asker): Promise<Outcome> {
    try {
      if (member !== parts.self) {
        const { requestId, signal } = asker.context;
        const context = { requestId, signal, account: asker.account.name };
        const extensions = { ...request.extensions, ...(parts.readOnly ? ({ readOnly: true } as const) : {}) };
        return { member, answer: await parts.askMember(member, { ...request, extensions }, context) };
      }
      const { answer } = await search.answer(request, { ...asker, layers: request.extensions?.layers });
      return { member, answer };
    } catch (error) {
      return { member, error };
    }
  }

  async function outcomesOf(plan: MergePlan, asker: Asker): Promise<Outcome[]> {
    const { first, request, members } = plan;
    if (first === undefined) return Promise.all(members.map((member) => ask(member, request, asker)));
    const outcome = await ask(first.member, first.request, asker);
    let layers: LayersByManifest | undefined;
    try {
      layers = layersIn(plan, outcome);
    } catch (error) {
      if (!(error instanceof MemberFault)) throw error;
      return [{ member: first.member, error: new Error(error.message) }];
    }
    // What the image's owner says of the query holds for all.
    if (layers === undefined) return [outcome];
    const others = members.filter((member) => member !== first.member);
    const asked = others.map((member) => ask(member, { ...request, extensions: { layers } }, asker));
    return [outcome, ...(await Promise.all(asked))];
  }
}

/** `undefined`: the owner says that there is no such image. @throws MemberFault */
function layersIn({ hidden, query }: MergePlan, outcome: Outcome): LayersByManifest | undefined {
  const { data } = answerOf(outcome);
  const image = data?.[hidden.layers] as { readonly Manifests?: unknown } | null | undefined;
  if (image == null || data?.[query.key] == null) return undefined;
  const layers: Record<string, string[]> = {};
  const list = (value: unknown): readonly unknown[] => {
    if (Array.isArray(value)) return value;
    throw new MemberFault("it answered no layers of the image");
  };
  let count = 0;
  for (const manifest of list(image.Manifests)) {
    const found = list(objectIn(manifest)["Layers"]).map(digestIn);
    layers[digestIn(manifest)] = found;
    count += found.length;
  }
  if (count > MAX_LAYERS) throw new MemberFault(`it answered ${count} layers, and ${MAX_LAYERS} are searched for`);
  return layers;
}

/** @throws MemberFault */
function digestIn(value: unknown): string {
  const digest = textIn(value, "Digest");
  if (digest !== undefined && DIGEST.test(digest)) return digest;
  throw new MemberFault("it answered a layer of the image without its digest");
}

/** The owner's answer, as it is: checked, at the places of this document. */
function passedThrough(query: Selection, outcome: Outcome): QueryAnswer {
  const { member } = outcome;
  let answer: GraphQlAnswer;
  try {
    answer = answerOf(outcome);
    const value = answer.data?.[query.key];
    if (value == null) return refusal(query, saidOf(query.key, member, answer));
    const errors = (answer.errors ?? []).map(({ message, path: given, extensions }) => {
      const path = given?.[0] === query.key ? given : [query.key];
      return { message, path, ...placeOf(query, path), ...(extensions === undefined ? {} : { extensions }) };
    });
    return { value: shaped(query, typeOf("Query", query.name), value, query.key), errors };
  } catch (error) {
    if (!(error instanceof MemberFault)) throw error;
    const message = error.message.startsWith("member ")
      ? error.message
      : `member ${member} answered what was not asked: ${error.message}`;
    return { value: null, errors: [faultOf(query, member, message)] };
  }
}
