/**
 * Deletes (OCI distribution spec 1.1, "Deleting tags/manifests/blobs"), in an order that leaves less to delete after a
 * crash, never a tag to nothing or a manifest without its layers: tags, then the revision, the catalog key last.
 */
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import { RegistryError } from "../errors.ts";
import type { RequestContext } from "./contract.ts";
import { assertDigestText, type Core, loadManifest } from "./core.ts";
import { beginTaking, endTaking } from "./guard.ts";
import {
  catalogKey,
  imageKey,
  layerLink,
  layersPrefix,
  parseLink,
  pullsKey,
  referrersKey,
  refsKey,
  revisionLink,
  revisionsPrefix,
  searchTagKey,
  tagHistoryLink,
  tagHistoryPrefix,
  tagKey,
  tagLink,
  tagLinksPrefix,
} from "./keys.ts";
import { WRITE_OPERATIONS } from "./ledger.ts";
import { assertName, isTag } from "./names.ts";
import { untilNotRaced } from "./races.ts";

/** Manifests read at once while looking who refers to a blob. */
const READS_AT_ONCE = 8;

/** A Get, a List of the tag's history, a Write. */
export async function deleteTag(core: Core, name: string, tag: string, context: RequestContext): Promise<boolean> {
  assertName(name);
  if (!isTag(tag)) return false;
  return untilNotRaced(core, context.signal, async () => {
    const basis = core.ledger.basis();
    const [link, derived] = await core.ledger.get([tagLink(name, tag), tagKey(name, tag)], context);
    if (link === undefined) return false;
    await takeTag(core, name, tag, link, derived, context, basis);
    // A tag to nothing, in a root of distribution, was not there for anybody who asked.
    return derived !== undefined;
  });
}

/** Nothing depends on a tag, so its own etag is all that has to hold. */
async function takeTag(
  core: Core,
  name: string,
  tag: string,
  link: MetaItem,
  derived: MetaItem | undefined,
  context: RequestContext,
  basis: string,
): Promise<void> {
  const last: MetaOperation[] = [
    { kind: "delete", key: link.key, condition: { ifEtag: link.etag } },
    ...(derived === undefined
      ? []
      : [{ kind: "delete", key: derived.key, condition: { ifEtag: derived.etag } } as const]),
    // It changes with the link alone, whose etag is checked.
    { kind: "delete", key: searchTagKey(name, tag) },
  ];
  // Its history goes first where it does not fit: distribution would take what is left of it for a tag.
  const current = tagHistoryLink(name, tag, link.value.toString("utf8"));
  const listed = await listAll(core, tagHistoryPrefix(name, tag), context);
  const history = [...listed.filter(({ key }) => key !== current), ...listed.filter(({ key }) => key === current)];
  const room = WRITE_OPERATIONS - last.length;
  while (history.length > room) {
    const some = history.splice(0, WRITE_OPERATIONS - 1);
    await core.ledger.write(
      [{ kind: "check", key: link.key, condition: { ifEtag: link.etag } }, ...some.map(deletion)],
      context,
      basis,
    );
  }
  await core.ledger.write([...last, ...history.map(deletion)], context, basis);
}

export async function deleteManifest(
  core: Core,
  name: string,
  digest: string,
  context: RequestContext,
): Promise<boolean> {
  assertName(name);
  assertDigestText(digest);
  return untilNotRaced(core, context.signal, async () => {
    const basis = core.ledger.basis();
    const [guard, revision, refs, layer] = await core.ledger.get(
      [catalogKey(name), revisionLink(name, digest), refsKey(digest, name), layerLink(name, digest)],
      context,
    );
    if (revision === undefined) return false;
    const [taking = ""] = await core.ledger.write([beginTaking(name, guard)], context, basis);
    for (const tag of await tagsOf(core, name, digest, context)) {
      const [link, derived] = await core.ledger.get([tagLink(name, tag), tagKey(name, tag)], context);
      // Moved to another manifest since it was listed: the guard's etag has changed with it.
      if (link?.value.toString("utf8") === digest) await takeTag(core, name, tag, link, derived, context, basis);
    }
    const subject = (await loadManifest(core, digest, context))?.manifest.subject;
    const emptied = layer === undefined && (await isOnlyRevision(core, name, digest, context));
    await core.ledger.write(
      [
        { kind: "delete", key: revision.key, condition: { ifEtag: revision.etag } },
        ...withoutRefs(refs, layer, layerLink(name, digest)),
        ...(subject === undefined ? [] : [{ kind: "delete", key: referrersKey(name, subject, digest) } as const]),
        { kind: "delete", key: imageKey(name, digest) },
        { kind: "delete", key: pullsKey(name, digest) },
        endTaking(name, taking, emptied),
      ],
      context,
      basis,
    );
    return true;
  });
}

export async function deleteBlob(core: Core, name: string, digest: string, context: RequestContext): Promise<boolean> {
  assertName(name);
  assertDigestText(digest);
  // The usual refusal costs the pushes beside it nothing: the guard is touched only if the answer may be yes.
  const [first] = await core.ledger.get([layerLink(name, digest)], context);
  if (first === undefined) return false;
  await assertNotMentioned(core, name, digest, context);
  return untilNotRaced(core, context.signal, async () => {
    const basis = core.ledger.basis();
    const [guard, link, refs, revision] = await core.ledger.get(
      [catalogKey(name), layerLink(name, digest), refsKey(digest, name), revisionLink(name, digest)],
      context,
    );
    if (link === undefined) return false;
    const [taking = ""] = await core.ledger.write([beginTaking(name, guard)], context, basis);
    await assertNotMentioned(core, name, digest, context);
    const emptied = revision === undefined && (await isOnlyLayer(core, name, digest, context));
    await core.ledger.write(
      [
        { kind: "delete", key: link.key, condition: { ifEtag: link.etag } },
        ...withoutRefs(refs, revision, revisionLink(name, digest)),
        endTaking(name, taking, emptied),
      ],
      context,
      basis,
    );
    return true;
  });
}

/** The `refs/` key goes with the last of the two links that need it. */
function withoutRefs(refs: MetaItem | undefined, other: MetaItem | undefined, otherKey: string): MetaOperation[] {
  if (other !== undefined || refs === undefined) return [];
  return [
    { kind: "check", key: otherKey, condition: { ifAbsent: true } },
    { kind: "delete", key: refs.key, condition: { ifEtag: refs.etag } },
  ];
}

/** @throws DENIED (405) while a manifest of the repository refers to the blob */
async function assertNotMentioned(core: Core, name: string, digest: string, context: RequestContext): Promise<void> {
  for await (const page of core.ledger.pages(revisionsPrefix(name), context)) {
    for (let at = 0; at < page.length; at += READS_AT_ONCE) {
      await Promise.all(
        page.slice(at, at + READS_AT_ONCE).map(async ({ key }) => {
          const link = parseLink(key);
          if (link?.kind !== "revision") return;
          const loaded = await loadManifest(core, link.digest, context);
          if (!loaded?.manifest.mentions.has(digest)) return;
          throw new RegistryError("DENIED", "a manifest of this repository refers to the blob: delete that first", {
            status: 405,
            detail: { manifest: link.digest },
          });
        }),
      );
    }
  }
}

async function isOnlyRevision(core: Core, name: string, digest: string, context: RequestContext): Promise<boolean> {
  const revisions = await core.ledger.list({ prefix: revisionsPrefix(name), limit: 2 }, context);
  if (revisions.more || revisions.items.some(({ key }) => key !== revisionLink(name, digest))) return false;
  return (await core.ledger.list({ prefix: layersPrefix(name), limit: 1 }, context)).items.length === 0;
}

async function isOnlyLayer(core: Core, name: string, digest: string, context: RequestContext): Promise<boolean> {
  const layers = await core.ledger.list({ prefix: layersPrefix(name), limit: 2 }, context);
  if (layers.more || layers.items.some(({ key }) => key !== layerLink(name, digest))) return false;
  return (await core.ledger.list({ prefix: revisionsPrefix(name), limit: 1 }, context)).items.length === 0;
}

/** From the facts: a tag that the index lacks must not stay behind without its manifest. */
async function tagsOf(core: Core, name: string, digest: string, context: RequestContext): Promise<string[]> {
  const tags: string[] = [];
  for await (const { key, value } of core.ledger.each(tagLinksPrefix(name), context)) {
    const link = parseLink(key);
    if (link?.kind === "tag" && value.toString("utf8") === digest) tags.push(link.tag);
  }
  return tags;
}

async function listAll(core: Core, prefix: string, context: RequestContext): Promise<MetaItem[]> {
  const items: MetaItem[] = [];
  for await (const item of core.ledger.each(prefix, context)) items.push(item);
  return items;
}

function deletion(item: MetaItem): MetaOperation {
  return { kind: "delete", key: item.key, condition: { ifEtag: item.etag } };
}
