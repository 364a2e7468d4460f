/** Searches over all members of a cluster: `createFanOut`. Which member is asked what, and how answers merge: plan.ts, merge.ts. */
import { answerDocument, type GraphQlAnswer, type HttpAnswer, placeOf, type QueryAnswer } from "../answer.ts";
import type { Asker, Asking } from "../asking.ts";
import { itemsIn, valuesPerItem } from "../cost.ts";
import type { Document, GraphQlRequest, Selection } from "../document.ts";
import { QueryError } from "../errors.ts";
import type { Search } from "../index.ts";
import { objectIn, textIn } from "../json.ts";
import { Account } from "./account.ts";
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
  /** Repositories move from members that owned them before: such a one may have left its place, or not be in its new one. */
  readonly isMoving?: () => boolean;
}

/** Queries that wait for a scanner. */
const SCANS: ReadonlySet<string> = new Set(["CVEListForImage", "CVEDiffListForImages", "ImageListWithCVEFixed"]);

export interface FanOut {
  answer(request: GraphQlRequest, asker: Asker): Promise<HttpAnswer>;
}

/** Each query goes where it belongs, beside the others; a member that fails costs its part and an entry in errors. */
export function createFanOut(parts: FanOutParts): FanOut {
  const { search, ownerOf } = parts;
  return {
    answer(request, asker) {
      const members = parts.members();
      const asked: Asked = { asking: search.asking(asker), account: new Account() };
      return answerDocument(request, (query, document) =>
        answerPlanned(planQuery(query, document, ownerOf, members), document, asked),
      );
    },
  };

  async function answerPlanned(plan: QueryPlan, document: Document, asked: Asked): Promise<QueryAnswer> {
    const { query } = plan;
    const { asking, account } = asked;
    switch (plan.kind) {
      case "here":
        return search.answerQuery(query, document, asking);
      case "refused":
        return refusal(query, { message: plan.message });
      case "owner": {
        if (plan.member === parts.self) return search.answerQuery(query, document, asking);
        return held(account, query, Number.POSITIVE_INFINITY, async () => {
          const outcome = await ask(query, plan.member, plan.request, asked);
          return { outcomes: [outcome], answer: () => passedThrough(query, outcome) };
        });
      }
      case "difference":
        return held(account, query, 0, async () => {
          const answer = await answerDifference(plan, (member, request) => ask(query, member, request, asked));
          return { outcomes: [], answer: () => answer };
        });
      case "all":
        return held(account, query, plan.askedFor, async () => {
          const outcomes = await outcomesOf(plan, asked);
          return { outcomes, answer: () => withMoving(query, merge(plan, outcomes, ownerOf)) };
        });
    }
  }

  async function ask(
    { name }: Selection,
    member: string,
    request: PeerRequest,
    { asking, account }: Asked,
  ): Promise<Outcome> {
    const { asker, spent } = asking;
    try {
      if (member !== parts.self) {
        const { requestId, signal } = asker.context;
        const took = (sizeBytes: number) => account.took(sizeBytes);
        const context = { requestId, signal, account: asker.account.name, mayScan: SCANS.has(name), took };
        const extensions = { ...request.extensions, ...(parts.readOnly ? ({ readOnly: true } as const) : {}) };
        return { member, answer: await parts.askMember(member, { ...request, extensions }, context) };
      }
      const { answer } = await search.answer(request, { ...asker, layers: request.extensions?.layers }, spent);
      return { member, answer };
    } catch (error) {
      return { member, error };
    }
  }

  function withMoving(query: Selection, answer: QueryAnswer): QueryAnswer {
    // What is refused lacks nothing.
    if (parts.isMoving?.() !== true || answer.nullsAll) return answer;
    const error = {
      message:
        "some repositories are on their way between the members of the cluster (cluster.previous), and may be missing here",
      path: [query.key],
      ...placeOf(query),
      extensions: { code: "UNAVAILABLE" },
    };
    return { ...answer, errors: [...answer.errors, error] };
  }

  async function outcomesOf(plan: MergePlan, asked: Asked): Promise<Outcome[]> {
    const { first, request, members, query } = plan;
    if (first === undefined) return Promise.all(members.map((member) => ask(query, member, request, asked)));
    const outcome = await ask(query, first.member, first.request, asked);
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
    const rest = others.map((member) => ask(query, member, { ...request, extensions: { layers } }, asked));
    return [outcome, ...(await Promise.all(rest))];
  }
}

/** One document's, over all its queries. */
interface Asked {
  readonly asking: Asking;
  readonly account: Account;
}

interface Answered {
  readonly outcomes: readonly Outcome[];
  readonly answer: () => QueryAnswer;
}

/** Within what the document may cost; it costs as much as the member that answers most. */
async function held(
  account: Account,
  query: Selection,
  items: number,
  ask: () => Promise<Answered>,
): Promise<QueryAnswer> {
  try {
    const settle = await account.hold(items, valuesPerItem(query));
    let most = 0;
    let answered: QueryAnswer;
    try {
      const { outcomes, answer } = await ask();
      const answers = outcomes.map((each) => ("answer" in each ? itemsOf(query, each.answer) : 0));
      // More than was asked for is no answer.
      most = Math.min(items, Math.max(0, ...answers));
      answered = answer();
    } finally {
      settle(most);
    }
    account.assertLeft();
    return answered;
  } catch (error) {
    if (!(error instanceof QueryError)) throw error;
    return refusal(query, { message: error.message });
  }
}

/** Of a member's answer, which is not yet checked. */
function itemsOf(query: Selection, answer: unknown): number {
  return itemsIn(query, objectIn(objectIn(answer)["data"])[query.key]);
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
