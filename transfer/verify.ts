/**
 * A pair of stores looked through: every byte against its digest, every manifest against what it names, and the index
 * against the facts. Nothing is changed.
 */
import type { CallOptions, Stores } from "../client/contract.ts";
import { type IndexReport, verifyIndex } from "../registry/index/index.ts";
import { type Problem, Problems, type TransferOptions } from "./contract.ts";
import { Patience } from "./patience.ts";
import { type BytesChecked, type BytesState, verifyBytes } from "./verify-bytes.ts";
import { type ManifestsChecked, verifyManifests } from "./verify-manifests.ts";
import { countOrphans, countUploads, type Orphans, type UploadsFound } from "./verify-orphans.ts";

export interface VerifyOptions extends TransferOptions {
  /** Where an earlier run's reading of bytes has come to. */
  readonly state?: BytesState | undefined;
  /** Called now and then, and at the end however it comes, with where the reading of bytes is: for a run that goes on there. */
  readonly save?: ((state: BytesState) => Promise<void>) | undefined;
  /** Reads no bytes but manifests'. */
  readonly links?: boolean;
  /** What is being done: for who shows it. */
  readonly doing?: (what: string) => void;
}

export interface VerifyParts {
  readonly stores: Stores;
  readonly options: VerifyOptions;
  readonly problems: Problems;
  readonly notes: Problems;
  readonly patience: Patience;
  readonly call: CallOptions;
}

export interface VerifyReport {
  /** `undefined`: not asked for. */
  readonly bytes: BytesChecked | undefined;
  readonly manifests: ManifestsChecked;
  readonly index: Omit<IndexReport, "problems">;
  /** Bytes that no repository has: of a push under way, or of deleted images. No damage. */
  readonly orphans: Orphans;
  readonly uploads: UploadsFound;
  /** What is damaged or missing; the first thousand, and how many in all. */
  readonly problems: { readonly count: number; readonly first: readonly Problem[] };
  /** What may be meant so: an index without some of its manifests. */
  readonly notes: { readonly count: number; readonly first: readonly Problem[] };
}

/** @throws StoreAway, the signal's reason … */
export async function verifyPair(stores: Stores, options: VerifyOptions = {}): Promise<VerifyReport> {
  const patience = new Patience(options);
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  const parts: VerifyParts = { stores, options, problems: new Problems(), notes: new Problems(), patience, call };
  const bytes = options.links ? undefined : await verifyBytes(parts);
  const manifests = await verifyManifests(parts);
  const index = await verifyDerived(parts);
  const orphans = await countOrphans(parts);
  const uploads = await countUploads(parts);
  const { problems, notes } = parts;
  return {
    bytes,
    manifests,
    index,
    orphans,
    uploads,
    problems: { count: problems.count, first: problems.kept },
    notes: { count: notes.count, first: notes.kept },
  };
}

/** Links to absent bytes, tags to absent manifests, and derived keys that the facts do not give. */
async function verifyDerived({
  stores,
  options,
  problems,
  patience,
  call,
}: VerifyParts): Promise<VerifyReport["index"]> {
  const { problems: found, ...counts } = await patience.run(() =>
    verifyIndex(stores, {
      ...call,
      ...(options.clock === undefined ? {} : { clock: options.clock }),
      progress: ({ links }) => options.doing?.(`links: ${links} compared with bytes and index`),
    }),
  );
  for (const { key, what } of found) problems.add(key, what);
  const { missing, wrong, stale } = counts;
  for (const [what, count] of Object.entries({ missing, wrong, stale }))
    if (count > 0)
      problems.add("the index", `${count} derived keys are ${what}: outrigger index rebuild puts it right`);
  return counts;
}
