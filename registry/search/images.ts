/** What the view keeps of images in memory: of each digest once, and of each repository that has it. */
import { createdOf } from "./annotations.ts";
import type { ImageView, Platform } from "./contract.ts";
import type { ImageRecord } from "./record.ts";
import type { RepositoryState } from "./repository-state.ts";
import { msOf } from "./times.ts";

/** Indexes within indexes are followed so far. */
const MOST_DEEP = 4;
const MOST_TEXTS = 10_000;
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

/** What follows from the bytes: the same in every repository. */
export class Content {
  readonly digest: string;
  mediaType = "";
  sizeBytes = 0;
  artifactType: string | undefined;
  subject: string | undefined;
  createdMs = 0;
  /** Its own; of an index, what it states of each child. */
  platforms = NO_PLATFORMS;
  children = NO_CHILDREN;
  /** It signs its subject (cosign, notation). */
  isSignature = false;
  /** Those that have it as a manifest: mostly one, and a list of it would weigh more than all else here. */
  holders: RepositoryState | Set<RepositoryState>;

  constructor(digest: string, holder: RepositoryState) {
    this.digest = digest;
    this.holders = holder;
  }
}

export function holdersOf({ holders }: Content): readonly RepositoryState[] {
  return holders instanceof Set ? [...holders] : [holders];
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
  digestText(digest: string): string {
    return this.#byDigest.get(digest)?.digest ?? flat(digest);
  }

  /** @param digest a text of its own */
  hold(digest: string, record: ImageRecord, holder: RepositoryState): Content {
    let content = this.#byDigest.get(digest);
    if (content === undefined) {
      content = new Content(digest, holder);
      this.#byDigest.set(digest, content);
    }
    this.#describe(content, record);
    if (content.holders instanceof Set) content.holders.add(holder);
    else if (content.holders !== holder) content.holders = new Set([content.holders, holder]);
    return content;
  }

  release(content: Content, holder: RepositoryState): void {
    const { holders } = content;
    if (!(holders instanceof Set)) {
      if (holders === holder) this.#byDigest.delete(content.digest);
      return;
    }
    holders.delete(holder);
    const [only] = holders;
    if (holders.size === 1 && only !== undefined) content.holders = only;
  }

  #describe(content: Content, record: ImageRecord): void {
    const { artifactType, subject, image, manifests } = record;
    content.mediaType = this.textOf(record.mediaType);
    content.sizeBytes = record.sizeBytes;
    content.artifactType = artifactType === undefined ? undefined : this.textOf(artifactType);
    content.subject = subject === undefined ? undefined : this.digestText(subject);
    content.createdMs = msOf(createdOf(record));
    content.platforms = this.#platformsOf(manifests ?? (image === undefined ? [] : [image]));
    content.children = manifests === undefined ? NO_CHILDREN : manifests.map(({ digest }) => this.digestText(digest));
    content.isSignature = isSignature(record);
  }

  #platformsOf(
    all: readonly { readonly os?: string; readonly arch?: string; readonly variant?: string }[],
  ): readonly Platform[] {
    const platforms = all.map(({ os = "", arch = "", variant }) => platformOf(os, arch, variant));
    if (platforms.length === 0) return NO_PLATFORMS;
    const name = platforms.map(nameOf).join(" ");
    const known = this.#platforms.get(name);
    if (known !== undefined) return known;
    if (this.#platforms.size < MOST_TEXTS) this.#platforms.set(name, platforms);
    return platforms;
  }

  /** A text that many have in common. */
  textOf(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    const own = flat(text);
    if (this.#texts.size < MOST_TEXTS) this.#texts.set(own, own);
    return own;
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
  return Buffer.from(text, "utf8").toString("utf8");
}
