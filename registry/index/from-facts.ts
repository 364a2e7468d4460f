/** First pass: every fact has its derived keys. */
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import { hasReason } from "../../proto/errors.ts";
import { isDigest } from "../../proto/keys.ts";
import { loadManifest } from "../repository/core.ts";
import { addingUnder } from "../repository/guard.ts";
import {
  blobKey,
  catalogKey,
  imageKey,
  type Link,
  parseLink,
  preferencesPrefix,
  referrersKey,
  refsKey,
  repositoriesPrefix,
  revisionLink,
  searchTagKey,
  starOfPreference,
  tagKey,
} from "../repository/keys.ts";
import { WRITE_OPERATIONS } from "../repository/ledger.ts";
import { encodeReferrer } from "../repository/referrers.ts";
import { describeImage } from "../search/describe.ts";
import { cutRecord, decodeRecord, decodeTagRecord, encodeRecord, encodeTagRecord } from "../search/record.ts";
import { CALLS_AT_ONCE, type IndexRun, inParallel } from "./differences.ts";
import { dropLayersWithoutBytes } from "./without-bytes.ts";

const MANIFESTS_AT_ONCE = 16;
const ATTEMPTS = 5;
/** Of values in one Write, which may have 3.5 MiB of all it holds. */
const MOST_BATCH_BYTES = 2 * 1024 * 1024;

/** A derived key that the facts ask for. */
interface Wanted {
  readonly key: string;
  /** Absent: its presence is all that counts. What it says that no fact does is kept. */
  readonly valueFor?: (held: MetaItem | undefined) => string;
  readonly put: (held: MetaItem | undefined) => MetaOperation;
  /** Must hold in the Write that puts it. */
  readonly facts: readonly MetaItem[];
}

interface Fact {
  readonly item: MetaItem;
  readonly link: Link;
}

export async function deriveFromFacts(run: IndexRun): Promise<void> {
  for await (const page of run.pages(repositoriesPrefix)) {
    run.counts.links += page.length;
    const facts = wellFormed(run, page);
    await withoutAbsentBytes(run, facts);
    const wanted = await wantedBy(run, facts);
    const held = await run.get([...wanted.keys()]);
    const differing = [...wanted.values()].filter((it) => differs(it, held.get(it.key)));
    await settle(run, differing, held);
    run.tell(page.at(-1)?.key ?? "");
  }
  for await (const page of run.pages(preferencesPrefix)) {
    const stars = page.flatMap((item) => {
      const key = starOfPreference(item.key);
      return key === undefined ? [] : [wantedValue(key, undefined, [item])];
    });
    const held = await run.get(stars.map(({ key }) => key));
    await settle(
      run,
      stars.filter((it) => differs(it, held.get(it.key))),
      held,
    );
    run.tell(page.at(-1)?.key ?? "");
  }
}

async function settle(
  run: IndexRun,
  differing: readonly Wanted[],
  held: ReadonlyMap<string, MetaItem | undefined>,
): Promise<void> {
  if (run.repair) await writeAll(run, differing, held);
  else for (const it of differing) await confirm(run, it);
}

function wellFormed(run: IndexRun, page: readonly MetaItem[]): Fact[] {
  const facts: Fact[] = [];
  for (const item of page) {
    const link = parseLink(item.key);
    if (link === undefined) {
      // Signatures of schema 1 are known and of no use; all else somebody should know about.
      if (!item.key.includes("/signatures/")) run.problem(item.key, "is not a link of a well-formed name");
      continue;
    }
    const value = item.value.toString("utf8");
    if (link.kind === "tag" ? !isDigest(value) : value !== link.digest) {
      run.problem(item.key, "does not hold the digest that it should");
      continue;
    }
    facts.push({ item, link });
  }
  return facts;
}

/** Takes facts out of the list whose layer's bytes are absent. */
async function withoutAbsentBytes(run: IndexRun, facts: Fact[]): Promise<void> {
  const layers = facts.filter(({ link }) => link.kind === "layer");
  if (layers.length === 0) return;
  const infos = await run.core.stores.blobs.stat(
    layers.map(({ link }) => blobKey(link.kind === "layer" ? link.digest : "")),
    { signal: run.signal },
  );
  const absent = new Set(layers.filter((_, index) => infos[index] === undefined));
  if (absent.size === 0) return;
  await dropLayersWithoutBytes(
    run,
    [...absent].map(({ link }) => link),
  );
  const kept = facts.filter((fact) => !absent.has(fact));
  facts.splice(0, facts.length, ...kept);
}

async function wantedBy(run: IndexRun, facts: readonly Fact[]): Promise<Map<string, Wanted>> {
  const wanted = new Map<string, Wanted>();
  const want = (it: Wanted) => {
    if (!wanted.has(it.key)) wanted.set(it.key, it);
  };
  await addTags(run, facts, want);
  await inParallel(facts, MANIFESTS_AT_ONCE, async ({ item, link }) => {
    if (link.kind !== "layer" && link.kind !== "revision") return;
    want({ key: catalogKey(link.name), put: (held) => addingUnder(link.name, held), facts: [item] });
    want(wantedValue(refsKey(link.digest, link.name), undefined, [item]));
    if (link.kind !== "revision") return;
    const context = { signal: run.signal, requestId: "index" };
    const loaded = await loadManifest(run.core, link.digest, context).catch((error: unknown) => {
      if (!hasReason(error, "STORED_CORRUPT")) throw error;
      run.problem(item.key, error.message);
      return null;
    });
    if (loaded === undefined) run.problem(item.key, "the manifest's bytes are absent");
    if (!loaded) return;
    // Cut at once: a page of facts has up to a thousand of them.
    const record = cutRecord(await describeImage(run.core, loaded, context));
    const recordFor = (held: MetaItem | undefined) => encodeRecord(record, (held && decodeRecord(held.value)) ?? {});
    want(wantedValue(imageKey(link.name, link.digest), recordFor, [item]));
    const { subject } = loaded.manifest;
    if (subject === undefined) return;
    const value = encodeReferrer(link.digest, loaded.bytes.length, loaded.manifest);
    want(wantedValue(referrersKey(link.name, subject, link.digest), () => value, [item]));
  });
  return wanted;
}

/** A tag counts only with its revision. */
async function addTags(run: IndexRun, facts: readonly Fact[], want: (it: Wanted) => void): Promise<void> {
  const tags = facts.flatMap(({ item, link }) =>
    link.kind === "tag" ? [{ item, link, digest: item.value.toString("utf8") }] : [],
  );
  const revisions = await run.get([...new Set(tags.map(({ link, digest }) => revisionLink(link.name, digest)))]);
  for (const { item, link, digest } of tags) {
    const revision = revisions.get(revisionLink(link.name, digest));
    if (revision === undefined) {
      run.problem(item.key, `names ${digest}, which is not in the repository`);
      continue;
    }
    want(wantedValue(tagKey(link.name, link.tag), () => digest, [item, revision]));
    want(wantedValue(searchTagKey(link.name, link.tag), (held) => tagRecordFor(digest, held), [item, revision]));
  }
}

/** Since when is known of the digest that it has named so far. */
function tagRecordFor(digest: string, held: MetaItem | undefined): string {
  const was = held && decodeTagRecord(held.value);
  const isSame = was?.digest === digest && Number.isSafeInteger(was.taggedMs);
  return encodeTagRecord({ digest, ...(isSame && was.taggedMs !== undefined ? { taggedMs: was.taggedMs } : {}) });
}

function wantedValue(key: string, valueFor: Wanted["valueFor"], facts: readonly MetaItem[]): Wanted {
  return {
    key,
    ...(valueFor === undefined ? {} : { valueFor }),
    put: (held) => ({
      kind: "put",
      key,
      value: Buffer.from(valueFor?.(held) ?? ""),
      condition: held === undefined ? { ifAbsent: true } : { ifEtag: held.etag },
    }),
    facts,
  };
}

function differs(wanted: Wanted, held: MetaItem | undefined): boolean {
  return held === undefined || (wanted.valueFor !== undefined && held.value.toString("utf8") !== wanted.valueFor(held));
}

function count(run: IndexRun, held: MetaItem | undefined): void {
  if (held === undefined) run.counts.missing += 1;
  else run.counts.wrong += 1;
}

/** As many as fit in a Write; a Write that loses a race is done again one by one. */
async function writeAll(
  run: IndexRun,
  differing: readonly Wanted[],
  held: ReadonlyMap<string, MetaItem | undefined>,
): Promise<void> {
  const batches: Wanted[][] = [];
  let keys = new Set<string>();
  let bytes = 0;
  for (const wanted of differing) {
    const needs = [wanted.key, ...wanted.facts.map(({ key }) => key)];
    const ownBytes = Buffer.byteLength(wanted.valueFor?.(held.get(wanted.key)) ?? "");
    const batch = batches.at(-1);
    const fits = new Set([...keys, ...needs]).size <= WRITE_OPERATIONS && bytes + ownBytes <= MOST_BATCH_BYTES;
    if (batch !== undefined && fits) {
      batch.push(wanted);
    } else {
      batches.push([wanted]);
      keys = new Set();
      bytes = 0;
    }
    bytes += ownBytes;
    for (const key of needs) keys.add(key);
  }
  await inParallel(batches, CALLS_AT_ONCE, async (batch) => {
    const checks = new Map(batch.flatMap(({ facts }) => facts.map((fact) => [fact.key, check(fact)])));
    try {
      await run.core.ledger.write([...checks.values(), ...batch.map((it) => it.put(held.get(it.key)))], {
        signal: run.signal,
      });
      for (const it of batch) count(run, held.get(it.key));
    } catch (error) {
      if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
      for (const it of batch) await writeOne(run, it);
    }
  });
}

async function writeOne(run: IndexRun, wanted: Wanted): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const held = await stillDiffering(run, wanted);
    if (held === undefined) return;
    try {
      await run.core.ledger.write([...wanted.facts.map(check), wanted.put(held.item)], { signal: run.signal });
      count(run, held.item);
      return;
    } catch (error) {
      if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
    }
  }
  run.problem(wanted.key, "changes too often to be repaired now: run it again");
}

async function confirm(run: IndexRun, wanted: Wanted): Promise<void> {
  const held = await stillDiffering(run, wanted);
  if (held !== undefined) count(run, held.item);
}

/** `undefined`: set right, or its facts changed, by somebody who then wrote the derived key along with them. */
async function stillDiffering(
  run: IndexRun,
  wanted: Wanted,
): Promise<{ readonly item: MetaItem | undefined } | undefined> {
  const keys = [wanted.key, ...wanted.facts.map(({ key }) => key)];
  const [item, ...facts] = await run.core.ledger.get(keys, { signal: run.signal });
  if (wanted.facts.some((fact, index) => facts[index]?.etag !== fact.etag)) return undefined;
  return differs(wanted, item) ? { item } : undefined;
}

function check(fact: MetaItem): MetaOperation {
  return { kind: "check", key: fact.key, condition: { ifEtag: fact.etag } };
}
