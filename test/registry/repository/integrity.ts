/** What must hold of the stored data at every moment, whoever has crashed: checked from the facts alone. */

import * as keys from "../../../registry/repository/keys.ts";
import {
  parseCatalogKey,
  parseLink,
  parseReferrersKey,
  parseRefsKey,
  parseSearchKey,
  parseTagKey,
} from "../../../registry/repository/keys.ts";
import { readManifest } from "../../../registry/repository/manifest.ts";
import { decodePulls, decodeRecord, decodeTagRecord } from "../../../registry/search/record.ts";
import type { FakeBackend } from "../../helpers/fake-stores.ts";

/** @returns what is wrong; a crash may leave an empty repository in the catalog */
export function brokenRules(backend: FakeBackend, allow: { readonly emptyRepositories?: boolean } = {}): string[] {
  const broken: string[] = [];
  const meta = backend.metaText();
  const occupied = new Set<string>();
  const hasBytes = (digest: string) => backend.blobs.has(keys.blobKey(digest));
  const must = (holds: boolean, what: string) => {
    if (!holds) broken.push(what);
  };
  for (const [key, value] of meta) {
    const link = parseLink(key);
    if (link !== undefined) {
      occupied.add(link.name);
      must(meta.has(keys.catalogKey(link.name)), `${key}: not in the catalog`);
      if (link.kind === "layer" || link.kind === "revision") {
        must(value === link.digest, `${key}: holds ${value}`);
        must(hasBytes(link.digest), `${key}: no bytes`);
        must(meta.has(keys.refsKey(link.digest, link.name)), `${key}: no refs`);
        must(!meta.has(keys.condemnedKey(link.digest)) || isCandidate(meta, link.digest), `${key}: condemned`);
      }
      if (link.kind === "tag") {
        must(meta.has(keys.revisionLink(link.name, value)), `${key}: names ${value}, which is not there`);
        must(meta.get(keys.tagKey(link.name, link.tag)) === value, `${key}: no derived key`);
        must(meta.has(keys.tagHistoryLink(link.name, link.tag, value)), `${key}: not in its history`);
        must(meta.has(keys.searchTagKey(link.name, link.tag)), `${key}: search does not know it`);
      }
      if (link.kind === "history") must(meta.has(keys.tagLink(link.name, link.tag)), `${key}: of no tag`);
      if (link.kind === "revision") {
        must(meta.has(keys.imageKey(link.name, link.digest)), `${key}: search does not know it`);
      }
      const bytes = link.kind === "revision" ? backend.blobs.get(keys.blobKey(link.digest))?.bytes : undefined;
      if (link.kind === "revision" && bytes !== undefined) {
        const { blobs, subject } = readManifest(bytes);
        for (const blob of blobs) must(meta.has(keys.layerLink(link.name, blob)), `${key}: ${blob} is not linked`);
        if (subject !== undefined) {
          must(meta.has(keys.referrersKey(link.name, subject, link.digest)), `${key}: not a referrer`);
        }
      }
      continue;
    }
    const tag = parseTagKey(key);
    if (tag !== undefined) must(meta.get(keys.tagLink(tag.name, tag.tag)) === value, `${key}: no such tag`);
    const searched = parseSearchKey(key);
    if (searched?.kind === "tag") {
      const names = decodeTagRecord(Buffer.from(value))?.digest;
      must(meta.get(keys.tagLink(searched.name, searched.tag)) === names, `${key}: no such tag`);
    } else if (searched?.kind === "image" || searched?.kind === "pulls") {
      const decode = searched.kind === "image" ? decodeRecord : decodePulls;
      must(decode(Buffer.from(value)) !== undefined, `${key}: holds ${value}`);
      must(meta.has(keys.revisionLink(searched.name, searched.digest)), `${key}: no such revision`);
    }
    const refs = parseRefsKey(key);
    if (refs !== undefined) {
      const { name, digest } = refs;
      must(meta.has(keys.layerLink(name, digest)) || meta.has(keys.revisionLink(name, digest)), `${key}: no link`);
    }
    const referrer = parseReferrersKey(key);
    if (referrer !== undefined) {
      must(meta.has(keys.revisionLink(referrer.name, referrer.digest)), `${key}: no such revision`);
    }
  }
  for (const key of meta.keys()) {
    if (allow.emptyRepositories || !key.startsWith(keys.catalogPrefix)) continue;
    must(occupied.has(parseCatalogKey(key) ?? ""), `${key}: an empty repository`);
  }
  return broken;
}

function isCandidate(meta: ReadonlyMap<string, string>, digest: string): boolean {
  return JSON.parse(meta.get(keys.condemnedKey(digest)) ?? "{}").state === "candidate";
}
