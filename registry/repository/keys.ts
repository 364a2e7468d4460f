/**
 * Every key that the registry keeps (architecture.md, "What the registry keeps, and where"). Facts lie under the names
 * that distribution uses on disk; everything derived lies under `outrigger/`.
 */
import { createHash } from "node:crypto";
import { isDigest } from "../../proto/keys.ts";
import { escapeName, isName, isTag, unescapeName } from "./names.ts";

const ROOT = "docker/registry/v2";

/** Prefix of all bytes under a digest, in the blob store. */
export const blobsPrefix = `${ROOT}/blobs/`;
/** Prefix of all link facts. */
export const repositoriesPrefix = `${ROOT}/repositories/`;
export const catalogPrefix = "outrigger/catalog/";
export const allTagsPrefix = "outrigger/tags/";
export const allRefsPrefix = "outrigger/refs/";
export const allReferrersPrefix = "outrigger/referrers/";
/** What search and listings tell (registry/search/), derived from facts but for counts of pulls. */
export const searchPrefix = "outrigger/search/";
export const allImagesPrefix = `${searchPrefix}images/`;
export const allSearchTagsPrefix = `${searchPrefix}tags/`;
export const allPullsPrefix = `${searchPrefix}pulls/`;
export const allStarsPrefix = `${searchPrefix}stars/`;
/** Which keys of search were changed of late (registry/search/changes.ts). */
export const changesPrefix = `${searchPrefix}changes/`;
/** What people have chosen: facts. */
export const preferencesPrefix = "outrigger/prefs/";
export const cancelledPrefix = "outrigger/cancelled/";
export const leaseHolderKey = "outrigger/lease/holder";
export const leaseBeatKey = "outrigger/lease/beat";
export const indexMarkerKey = "outrigger/index/marker";
export const locationSecretKey = "outrigger/secrets/location";
export const condemnedPrefix = "outrigger/condemned/";
/** Repositories that this member of a cluster has taken over from another one (handover.ts). */
export const handoversPrefix = "outrigger/handovers/";
/** Which list of members the cores of this member go by (member-list.ts). */
export const memberListKey = "outrigger/members/list";
/** Who copies into this store now (transfer/turn.ts), and the sign of life of that. */
export const copyHolderKey = "outrigger/copy/holder";
export const copyBeatKey = "outrigger/copy/beat";
/** Value: the id of the meta store that this one is a copy of. */
export const copySourceKey = "outrigger/copy/source";

// Facts.

/** In the blob store; all others are in the meta store. */
export function blobKey(digest: string): string {
  const path = digestPath(digest);
  const slash = path.indexOf("/");
  return `${ROOT}/blobs/${path.slice(0, slash)}/${path.slice(slash + 1, slash + 3)}${path.slice(slash)}/data`;
}

export function layersPrefix(name: string): string {
  return `${repositoriesPrefix}${name}/_layers/`;
}

export function layerLink(name: string, digest: string): string {
  return `${layersPrefix(name)}${digestPath(digest)}/link`;
}

export function revisionsPrefix(name: string): string {
  return `${repositoriesPrefix}${name}/_manifests/revisions/`;
}

export function revisionLink(name: string, digest: string): string {
  return `${revisionsPrefix(name)}${digestPath(digest)}/link`;
}

export function tagLinksPrefix(name: string): string {
  return `${repositoriesPrefix}${name}/_manifests/tags/`;
}

export function tagLink(name: string, tag: string): string {
  return `${tagLinksPrefix(name)}${tag}/current/link`;
}

export function tagHistoryPrefix(name: string, tag: string): string {
  return `${tagLinksPrefix(name)}${tag}/index/`;
}

export function tagHistoryLink(name: string, tag: string, digest: string): string {
  return `${tagHistoryPrefix(name, tag)}${digestPath(digest)}/link`;
}

// Derived.

/** `_` cannot begin a component of a name, so no repository's tags lie among another's. */
export function tagsPrefix(name: string): string {
  return `${allTagsPrefix}${name}/_/`;
}

/** Value: the digest, as in the link. */
export function tagKey(name: string, tag: string): string {
  return `${tagsPrefix(name)}${tag}`;
}

/** Also the repository's guard (guard.ts). */
export function catalogKey(name: string): string {
  return `${catalogPrefix}${escapeName(name)}`;
}

export function refsPrefix(digest: string): string {
  return `${allRefsPrefix}${digestPath(digest)}/`;
}

/** There while the repository has the digest as a layer or as a manifest. */
export function refsKey(digest: string, name: string): string {
  return `${refsPrefix(digest)}${escapeName(name)}`;
}

export function referrersPrefix(name: string, subject: string): string {
  return `${allReferrersPrefix}${name}/_/${digestPath(subject)}/`;
}

/** Value: the referrer's descriptor (referrers.ts). */
export function referrersKey(name: string, subject: string, digest: string): string {
  return `${referrersPrefix(name, subject)}${digestPath(digest)}`;
}

/** Value: what is told of the revision (registry/search/record.ts). */
export function imageKey(name: string, digest: string): string {
  return `${allImagesPrefix}${name}/_/${digestPath(digest)}`;
}

/** Value: the digest, and since when (registry/search/record.ts). */
export function searchTagKey(name: string, tag: string): string {
  return `${allSearchTagsPrefix}${name}/_/${tag}`;
}

/** Value: how often the revision was pulled, and when last (registry/search/pulls.ts). */
export function pullsKey(name: string, digest: string): string {
  return `${allPullsPrefix}${name}/_/${digestPath(digest)}`;
}

/** There while the user's preference is (preferenceKey). */
export function starKey(name: string, user: string): string {
  return `${allStarsPrefix}${escapeName(name)}/${userPart(user)}`;
}

export function preferencesOf(user: string, what: "star" | "bookmark"): string {
  return `${preferencesPrefix}${userPart(user)}/${what}/`;
}

export function preferenceKey(user: string, what: "star" | "bookmark", name: string): string {
  return `${preferencesOf(user, what)}${escapeName(name)}`;
}

/** One component of a key. Of a name too long for that its hash, behind a colon: which no name of a user has (RFC 7617). */
function userPart(user: string): string {
  const hex = Buffer.from(user).toString("hex");
  if (hex.length <= 255) return hex;
  return Buffer.from(`sha256:${createHash("sha256").update(user).digest("hex")}`).toString("hex");
}

// Others of the registry's own.

export function condemnedKey(digest: string): string {
  return `${condemnedPrefix}${digestPath(digest)}`;
}

export function cancelledKey(uploadId: string): string {
  return `${cancelledPrefix}${uploadId}`;
}

/** @param handover 16 hex digits */
export function handoverKey(handover: string, name: string): string {
  return `${handoversPrefix}${handover}/${escapeName(name)}`;
}

export function parseHandoverKey(key: string): { readonly handover: string; readonly name: string } | undefined {
  const [, handover, component = ""] = /^outrigger\/handovers\/([0-9a-f]{16})\/([^/]+)$/.exec(key) ?? [];
  const name = unescapeName(component);
  return handover === undefined || name === undefined || !isName(name) ? undefined : { handover, name };
}

/** `<alg>:<hex>` as `<alg>/<hex>`. */
export function digestPath(digest: string): string {
  return digest.replace(":", "/");
}

/** `undefined`: not the path of a digest. */
export function digestOf(path: string): string | undefined {
  const digest = path.replace("/", ":");
  return isDigest(digest) ? digest : undefined;
}

// What a key says.

export type Link =
  | { readonly kind: "layer" | "revision"; readonly name: string; readonly digest: string }
  | { readonly kind: "tag"; readonly name: string; readonly tag: string }
  | { readonly kind: "history"; readonly name: string; readonly tag: string; readonly digest: string };

const LINK =
  /^(.+?)\/_(?:(layers)\/([^/]+\/[^/]+)|manifests\/(revisions)\/([^/]+\/[^/]+)|manifests\/tags\/([^/]+)\/(?:(current)|index\/([^/]+\/[^/]+)))\/link$/;

/** `undefined`: not a link that this registry knows, or one of a malformed name, tag or digest. */
export function parseLink(key: string): Link | undefined {
  if (!key.startsWith(repositoriesPrefix)) return undefined;
  const match = LINK.exec(key.slice(repositoriesPrefix.length));
  const name = match?.[1];
  if (match === null || name === undefined || !isName(name)) return undefined;
  const tag = match[6];
  if (tag !== undefined) {
    if (!isTag(tag)) return undefined;
    if (match[7] !== undefined) return { kind: "tag", name, tag };
    const digest = digestOf(match[8] ?? "");
    return digest === undefined ? undefined : { kind: "history", name, tag, digest };
  }
  const digest = digestOf(match[3] ?? match[5] ?? "");
  return digest === undefined ? undefined : { kind: match[2] === undefined ? "revision" : "layer", name, digest };
}

/** The digest whose bytes belong under a blob store's key; `undefined`: the key is not a digest's. */
export function parseBlobKey(key: string): string | undefined {
  const [, algorithm, hex] = /^docker\/registry\/v2\/blobs\/([^/]+)\/[^/]+\/([^/]+)\/data$/.exec(key) ?? [];
  const digest = digestOf(`${algorithm}/${hex}`);
  return digest !== undefined && blobKey(digest) === key ? digest : undefined;
}

export function parseTagKey(key: string): { readonly name: string; readonly tag: string } | undefined {
  const match = /^outrigger\/tags\/(.+)\/_\/([^/]+)$/.exec(key);
  const [, name, tag] = match ?? [];
  return name !== undefined && tag !== undefined && isName(name) && isTag(tag) ? { name, tag } : undefined;
}

export function parseCatalogKey(key: string): string | undefined {
  const name = unescapeName(key.slice(catalogPrefix.length));
  return name !== undefined && isName(name) ? name : undefined;
}

export function parseRefsKey(key: string): { readonly digest: string; readonly name: string } | undefined {
  const match = /^outrigger\/refs\/([^/]+\/[^/]+)\/([^/]+)$/.exec(key);
  const digest = digestOf(match?.[1] ?? "");
  const name = unescapeName(match?.[2] ?? "");
  return digest !== undefined && name !== undefined && isName(name) ? { digest, name } : undefined;
}

export function parseReferrersKey(
  key: string,
): { readonly name: string; readonly subject: string; readonly digest: string } | undefined {
  const match = /^outrigger\/referrers\/(.+)\/_\/([^/]+\/[^/]+)\/([^/]+\/[^/]+)$/.exec(key);
  const name = match?.[1];
  const subject = digestOf(match?.[2] ?? "");
  const digest = digestOf(match?.[3] ?? "");
  return name !== undefined && isName(name) && subject !== undefined && digest !== undefined
    ? { name, subject, digest }
    : undefined;
}

/** What a key of search is about; `undefined`: malformed, one of its changes, or of a newer release. */
export type SearchKey =
  | { readonly kind: "image" | "pulls"; readonly name: string; readonly digest: string }
  | { readonly kind: "tag"; readonly name: string; readonly tag: string }
  /** `user`: the component that stands for who starred it. */
  | { readonly kind: "star"; readonly name: string; readonly user: string };

export function parseSearchKey(key: string): SearchKey | undefined {
  const prefix = [allImagesPrefix, allSearchTagsPrefix, allPullsPrefix].find((one) => key.startsWith(one));
  if (prefix === undefined) return parseStarKey(key);
  const at = key.indexOf("/_/", prefix.length);
  const name = key.slice(prefix.length, at);
  const rest = key.slice(at + 3);
  if (at < 0 || !isName(name)) return undefined;
  if (prefix === allSearchTagsPrefix) return isTag(rest) ? { kind: "tag", name, tag: rest } : undefined;
  const digest = digestOf(rest);
  return digest === undefined ? undefined : { kind: prefix === allImagesPrefix ? "image" : "pulls", name, digest };
}

const USER = "(?:[0-9a-f]{2})+";
const STAR = new RegExp(`^outrigger/search/stars/([^/]+)/(${USER})$`);
const USER_PART = new RegExp(`^${USER}$`);
const PREFERENCE = new RegExp(`^outrigger/prefs/(${USER})/(star|bookmark)/([^/]+)$`);
const STAR_PREFERENCE = new RegExp(`^outrigger/prefs/(${USER})/star/([^/]+)$`);

function parseStarKey(key: string): SearchKey | undefined {
  const [, escaped = "", user = ""] = STAR.exec(key) ?? [];
  const name = unescapeName(escaped);
  return name !== undefined && isName(name) ? { kind: "star", name, user } : undefined;
}

export interface Preferred {
  /** The component of a key that stands for who it is. */
  readonly user: string;
  readonly what: "star" | "bookmark";
  readonly name: string;
}

export function keyOfPreference({ user, what, name }: Preferred): string {
  return `${preferencesPrefix}${user}/${what}/${escapeName(name)}`;
}

/** Hex, as userPart makes it. */
export function isUserPart(text: unknown): text is string {
  return typeof text === "string" && USER_PART.test(text);
}

export function parsePreferenceKey(key: string): Preferred | undefined {
  const [, user, what, escaped = ""] = PREFERENCE.exec(key) ?? [];
  const name = unescapeName(escaped);
  if (user === undefined || name === undefined || !isName(name)) return undefined;
  return { user, what: what === "star" ? "star" : "bookmark", name };
}

/** The preference that a star's key follows from. */
export function preferenceOfStar(key: string): string {
  const [, escaped = "", user = ""] = STAR.exec(key) ?? [];
  return `${preferencesPrefix}${user}/star/${escaped}`;
}

/** Of a preference's key: the star that follows from it; `undefined`: none does. */
export function starOfPreference(key: string): string | undefined {
  const [, user, escaped = ""] = STAR_PREFERENCE.exec(key) ?? [];
  const name = unescapeName(escaped);
  return user !== undefined && name !== undefined && isName(name) ? `${allStarsPrefix}${escaped}/${user}` : undefined;
}
