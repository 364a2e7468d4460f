/**
 * Links, as they are written at the target: each only after what it needs is there, with its derived keys in the same
 * Write, under the guard of its repository; so the target can be pulled from, and pushed to, meanwhile.
 */
import type { MetaItem, MetaOperation, Stores } from "../client/contract.ts";
import { sleep } from "../proto/clock.ts";
import { isDigest } from "../proto/keys.ts";
import { condemnedState, relyingOn } from "../registry/repository/condemned.ts";
import { loadManifest } from "../registry/repository/core.ts";
import type { CachedManifest } from "../registry/repository/digest-cache.ts";
import { addingUnder } from "../registry/repository/guard.ts";
import {
  catalogKey,
  condemnedKey,
  imageKey,
  layerLink,
  pullsKey,
  referrersKey,
  refsKey,
  revisionLink,
  searchTagKey,
  tagHistoryLink,
  tagKey,
  tagLink,
} from "../registry/repository/keys.ts";
import { present } from "../registry/repository/link-layer.ts";
import { encodeReferrer } from "../registry/repository/referrers.ts";
import { describeImage } from "../registry/search/describe.ts";
import { decodeRecord, decodeTagRecord, encodeRecord, encodeTagRecord } from "../registry/search/record.ts";
import type { BlobsCopy } from "./copy-blobs.ts";
import { isOfOneThing } from "./faults.ts";
import { LOST_AT_SOURCE } from "./lost-tags.ts";
import { FACTS_A_WRITE, KEYS_A_GET, type Target } from "./target.ts";

/** Three keys each, beside the guard. */
const LAYERS_AT_ONCE = Math.floor((Math.min(KEYS_A_GET, FACTS_A_WRITE) - 1) / 3);
/** Four keys each, and their manifest. */
const TAGS_AT_ONCE = Math.floor((FACTS_A_WRITE - 1) / 5);
/** Of indexes within indexes. */
const MOST_DEEP = 8;
/** Past the not-after of any delete that was under way: a marker that still says "deleting" was left by a dead process. */
const DELETING_MS = 15_000;
const DELETING_POLL_MS = 250;

export interface LinksParts {
  readonly from: Stores;
  readonly target: Target;
  readonly blobs: BlobsCopy;
  /** Whether bytes that are missing are copied. */
  readonly copiesBlobs: boolean;
}

/** A digest that could not be linked, and why. */
type Refused = Map<string, string>;

export class Links {
  readonly #parts: LinksParts;

  constructor(parts: LinksParts) {
    this.#parts = parts;
  }

  /** @returns which could not be linked, and why: said by the caller */
  async layers(name: string, digests: readonly string[]): Promise<Refused> {
    const refused: Refused = new Map();
    for (let at = 0; at < digests.length; at += LAYERS_AT_ONCE) {
      const some = digests.slice(at, at + LAYERS_AT_ONCE);
      await this.#parts.target.unraced(() => this.#someLayers(name, some, refused));
    }
    return refused;
  }

  async #someLayers(name: string, digests: readonly string[], refused: Refused): Promise<void> {
    const { target, blobs, copiesBlobs } = this.#parts;
    const items = await this.#untilNotDeleting(digests, [
      catalogKey(name),
      ...digests.flatMap((digest) => [layerLink(name, digest), refsKey(digest, name), condemnedKey(digest)]),
    ]);
    // After the markers were read, so that a collector that comes now meets the Write's checks.
    for (const [digest, why] of await blobs.ensure(digests, copiesBlobs)) refused.set(digest, why);
    const operations = digests
      .filter((digest) => !refused.has(digest))
      .flatMap((digest) => [
        linked(layerLink(name, digest), items.get(layerLink(name, digest)), digest),
        present(refsKey(digest, name), items.get(refsKey(digest, name)), ""),
        relyingOn(digest, items.get(condemnedKey(digest))),
      ]);
    if (operations.length === 0) return;
    await target.write([addingUnder(name, items.get(catalogKey(name))), ...operations]);
  }

  /** Manifests, each after its layers and (of an index) the manifests that the source has of it. */
  async manifests(name: string, digests: readonly string[], depth = 0): Promise<Refused> {
    const refused: Refused = new Map();
    for (const digest of digests) {
      try {
        const why = await this.#parts.target.unraced(() => this.#manifest(name, digest, depth));
        if (why !== undefined) refused.set(digest, why);
      } catch (error) {
        if (!isOfOneThing(error)) throw error;
        refused.set(digest, error.message);
      }
    }
    return refused;
  }

  /** @returns why it was not linked */
  async #manifest(name: string, digest: string, depth: number): Promise<string | undefined> {
    const { from, target, blobs, copiesBlobs } = this.#parts;
    const [revisionKey, refs, marker] = [revisionLink(name, digest), refsKey(digest, name), condemnedKey(digest)];
    const items = await this.#untilNotDeleting([digest], [catalogKey(name), revisionKey, refs, marker]);
    const absent = (await blobs.ensure([digest], copiesBlobs)).get(digest);
    if (absent !== undefined) return absent;
    const loaded = await loadManifest(target.core, digest, { requestId: "copy", signal: target.signal });
    if (loaded === undefined) return "its bytes are absent at the target";
    const missing = (await this.#children(name, loaded, depth)) ?? (await this.#missingLayers(name, loaded));
    if (missing !== undefined) return missing;
    const { subject } = loaded.manifest;
    const referrer = subject === undefined ? undefined : referrersKey(name, subject, digest);
    const [image, pulls] = [imageKey(name, digest), pullsKey(name, digest)];
    const [heldImage, heldPulls, held] = await target.get([
      image,
      pulls,
      ...(referrer === undefined ? [] : [referrer]),
    ]);
    // When it was pushed, and how often it was pulled, is told by the source alone.
    const [was, wasPulled] = await target.patience.run(() => from.meta.get([image, pulls], target.call));
    const pushed = (heldImage && decodeRecord(heldImage.value)) ?? (was && decodeRecord(was.value)) ?? {};
    const record = await describeImage(target.core, loaded, { requestId: "copy", signal: target.signal });
    await target.write([
      addingUnder(name, items.get(catalogKey(name))),
      linked(revisionKey, items.get(revisionKey), digest),
      present(refs, items.get(refs), ""),
      relyingOn(digest, items.get(marker)),
      linked(image, heldImage, encodeRecord(record, pushed)),
      ...(wasPulled === undefined || heldPulls !== undefined
        ? []
        : [linked(pulls, undefined, wasPulled.value.toString("utf8"))]),
      ...(referrer === undefined
        ? []
        : [linked(referrer, held, encodeReferrer(digest, loaded.bytes.length, loaded.manifest))]),
    ]);
    return undefined;
  }

  /** The manifests of an index: the source need not have all of them. */
  async #children(name: string, { bytes }: CachedManifest, depth: number): Promise<string | undefined> {
    const children = childrenOf(bytes);
    if (children.length === 0 || depth >= MOST_DEEP) return undefined;
    const keys = children.map((digest) => revisionLink(name, digest));
    const held = await this.#parts.target.getAll(keys);
    const absent = children.filter((_, index) => held.get(keys[index] ?? "") === undefined);
    const wanted = await this.#atSource(absent, (digest) => revisionLink(name, digest));
    const [failed] = await this.manifests(name, wanted, depth + 1);
    return failed === undefined ? undefined : `its manifest ${failed[0]} is not at the target: ${failed[1]}`;
  }

  async #missingLayers(name: string, { manifest }: CachedManifest): Promise<string | undefined> {
    const { target } = this.#parts;
    const keys = manifest.blobs.map((blob) => layerLink(name, blob));
    const held = await target.getAll(keys);
    const absent = manifest.blobs.filter((_, index) => held.get(keys[index] ?? "") === undefined);
    if (absent.length === 0) return undefined;
    const wanted = await this.#atSource(absent, (digest) => layerLink(name, digest));
    const lost = absent.find((digest) => !wanted.includes(digest));
    if (lost !== undefined) return `its layer ${lost} is not in the repository`;
    const [failed] = await this.layers(name, wanted);
    return failed === undefined ? undefined : `its layer ${failed[0]} is not at the target: ${failed[1]}`;
  }

  /** Tags, each after its manifest. @returns which could not be set, and why */
  async tags(name: string, tags: ReadonlyMap<string, string>): Promise<Refused> {
    const refused: Refused = new Map();
    const all = [...tags];
    for (let at = 0; at < all.length; at += TAGS_AT_ONCE) {
      const some = all.slice(at, at + TAGS_AT_ONCE);
      await this.#parts.target.unraced(() => this.#someTags(name, some, refused));
    }
    return refused;
  }

  async #someTags(name: string, tags: readonly (readonly [string, string])[], refused: Refused): Promise<void> {
    const { target } = this.#parts;
    const digests = [...new Set(tags.map(([, digest]) => digest))];
    const read = () =>
      target.get([
        catalogKey(name),
        ...digests.map((digest) => revisionLink(name, digest)),
        ...tags.flatMap(([tag, digest]) => [tagLink(name, tag), tagKey(name, tag), tagHistoryLink(name, tag, digest)]),
      ]);
    let [guard, ...rest] = await read();
    const absent = digests.filter((_, index) => rest[index] === undefined);
    const wanted = await this.#atSource(absent, (digest) => revisionLink(name, digest));
    const without = await this.manifests(name, wanted);
    if (wanted.length > without.size) [guard, ...rest] = await read();
    for (const digest of absent) if (!wanted.includes(digest)) without.set(digest, LOST_AT_SOURCE);
    const revisions = new Map(digests.map((digest, index) => [digest, rest[index]]));
    const since = await this.#sinceAtSource(name, tags);
    const operations = tags.flatMap(([tag, digest], index): MetaOperation[] => {
      const why = without.get(digest);
      if (why === LOST_AT_SOURCE) refused.set(tag, why);
      else if (why !== undefined) refused.set(tag, `its manifest ${digest} is not at the target: ${why}`);
      if (why !== undefined || revisions.get(digest) === undefined) return [];
      const [link, derived, history] = rest.slice(digests.length + 3 * index);
      return [
        linked(tagLink(name, tag), link, digest),
        linked(tagKey(name, tag), derived, digest),
        linked(tagHistoryLink(name, tag, digest), history, digest),
        // It changes with the link alone, whose etag is checked.
        {
          kind: "put",
          key: searchTagKey(name, tag),
          value: Buffer.from(since.get(tag) ?? encodeTagRecord({ digest })),
        },
      ];
    });
    if (operations.length === 0) return;
    const checks = [...revisions.values()].flatMap((revision): MetaOperation[] =>
      revision === undefined ? [] : [{ kind: "check", key: revision.key, condition: { ifEtag: revision.etag } }],
    );
    await target.write([addingUnder(name, guard), ...checks, ...operations]);
  }

  /** What the source tells of when each tag was set, by tag. */
  async #sinceAtSource(
    name: string,
    tags: readonly (readonly [string, string])[],
  ): Promise<ReadonlyMap<string, string>> {
    const { from, target } = this.#parts;
    const keys = tags.map(([tag]) => searchTagKey(name, tag));
    const items = await target.patience.run(() => from.meta.get(keys, target.call));
    const told = new Map<string, string>();
    for (const [index, [tag, digest]] of tags.entries()) {
      const record = items[index] && decodeTagRecord(items[index].value);
      if (record?.digest === digest) told.set(tag, encodeTagRecord(record));
    }
    return told;
  }

  /** Those whose link the source has now. */
  async #atSource(digests: readonly string[], keyOf: (digest: string) => string): Promise<string[]> {
    const { from, target } = this.#parts;
    const found: string[] = [];
    for (let at = 0; at < digests.length; at += KEYS_A_GET) {
      const some = digests.slice(at, at + KEYS_A_GET);
      const items = await target.patience.run(() => from.meta.get(some.map(keyOf), target.call));
      found.push(...some.filter((_, index) => items[index] !== undefined));
    }
    return found;
  }

  /** What a collector is deleting at the target must be gone before it is written again. */
  async #untilNotDeleting(
    digests: readonly string[],
    keys: readonly string[],
  ): Promise<Map<string, MetaItem | undefined>> {
    const { target } = this.#parts;
    const { clock } = target.core;
    const startedMs = clock.monotonic();
    for (let first: string | undefined; ; ) {
      const items = await target.getAll(keys);
      const deleting = digests
        .map((digest) => items.get(condemnedKey(digest)))
        .filter((marker) => condemnedState(marker) === "deleting");
      if (deleting.length === 0) return items;
      const etags = deleting.map((marker) => marker?.etag).join(" ");
      first ??= etags;
      if (first === etags && clock.monotonic() - startedMs >= DELETING_MS) return items;
      await sleep(clock, DELETING_POLL_MS, target.signal);
    }
  }
}

/** Puts the value, or checks that it is there. */
function linked(key: string, held: MetaItem | undefined, value: string): MetaOperation {
  if (held === undefined) return { kind: "put", key, value: Buffer.from(value), condition: { ifAbsent: true } };
  return held.value.toString("utf8") === value
    ? { kind: "check", key, condition: { ifEtag: held.etag } }
    : { kind: "put", key, value: Buffer.from(value), condition: { ifEtag: held.etag } };
}

/** The manifests that an index or list names. */
export function childrenOf(bytes: Buffer): string[] {
  let entries: unknown;
  try {
    entries = (JSON.parse(bytes.toString("utf8")) as { readonly manifests?: unknown }).manifests;
  } catch {
    return [];
  }
  if (!Array.isArray(entries)) return [];
  const digests = entries.map((entry: { readonly digest?: unknown } | null) => entry?.digest);
  return [...new Set(digests.filter((digest): digest is string => typeof digest === "string" && isDigest(digest)))];
}
