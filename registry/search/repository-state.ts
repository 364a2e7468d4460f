/** One repository in the view: small lists in order, since most repositories are small and all are many. */
import { bytewise } from "../../proto/keys.ts";
import type { RepositoryView, TagView } from "./contract.ts";
import { type Contents, flat, ImageState } from "./images.ts";
import type { ImageRecord, PullsRecord, TagRecord } from "./record.ts";
import { placeOf } from "./sorted.ts";

/**
 * Tags that clients make beside an image rather than for people: cosign's signatures, attestations and SBOMs, and the
 * referrers of registries that lack the API (OCI distribution spec 1.1, "Referrers Tag Schema").
 */
const BESIDE = /^sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64,})(?:\.(?:sig|att|sbom))?$/;

interface TagState extends TagView {
  digest: string;
  taggedMs: number;
}

/** What the lists of all repositories are ordered by, as they have it now; `undefined`: it is not in them. */
export interface Listed {
  readonly updatedMs: number;
  readonly downloads: number;
  readonly tagCount: number;
}

export class RepositoryState implements RepositoryView {
  readonly name: string;
  listed: Listed | undefined;
  updatedMs = 0;
  downloads = 0;
  readonly #contents: Contents;
  #tags: TagState[] = [];
  #beside: TagState[] | undefined;
  #images: ImageState[] = [];
  /** By subject. */
  #referrers: Map<string, string[]> | undefined;
  /** Users, in hex. */
  #stars: Set<string> | undefined;

  constructor(name: string, contents: Contents) {
    this.name = flat(name);
    this.#contents = contents;
  }

  get tagCount(): number {
    return this.#tags.length;
  }

  get stars(): number {
    return this.#stars?.size ?? 0;
  }

  get isEmpty(): boolean {
    return this.#tags.length + this.#images.length + (this.#beside?.length ?? 0) + this.stars === 0;
  }

  tags(): Iterable<TagView> {
    return this.#tags;
  }

  tag(tag: string): TagView | undefined {
    return find(this.#tags, tag);
  }

  image(digest: string): ImageState | undefined {
    const found = this.#images[this.#placeOfImage(digest)];
    return found?.digest === digest && found.content !== undefined ? found : undefined;
  }

  referrers(digest: string): readonly string[] {
    return this.#referrers?.get(digest) ?? [];
  }

  isSigned(digest: string): boolean {
    if (this.#beside !== undefined && find(this.#beside, `${digest.replace(":", "-")}.sig`) !== undefined) return true;
    return this.referrers(digest).some((referrer) => this.image(referrer)?.content?.isSignature === true);
  }

  setTag(tag: string, record: TagRecord | undefined): void {
    if (BESIDE.test(tag)) {
      this.#beside ??= [];
      this.#set(this.#beside, tag, record);
      if (this.#beside.length === 0) this.#beside = undefined;
    } else {
      this.#set(this.#tags, tag, record);
    }
  }

  #set(tags: TagState[], tag: string, record: TagRecord | undefined): void {
    const at = placeOf(tags, (one) => bytewise(one.tag, tag));
    const held = tags[at]?.tag === tag ? tags[at] : undefined;
    if (record === undefined) {
      if (held !== undefined) tags.splice(at, 1);
      return;
    }
    const digest = this.#contents.digestText(record.digest);
    const taggedMs = record.taggedMs ?? 0;
    if (held === undefined) tags.splice(at, 0, { tag: this.#contents.textOf(tag), digest, taggedMs });
    else Object.assign(held, { digest, taggedMs });
  }

  setImage(digest: string, record: ImageRecord | undefined): void {
    const image = this.#imageOf(digest, record !== undefined);
    if (image === undefined) return;
    const before = image.content;
    if (before?.subject !== undefined) this.#unrefer(before.subject, image.digest);
    image.pushedMs = record?.pushedMs ?? 0;
    image.content = record === undefined ? undefined : this.#contents.hold(image.digest, record, this);
    if (record === undefined && before !== undefined) this.#contents.release(before, this);
    if (image.content?.subject !== undefined) this.#refer(image.content.subject, image.digest);
    this.#dropIfGone(image);
  }

  setPulls(digest: string, record: PullsRecord | undefined): void {
    const image = this.#imageOf(digest, record !== undefined);
    if (image === undefined) return;
    image.downloads = record?.count ?? 0;
    image.lastPullMs = record?.lastMs ?? 0;
    this.#dropIfGone(image);
  }

  setStar(user: string, isThere: boolean): void {
    if (isThere) {
      this.#stars ??= new Set();
      this.#stars.add(user);
    } else if (this.#stars?.delete(user) && this.#stars.size === 0) {
      this.#stars = undefined;
    }
  }

  /** What is told of it as a whole, after any of the above. */
  sumUp(): void {
    // Without the room that a list which grows has to spare: of most it would be the larger part.
    this.#tags = this.#tags.slice();
    this.#images = this.#images.slice();
    this.updatedMs = this.#tags.reduce((newest, { taggedMs }) => Math.max(newest, taggedMs), 0);
    this.downloads = this.#images.reduce((sum, { content, downloads }) => sum + (content ? downloads : 0), 0);
  }

  #placeOfImage(digest: string): number {
    return placeOf(this.#images, (one) => bytewise(one.digest, digest));
  }

  #imageOf(digest: string, mayAdd: boolean): ImageState | undefined {
    const at = this.#placeOfImage(digest);
    const held = this.#images[at];
    if (held?.digest === digest) return held;
    if (!mayAdd) return undefined;
    const image = new ImageState(this, this.#contents.digestText(digest));
    this.#images.splice(at, 0, image);
    return image;
  }

  /** Neither its record nor its pulls are there. */
  #dropIfGone(image: ImageState): void {
    if (image.content === undefined && image.downloads === 0) {
      this.#images.splice(this.#placeOfImage(image.digest), 1);
    }
  }

  #refer(subject: string, digest: string): void {
    this.#referrers ??= new Map();
    const digests = this.#referrers.get(subject) ?? [];
    digests.splice(
      placeOf(digests, (one) => bytewise(one, digest)),
      0,
      digest,
    );
    this.#referrers.set(subject, digests);
  }

  #unrefer(subject: string, digest: string): void {
    const digests = this.#referrers?.get(subject) ?? [];
    const at = digests.indexOf(digest);
    if (at >= 0) digests.splice(at, 1);
    if (digests.length === 0) this.#referrers?.delete(subject);
    if (this.#referrers?.size === 0) this.#referrers = undefined;
  }
}

function find(tags: readonly TagState[], tag: string): TagState | undefined {
  const found = tags[placeOf(tags, (one) => bytewise(one.tag, tag))];
  return found?.tag === tag ? found : undefined;
}
