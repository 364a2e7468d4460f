/**
 * Manifest pushes (OCI distribution spec 1.1, "Pushing manifests"): a Get, the bytes, a Write; a Get more for each further
 * 90 blobs, and a Read of the config when its bytes are not in memory.
 */
import { randomUUID } from "node:crypto";
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import { hasReason } from "../../proto/errors.ts";
import { algorithmOf } from "../../proto/keys.ts";
import { limits } from "../../proto/limits.ts";
import { RegistryError } from "../errors.ts";
import { describeImage, isImageConfig } from "../search/describe.ts";
import {
  decodePulls,
  decodeRecord,
  decodeTagRecord,
  encodeRecord,
  encodeTagRecord,
  type ImageRecord,
  type PullsRecord,
  type Pushed as PushedBy,
  pushedOf,
} from "../search/record.ts";
import { condemnedState, relyingOn } from "./condemned.ts";
import type { PushedManifest, RequestContext } from "./contract.ts";
import { assertDigestText, type Core, digestOfBytes } from "./core.ts";
import { addingUnder } from "./guard.ts";
import {
  blobKey,
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
} from "./keys.ts";
import { patiently, present, untilNotDeleting } from "./link-layer.ts";
import { checkManifest, type Manifest } from "./manifest.ts";
import { assertName, assertTag } from "./names.ts";
import { untilAdded } from "./races.ts";
import { encodeReferrer } from "./referrers.ts";

/** In one Write; more tags are as many Writes more, each whole. */
const TAGS_AT_ONCE = 22;
export interface ManifestPush {
  readonly bytes: Buffer;
  readonly contentType: string;
  readonly digest?: string;
  readonly tags: readonly string[];
  /**
   * Another member of the cluster acknowledged it, and hands it over: blobs that it lacks are no reason to refuse it (but
   * see `isWhole`), and a tag that is there already is newer and stays as it is.
   */
  readonly handedOver?: HandedOver;
}

/** What the index of that member tells, and nobody could find out again. */
export interface HandedOver {
  readonly pushed?: PushedBy;
  readonly pulls?: PullsRecord | undefined;
  /** Unix ms; of a tag that is not in it, it does not know. */
  readonly taggedMs?: ReadonlyMap<string, number>;
  /** It is to be whole: a blob that it lacks is a reason to refuse it, as with any push. */
  readonly isWhole?: true;
}

interface Pushed {
  readonly handedOver: HandedOver | undefined;
  readonly name: string;
  readonly digest: string;
  readonly bytes: Buffer;
  readonly manifest: Manifest;
}

export async function putManifest(
  core: Core,
  name: string,
  pushed: ManifestPush,
  context: RequestContext,
): Promise<PushedManifest> {
  assertName(name);
  for (const tag of pushed.tags) assertTag(tag);
  if (pushed.digest !== undefined) assertDigestText(pushed.digest);
  const manifest = checkManifest(pushed.bytes, pushed.contentType);
  const algorithm = pushed.digest === undefined ? "sha256" : algorithmOf(pushed.digest);
  const digest = digestOfBytes(pushed.bytes, algorithm);
  if (pushed.digest !== undefined && digest !== pushed.digest) {
    throw new RegistryError("DIGEST_INVALID", `the manifest's digest is ${digest}`, {
      detail: { given: pushed.digest, computed: digest },
    });
  }
  const push = { name, digest, bytes: pushed.bytes, manifest, handedOver: pushed.handedOver };
  const tags = [...new Set(pushed.tags)];
  let at = 0;
  do {
    await putWithTags(core, push, tags.slice(at, at + TAGS_AT_ONCE), context);
    at += TAGS_AT_ONCE;
  } while (at < tags.length);
  core.cache.keepManifest(digest, pushed.bytes, manifest);
  return { digest, tags, ...(manifest.subject === undefined ? {} : { subject: manifest.subject }) };
}

/** What the Write depends on, as of the first Get. */
interface Items {
  /** See Ledger.basis. */
  readonly basis: string;
  readonly guard: MetaItem | undefined;
  readonly marker: MetaItem | undefined;
  readonly revision: MetaItem | undefined;
  readonly refs: MetaItem | undefined;
  readonly image: MetaItem | undefined;
  readonly pulls: MetaItem | undefined;
  readonly referrer: MetaItem | undefined;
  readonly tags: readonly TagItems[];
}

interface TagItems {
  readonly tag: string;
  readonly link: MetaItem | undefined;
  readonly derived: MetaItem | undefined;
  readonly history: MetaItem | undefined;
  readonly searched: MetaItem | undefined;
}

async function putWithTags(core: Core, push: Pushed, tags: readonly string[], context: RequestContext): Promise<void> {
  /** Where, and under which marker, the bytes were stored; `undefined`: not yet stored. */
  let storedUnder: string | undefined;
  let record: ImageRecord | undefined;
  await untilAdded(core, context.signal, async () => {
    const items = await untilNotDeleting(core, push.digest, context, () =>
      patiently(core, context, () => look(core, push, tags, context)),
    );
    if (isDone(items, push)) return;
    const under = `${items.basis} ${items.marker?.etag}`;
    // A revision's bytes are there, unless somebody is about to take them away.
    const isThere = items.revision !== undefined && condemnedState(items.marker) === undefined;
    if (!isThere && storedUnder !== under) {
      await storeBytes(core, push, context);
      storedUnder = under;
    }
    // After the bytes: what it needs of them, or of the config, is there by now or never.
    if (lacksRecord(items)) record ??= await describeImage(core, push, context);
    await core.ledger.write(operations(core, items, push, record, context), context, items.basis);
  });
}

/** The first Get asks for all that the Write depends on and as many blobs as it has room for. @throws MANIFEST_BLOB_UNKNOWN */
async function look(core: Core, push: Pushed, tags: readonly string[], context: RequestContext): Promise<Items> {
  const { name, digest, manifest } = push;
  const { subject } = manifest;
  const tagKeys = tags.flatMap((tag) => [
    tagLink(name, tag),
    tagKey(name, tag),
    tagHistoryLink(name, tag, digest),
    searchTagKey(name, tag),
  ]);
  const fixed = [
    catalogKey(name),
    condemnedKey(digest),
    revisionLink(name, digest),
    refsKey(digest, name),
    imageKey(name, digest),
    ...(subject === undefined ? [] : [referrersKey(name, subject, digest)]),
    ...tagKeys,
    ...(push.handedOver?.pulls ? [pullsKey(name, digest)] : []),
  ];
  const inFirst = limits.getKeys - fixed.length;
  const links = (from: number, to?: number) => manifest.blobs.slice(from, to).map((blob) => layerLink(name, blob));
  const basis = core.ledger.basis();
  const answer = await core.ledger.get([...fixed, ...links(0, inFirst)], context);
  const found = answer.slice(fixed.length);
  for (let at = inFirst; at < manifest.blobs.length; at += limits.getKeys) {
    found.push(...(await core.ledger.get(links(at, at + limits.getKeys), context)));
  }
  const missing = manifest.blobs.filter((_, index) => found[index] === undefined);
  if (missing.length > 0 && push.handedOver && !push.handedOver.isWhole) {
    const digests = missing.slice(0, 100);
    core.log.warn({ name, digest, digests }, "a manifest was handed over without blobs that it names");
  } else if (missing.length > 0) {
    throw new RegistryError("MANIFEST_BLOB_UNKNOWN", `${missing.length} blob(s) of the manifest are not in ${name}`, {
      detail: { digests: missing.slice(0, 100) },
    });
  }
  const [guard, marker, revision, refs, image] = answer;
  const firstTag = subject === undefined ? 5 : 6;
  return {
    basis,
    guard,
    marker,
    revision,
    refs,
    image,
    pulls: push.handedOver?.pulls && answer[fixed.length - 1],
    referrer: subject === undefined ? undefined : answer[5],
    tags: tags
      .map((tag, index) => {
        const [link, derived, history, searched] = answer.slice(firstTag + 4 * index);
        return { tag, link, derived, history, searched };
      })
      .filter(({ link }) => !push.handedOver || link === undefined),
  };
}

/** All of it was there at the moment of the first Get: nothing to write. */
function isDone(items: Items, push: Pushed): boolean {
  return (
    items.guard !== undefined &&
    items.marker === undefined &&
    items.revision !== undefined &&
    items.refs !== undefined &&
    !lacksRecord(items) &&
    told(items, push).length === 0 &&
    (push.manifest.subject === undefined || items.referrer !== undefined) &&
    items.tags.every(
      ({ link, derived, searched }) =>
        names(link, push.digest) &&
        names(derived, push.digest) &&
        searched !== undefined &&
        decodeTagRecord(searched.value)?.digest === push.digest,
    )
  );
}

/** Also one that was made while its config was lost: this push may have brought it back. */
function lacksRecord({ image }: Items): boolean {
  const record = image && decodeRecord(image.value);
  return (
    record === undefined || (record.image === undefined && record.cut === undefined && isImageConfig(record.config))
  );
}

function names(item: MetaItem | undefined, digest: string): boolean {
  return item?.value.toString("utf8") === digest;
}

/** @param record of the image, where it is not there yet */
function operations(
  core: Core,
  items: Items,
  push: Pushed,
  record: ImageRecord | undefined,
  context: RequestContext,
): MetaOperation[] {
  const { name, digest, manifest } = push;
  const now = core.clock.now();
  const pushed = push.handedOver?.pushed ?? {
    pushedMs: now,
    ...(context.user === undefined ? {} : { pushedBy: context.user.slice(0, 255) }),
  };
  const taggedAt = (tag: string) => {
    const taggedMs = push.handedOver?.taggedMs ? push.handedOver.taggedMs.get(tag) : now;
    return taggedMs === undefined ? {} : { taggedMs };
  };
  return [
    addingUnder(name, items.guard),
    relyingOn(digest, items.marker),
    present(revisionLink(name, digest), items.revision, digest),
    present(refsKey(digest, name), items.refs, ""),
    ...(manifest.subject === undefined
      ? []
      : [
          present(
            referrersKey(name, manifest.subject, digest),
            items.referrer,
            encodeReferrer(digest, push.bytes.length, manifest),
          ),
        ]),
    ...(record === undefined || !lacksRecord(items)
      ? []
      : [put(imageKey(name, digest), items.image, encodeRecord(record, { ...pushed, ...pushedBefore(items.image) }))]),
    ...told(items, push),
    ...items.tags.flatMap(({ tag, link, derived, history, searched }) => [
      put(tagLink(name, tag), link, digest),
      put(tagKey(name, tag), derived, digest),
      present(tagHistoryLink(name, tag, digest), history, digest),
      put(searchTagKey(name, tag), searched, encodeTagRecord({ digest, ...taggedAt(tag) })),
    ]),
  ];
}

/** Where the other member knows of an earlier push, or of more pulls. */
function told(items: Items, { name, digest, handedOver }: Pushed): MetaOperation[] {
  const operations: MetaOperation[] = [];
  const { image, pulls } = items;
  // One that is missing, or mended, is put with it.
  const record = image === undefined || lacksRecord(items) ? undefined : decodeRecord(image.value);
  const before = handedOver?.pushed?.pushedMs;
  if (handedOver?.pushed && record && before !== undefined && before < (record.pushedMs ?? Number.POSITIVE_INFINITY))
    operations.push(put(imageKey(name, digest), image, encodeRecord(record, handedOver.pushed)));
  const counted = (pulls && decodePulls(pulls.value)) ?? { count: 0, lastMs: 0 };
  if (handedOver?.pulls && handedOver.pulls.count > counted.count) {
    const { count, lastMs } = handedOver.pulls;
    const sum = { count, lastMs: Math.max(lastMs, counted.lastMs) };
    operations.push(put(pullsKey(name, digest), pulls, JSON.stringify(sum)));
  }
  return operations;
}

/** Of two that set a tag at once one reads again: the last one wins by its own choice, not by accident. */
function put(key: string, item: MetaItem | undefined, value: string): MetaOperation {
  const condition = item === undefined ? ({ ifAbsent: true } as const) : { ifEtag: item.etag };
  return { kind: "put", key, value: Buffer.from(value), condition };
}

async function storeBytes(core: Core, push: Pushed, context: RequestContext): Promise<void> {
  const key = blobKey(push.digest);
  const { blobs } = core.stores;
  try {
    if (push.bytes.length <= limits.putBytes) {
      await blobs.put(key, push.bytes, { digest: push.digest, condition: { ifAbsent: true } }, context);
      return;
    }
    await blobs.append(
      {
        uploadId: randomUUID(),
        create: true,
        algorithm: algorithmOf(push.digest),
        offsetBytes: 0,
        body: chunks(push.bytes),
        key,
        sizeBytes: push.bytes.length,
        commit: { key, digest: push.digest, sizeBytes: push.bytes.length },
      },
      context,
    );
  } catch (error) {
    if (!hasReason(error, "KEY_EXISTS")) throw error;
  }
}

async function* chunks(bytes: Buffer): AsyncIterable<Buffer> {
  for (let at = 0; at < bytes.length; at += limits.preferredChunkBytes) {
    yield bytes.subarray(at, at + limits.preferredChunkBytes);
  }
}

/** Of a record that is mended: who pushed it first, and when. */
function pushedBefore(image: MetaItem | undefined): PushedBy {
  return pushedOf((image && decodeRecord(image.value)) ?? {});
}
