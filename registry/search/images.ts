/** What the view keeps of images in memory: of each digest once, and of each repository that has it. */
import type { ImageView, Platform } from "./contract.ts";
import type { ImageRecord } from "./record.ts";
import type { RepositoryState } from "./repository-state.ts";

/** What follows from the bytes: the same in every repository. */
export interface Content {
  readonly digest: string;
  mediaType: string;
  sizeBytes: number;
  artifactType: string | undefined;
  subject: string | undefined;
  createdMs: number;
  /** Its own; of an index, what it states of each child. */
  platforms: readonly Platform[];
  children: readonly string[];
  /** It signs its subject (cosign, notation). */
  isSignature: boolean;
  /** Those that have it as a manifest. */
  readonly holders: RepositoryState[];
}

/** Indexes within indexes are followed so far. */
const MOST_DEEP = 4;
const NO_PLATFORMS: readonly Platform[] = [];
const NO_CHILDREN: readonly string[] = [];

const SIGNATURES: ReadonlySet<string> = new Set([
  "application/vnd.cncf.notary.signature",
  "application/vnd.dev.cosign.artifact.sig.v1+json",
]);
/** Cosign 3 signs with bundles, which may also hold other statements. */
const BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle/;
const SIGNING = "https://sigstore.dev/cosign/sign/v1";

function isSignature({ artifactType = "", config, annotations = {} }: ImageRecord): boolean {
  if (SIGNATURES.has(artifactType) || SIGNATURES.has(config?.mediaType ?? "")) return true;
  if (!BUNDLE.test(artifactType)) return false;
  return (
    annotations["dev.sigstore.bundle.content"] === "message-signature" ||
    annotations["dev.sigstore.bundle.predicateType"] === SIGNING
  );
}

/** All contents, with what they have in common kept once. */
export class Contents {
  readonly #byDigest = new Map<string, Content>();
  readonly #texts = new Map<string, string>();
  readonly #platforms = new Map<string, readonly Platform[]>();

  get(digest: string): Content | undefined {
    return this.#byDigest.get(digest);
  }

  /** The digest as a text that is kept once. */
  textOf(digest: string): string {
    return this.#byDigest.get(digest)?.digest ?? flat(digest);
  }

  /** @param digest a text of its own */
  hold(digest: string, record: ImageRecord, holder: RepositoryState): Content {
    let content = this.#byDigest.get(digest);
    if (content === undefined) {
      content = { ...this.#described(record), digest, holders: [] };
      this.#byDigest.set(digest, content);
    } else {
      Object.assign(content, this.#described(record));
    }
    if (!content.holders.includes(holder)) content.holders.push(holder);
    return content;
  }

  release(content: Content, holder: RepositoryState): void {
    const at = content.holders.indexOf(holder);
    if (at >= 0) content.holders.splice(at, 1);
    if (content.holders.length === 0) this.#byDigest.delete(content.digest);
  }

  #described(record: ImageRecord): Omit<Content, "digest" | "holders"> {
    const { subject, image, manifests } = record;
    return {
      mediaType: this.#text(record.mediaType),
      sizeBytes: record.sizeBytes,
      artifactType: record.artifactType === undefined ? undefined : this.#text(record.artifactType),
      subject: subject === undefined ? undefined : this.textOf(subject),
      createdMs: (image?.created && Date.parse(image.created)) || 0,
      platforms: this.#platformsOf(manifests ?? (image === undefined ? [] : [image])),
      children: manifests === undefined ? NO_CHILDREN : manifests.map(({ digest }) => this.textOf(digest)),
      isSignature: isSignature(record),
    };
  }

  #platformsOf(
    all: readonly { readonly os?: string; readonly arch?: string; readonly variant?: string }[],
  ): readonly Platform[] {
    const platforms = all.map(({ os = "", arch = "", variant }) => platformOf(os, arch, variant));
    if (platforms.length === 0) return NO_PLATFORMS;
    const name = platforms.map(nameOf).join(" ");
    const known = this.#platforms.get(name);
    if (known !== undefined) return known;
    this.#platforms.set(name, platforms);
    return platforms;
  }

  #text(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size < 1000) this.#texts.set(text, text);
    return text;
  }
}

export class ImageState implements ImageView {
  readonly digest: string;
  readonly repository: RepositoryState;
  /** `undefined`: its record has not come, or has gone; nobody sees it then. */
  content: Content | undefined;
  pushedMs = 0;
  downloads = 0;
  lastPullMs = 0;

  constructor(repository: RepositoryState, digest: string) {
    this.repository = repository;
    this.digest = digest;
  }

  get mediaType(): string {
    return this.content?.mediaType ?? "";
  }

  get sizeBytes(): number {
    return this.content?.sizeBytes ?? 0;
  }

  get artifactType(): string | undefined {
    return this.content?.artifactType;
  }

  get subject(): string | undefined {
    return this.content?.subject;
  }

  get children(): readonly string[] {
    return this.content?.children ?? NO_CHILDREN;
  }

  get isSigned(): boolean {
    return this.repository.isSigned(this.digest);
  }

  get createdMs(): number {
    return this.createdWithin(MOST_DEEP);
  }

  createdWithin(deep: number): number {
    let newest = this.content?.createdMs ?? 0;
    if (deep === 0) return newest;
    for (const digest of this.children) newest = Math.max(newest, this.#child(digest)?.createdWithin(deep - 1) ?? 0);
    return newest;
  }

  get platforms(): readonly Platform[] {
    return this.platformsWithin(MOST_DEEP);
  }

  platformsWithin(deep: number): readonly Platform[] {
    const stated = this.content?.platforms ?? NO_PLATFORMS;
    if (this.children.length === 0 || deep === 0) return distinct(stated);
    // A child knows better than the index that names it.
    const platforms = this.children.flatMap((digest, index) => {
      const own = this.#child(digest)?.platformsWithin(deep - 1) ?? NO_PLATFORMS;
      return own.length > 0 ? own : stated.slice(index, index + 1);
    });
    return distinct(platforms);
  }

  #child(digest: string): ImageState | undefined {
    const child = this.repository.image(digest);
    return child === this ? undefined : child;
  }
}

function platformOf(os: string, arch: string, variant: string | undefined): Platform {
  return { os, arch, ...(variant === undefined ? {} : { variant }) };
}

function nameOf({ os, arch, variant }: Platform): string {
  return JSON.stringify([os, arch, variant]);
}

/** Each once, those that say nothing left out. */
function distinct(platforms: readonly Platform[]): readonly Platform[] {
  const byName = new Map<string, Platform>();
  for (const one of platforms) if (one.os !== "" || one.arch !== "") byName.set(nameOf(one), one);
  return [...byName.values()];
}

/** A text of its own: a part of another one keeps all of that in memory. */
export function flat(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}
