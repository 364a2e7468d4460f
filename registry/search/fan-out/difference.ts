/**
 * Vulnerabilities of one member's image that another member's has not: each owner says which image is meant and what it has;
 * the difference is taken here, as one registry takes it.
 */
import { Kind } from "graphql";
import type { QueryAnswer } from "../answer.ts";
import { readDocument, type Selection } from "../document.ts";
import {
  type CveDiff,
  type CveDiffArgs,
  difference,
  type ImageIdentifier,
  type ImageInput,
} from "../queries/cve-diff.ts";
import { type Cve, isSeverity } from "../scanner.ts";
import { schema } from "../schema.ts";
import { MemberFault, type PeerRequest } from "./contract.ts";
import { answerOf, faultOf, type Outcome, refusal, saidOf } from "./merge.ts";
import { argumentsOf, documentOf, type QueryPlan } from "./plan.ts";
import { shaped, typeOf } from "./shape.ts";

type DifferencePlan = Extract<QueryPlan, { readonly kind: "difference" }>;
type Ask = (member: string, request: PeerRequest) => Promise<Outcome>;

/** Errors of the query itself, in the words of the owner. */
class Said extends Error {
  readonly answer: QueryAnswer;
  constructor(answer: QueryAnswer) {
    super("the owner refuses the query");
    this.answer = answer;
  }
}

export async function answerDifference(plan: DifferencePlan, ask: Ask): Promise<QueryAnswer> {
  const { query } = plan;
  const args = plan.args as unknown as CveDiffArgs;
  const sides = [
    { member: plan.minuend, image: args.minuend },
    { member: plan.subtrahend, image: args.subtrahend },
  ] as const;
  try {
    const [minuend, subtrahend] = await both(sides, ({ member, image }) => identified(query, member, image, ask));
    const [mine, theirs] = await both(
      [
        { member: plan.minuend, image: minuend },
        { member: plan.subtrahend, image: subtrahend },
      ] as const,
      ({ member, image }) => cvesOf(query, member, image, ask),
    );
    const diff: CveDiff = { Minuend: minuend, Subtrahend: subtrahend, ...difference(mine, theirs, args) };
    return { value: projected(query.fields, diff), errors: [] };
  } catch (error) {
    if (error instanceof Said) return error.answer;
    throw error;
  }
}

/** Beside each other; of two errors the first one's is told. */
async function both<Side, Answer>(
  [first, second]: readonly [Side, Side],
  ask: (side: Side) => Promise<Answer>,
): Promise<[Answer, Answer]> {
  const [one, other] = await Promise.allSettled([ask(first), ask(second)]);
  if (one.status === "rejected") throw one.reason;
  if (other.status === "rejected") throw other.reason;
  return [one.value, other.value];
}

const IDENTIFIED = selectionOf(
  '{CVEDiffListForImages(minuend:{Repo:"" Tag:""} subtrahend:{Repo:"" Tag:""}){Minuend{Repo Tag Digest Platform{Os Arch}}}}',
);
const LISTED = selectionOf(
  '{CVEListForImage(image:""){CVEList{Id Title Description Reference Severity PackageList{Name PackagePath InstalledVersion FixedVersion}}}}',
);

/** Without what it is itself, an image has nothing: all that is asked for is which one it is. */
async function identified(query: Selection, member: string, image: ImageInput, ask: Ask): Promise<ImageIdentifier> {
  const answer = await asked(query, member, IDENTIFIED, { minuend: image, subtrahend: image }, ask);
  return (answer as { readonly Minuend: ImageIdentifier }).Minuend;
}

async function cvesOf(query: Selection, member: string, { Repo, Digest }: ImageIdentifier, ask: Ask): Promise<Cve[]> {
  const answer = await asked(query, member, LISTED, { image: `${Repo}@${Digest ?? ""}` }, ask);
  const { CVEList } = answer as { readonly CVEList: readonly (ShownCve | null)[] | null };
  return (CVEList ?? []).flatMap((cve) => (cve === null ? [] : cveOf(cve)));
}

async function asked(
  query: Selection,
  member: string,
  selection: Selection,
  args: Readonly<Record<string, unknown>>,
  ask: Ask,
): Promise<unknown> {
  const field = schema.getQueryType()?.getFields()[selection.name];
  if (field === undefined) throw new Error(`the schema has no ${selection.name}`);
  const node = { ...selection.nodes[0], kind: Kind.FIELD, arguments: argumentsOf(field, args) } as const;
  const outcome = await ask(member, { query: documentOf([node]) });
  try {
    const answer = answerOf(outcome);
    const value = answer.data?.[selection.key];
    if (value == null) throw new Said(refusal(query, saidOf(selection.key, member, answer)));
    return shaped(selection, typeOf("Query", selection.name), value, selection.key);
  } catch (error) {
    if (!(error instanceof MemberFault)) throw error;
    throw new Said({ value: null, errors: [faultOf(query, member, error.message)] });
  }
}

function selectionOf(query: string): Selection {
  const [selection] = readDocument({ query }).queries;
  if (selection === undefined) throw new Error("an empty document");
  return selection;
}

interface ShownCve {
  readonly Id: string | null;
  readonly Title: string | null;
  readonly Description: string | null;
  readonly Reference: string | null;
  readonly Severity: string | null;
  readonly PackageList:
    | readonly ({
        readonly Name: string | null;
        readonly PackagePath: string | null;
        readonly InstalledVersion: string | null;
        readonly FixedVersion: string | null;
      } | null)[]
    | null;
}

function cveOf({ Id, Title, Description, Reference, Severity: severity, PackageList }: ShownCve): Cve {
  return {
    id: Id ?? "",
    title: Title ?? "",
    description: Description ?? "",
    reference: Reference ?? "",
    severity: isSeverity(severity) ? severity : "UNKNOWN",
    packages: (PackageList ?? []).flatMap((each) =>
      each === null
        ? []
        : {
            name: each.Name ?? "",
            path: each.PackagePath ?? "",
            installedVersion: each.InstalledVersion ?? "",
            fixedVersion: each.FixedVersion ?? "",
          },
    ),
  };
}

/** What was selected of a value whose fields have their own names. */
function projected(fields: readonly Selection[], value: object, typeName = "CVEDiffResult"): object {
  return Object.fromEntries(
    fields.map((field) => {
      if (field.name === "__typename") return [field.key, typeName];
      const found = (value as Readonly<Record<string, unknown>>)[field.name] ?? null;
      if (field.fields.length === 0 || found === null) return [field.key, found];
      const below = String(typeOf(typeName, field.name)).replace(/[^A-Za-z]/g, "");
      const one = (each: unknown) => projected(field.fields, each as object, below);
      return [field.key, Array.isArray(found) ? found.map(one) : one(found)];
    }),
  );
}
