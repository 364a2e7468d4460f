/** Every manifest has, in its repository, the layers that it names; an index may have fewer manifests than it names. */
import { pino } from "pino";
import type { MetaItem } from "../client/contract.ts";
import { systemClock } from "../proto/clock.ts";
import { hasReason } from "../proto/errors.ts";
import { type Core, loadManifest } from "../registry/repository/core.ts";
import { DigestCache } from "../registry/repository/digest-cache.ts";
import { layerLink, revisionLink } from "../registry/repository/keys.ts";
import { NoLease } from "../registry/repository/lease.ts";
import { Ledger } from "../registry/repository/ledger.ts";
import { DEFAULT_JOBS } from "./contract.ts";
import { factOf } from "./copy-meta.ts";
import { pagesOf } from "./join.ts";
import { factsRange } from "./keys.ts";
import { childrenOf } from "./links.ts";
import { forEach } from "./pool.ts";
import { KEYS_A_GET } from "./target.ts";
import type { VerifyParts } from "./verify.ts";

export interface ManifestsChecked {
  readonly manifests: number;
  /** Of these: with layers that are not in their repository. */
  readonly incomplete: number;
  /** Indexes without some of their manifests. */
  readonly sparse: number;
}

const CONTENT_MEMORY_BYTES = 8 * 1024 * 1024;

export async function verifyManifests(parts: VerifyParts): Promise<ManifestsChecked> {
  const { stores, options, problems, notes, patience, call } = parts;
  const counts = { manifests: 0, incomplete: 0, sparse: 0 };
  const core = readingCore(parts);
  const absentOf = async (keys: readonly string[]) => {
    const absent: string[] = [];
    for (let at = 0; at < keys.length; at += KEYS_A_GET) {
      const some = keys.slice(at, at + KEYS_A_GET);
      const items = await patience.run(() => stores.meta.get(some, call));
      absent.push(...some.filter((_, index) => items[index] === undefined));
    }
    return absent;
  };
  const check = async (item: MetaItem): Promise<void> => {
    const fact = factOf(item);
    if (fact?.kind !== "revision") return;
    const { name, digest } = fact;
    const loaded = await patience.run(() => manifestOf(core, digest, parts));
    counts.manifests += 1;
    options.doing?.(`manifests: ${counts.manifests} read, ${counts.incomplete} incomplete`);
    // Absent or damaged: the comparison of links with bytes says so.
    if (loaded === undefined) return;
    const links = new Map(loaded.manifest.blobs.map((blob) => [layerLink(name, blob), blob]));
    const children = new Map(childrenOf(loaded.bytes).map((child) => [revisionLink(name, child), child]));
    const [layersAbsent, childrenAbsent] = [await absentOf([...links.keys()]), await absentOf([...children.keys()])];
    if (layersAbsent.length + childrenAbsent.length === 0) return;
    // Deleted while it was looked at: no wonder.
    if ((await absentOf([item.key])).length > 0) return;
    if (layersAbsent.length > 0) counts.incomplete += 1;
    if (childrenAbsent.length > 0) counts.sparse += 1;
    for (const key of layersAbsent)
      problems.add(`${name}@${digest}`, `its layer ${links.get(key)} is not in the repository`);
    for (const key of childrenAbsent)
      notes.add(`${name}@${digest}`, `its manifest ${children.get(key)} is not in the repository: pushed so, or lost`);
  };
  for await (const page of pagesOf((request) => stores.meta.list(request, call), factsRange, patience)) {
    await forEach(page, options.jobs ?? DEFAULT_JOBS, check);
  }
  return counts;
}

async function manifestOf(core: Core, digest: string, { options }: VerifyParts) {
  try {
    const signal = options.signal ?? new AbortController().signal;
    return await loadManifest(core, digest, { signal, requestId: "verify" });
  } catch (error) {
    if (hasReason(error, "STORED_CORRUPT")) return undefined;
    throw error;
  }
}

function readingCore({ stores, options }: VerifyParts): Core {
  const { clock = systemClock, log = pino({ level: "silent" }), random = Math.random } = options;
  const ledger = new Ledger(stores, new NoLease({ meta: stores.meta, clock, log }), undefined, { clock, random });
  return { stores, ledger, cache: new DigestCache(CONTENT_MEMORY_BYTES), clock, random, log };
}
