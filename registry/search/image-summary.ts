/** An image as answers show it: type ImageSummary, ManifestSummary and what they hold. Methods are fields of the schema. */
import { createdOf, type Told, toldBy } from "./annotations.ts";
import { type Asking, PART_ITEMS } from "./asking.ts";
import { Details } from "./details.ts";
import type { ImageFacts, ManifestFacts } from "./facts.ts";
import { showArch } from "./filter.ts";
import type { ImageRecord } from "./record.ts";
import { showMs, showTime } from "./times.ts";
import { severitiesOf, type VulnerabilitySummary } from "./vulnerabilities.ts";

const MAX_INT = 2 ** 31 - 1;

/** Int of the schema has 32 bits. */
export function showCount(count: number): number {
  return Math.min(count, MAX_INT);
}

/** Of images that are shown together. */
export function imageDetails(asking: Asking, images: readonly ImageFacts[]): Details {
  return new Details((wanted) => asking.records(wanted), {
    images: () => images.map(({ name, digest, family }) => ({ name, digests: [digest, ...family] })),
    referrers: () =>
      images.map(({ name, referrers, children }) => ({
        name,
        digests: [...referrers, ...children.flatMap((child) => child.referrers)],
      })),
    repositories: () => [],
  });
}

export function imageSummaries(
  asking: Asking,
  images: readonly ImageFacts[],
  isDeletable?: boolean,
): Shown<ImageSummary>[] {
  return inParts(asking, images, (part) => {
    const details = imageDetails(asking, part);
    return part.map((image) => new ImageSummary(asking, details, image, isDeletable));
  });
}

/** An item of a list; of a long one, in its turn. */
export type Shown<Item> = Item | Promise<Item>;

export function inParts<Item, Summary>(
  asking: Asking,
  items: readonly Item[],
  show: (part: readonly Item[]) => readonly Summary[],
): Shown<Summary>[] {
  const shown: Shown<Summary>[] = [];
  for (let at = 0; at < items.length; at += PART_ITEMS) {
    const part = show(items.slice(at, at + PART_ITEMS));
    const turn = at === 0 ? undefined : asking.turn();
    for (const each of part) shown.push(turn === undefined ? each : turn.then(() => each));
  }
  return shown;
}

export class ImageSummary {
  readonly #asking: Asking;
  readonly #details: Details;
  readonly #facts: ImageFacts;
  /** Absent: not looked at, which is null. */
  readonly IsDeletable: boolean | undefined;
  #told: Promise<Told> | undefined;

  constructor(asking: Asking, details: Details, facts: ImageFacts, isDeletable?: boolean) {
    this.#asking = asking;
    this.#details = details;
    this.#facts = facts;
    this.IsDeletable = isDeletable;
  }

  RepoName(): string {
    return this.#facts.name;
  }
  Tag(): string {
    return this.#facts.tag;
  }
  Digest(): string {
    return this.#facts.digest;
  }
  MediaType(): string {
    return this.#facts.mediaType;
  }
  DownloadCount(): number {
    return showCount(this.#facts.downloads);
  }
  LastPullTimestamp(): string | undefined {
    return showMs(this.#facts.lastPullMs);
  }
  PushTimestamp(): string | undefined {
    return showMs(this.#facts.pushedMs);
  }
  TaggedTimestamp(): string | undefined {
    return showMs(this.#facts.taggedMs || this.#facts.pushedMs);
  }
  IsSigned(): boolean {
    return this.#facts.isSigned;
  }
  SignatureInfo(): object[] {
    return signatures(this.#facts);
  }
  async LastUpdated(): Promise<string | undefined> {
    const { record, children } = await this.#records();
    return record && createdOf(record, children);
  }
  /** An index's own bytes are not counted, as in zot. */
  async Size(): Promise<string> {
    const records = await this.#details.of("images");
    const { isIndex, digest, children } = this.#facts;
    const shown = isIndex ? children.map((child) => child.digest) : [digest];
    return String(shown.reduce((sum, each) => sum + imageBytes(records.get(each) ?? NOTHING), 0));
  }
  Manifests(): ManifestSummary[] {
    const { isIndex, children, name } = this.#facts;
    const images: readonly ManifestFacts[] = isIndex ? children : [this.#facts];
    return images.map((image) => new ManifestSummary(this.#asking, this.#details, image, name));
  }
  async Description(): Promise<string> {
    return (await this.#tells()).description;
  }
  async Licenses(): Promise<string> {
    return (await this.#tells()).licenses;
  }
  async Labels(): Promise<string> {
    return (await this.#tells()).labels;
  }
  async Title(): Promise<string> {
    return (await this.#tells()).title;
  }
  async Source(): Promise<string> {
    return (await this.#tells()).source;
  }
  async Documentation(): Promise<string> {
    return (await this.#tells()).documentation;
  }
  async Vendor(): Promise<string> {
    return (await this.#tells()).vendor;
  }
  async Authors(): Promise<string> {
    const { authors } = await this.#tells();
    if (authors !== "" || this.#facts.isIndex) return authors;
    return (await this.#records()).record?.image?.author ?? "";
  }
  async ArtifactType(): Promise<string> {
    const { record } = await this.#records();
    return record === undefined ? "" : artifactTypeOf(record);
  }
  Vulnerabilities(): Promise<VulnerabilitySummary> {
    const { name, isIndex, children, digest, mediaType } = this.#facts;
    const images: readonly Pick<ManifestFacts, "digest" | "mediaType">[] = isIndex ? children : [{ digest, mediaType }];
    return severitiesOf(this.#asking, name, images);
  }
  async Referrers(): Promise<object[]> {
    return showReferrers(this.#facts.referrers, await this.#details.of("referrers"));
  }

  async #records(): Promise<{ readonly record: ImageRecord | undefined; readonly children: ImageRecord[] }> {
    const records = await this.#details.of("images");
    const children = this.#facts.family.flatMap((digest) => records.get(digest) ?? []);
    return { record: records.get(this.#facts.digest), children };
  }

  #tells(): Promise<Told> {
    this.#told ??= this.#records().then(({ record, children }) => toldBy(record ?? NOTHING, children[0]));
    return this.#told;
  }
}

const NOTHING: ImageRecord = { mediaType: "", sizeBytes: 0, layers: [] };

export class ManifestSummary {
  readonly #asking: Asking;
  readonly #details: Details;
  readonly #facts: ManifestFacts;
  readonly #name: string;

  constructor(asking: Asking, details: Details, facts: ManifestFacts, name: string) {
    this.#asking = asking;
    this.#details = details;
    this.#facts = facts;
    this.#name = name;
  }

  Digest(): string {
    return this.#facts.digest;
  }
  IsSigned(): boolean {
    return this.#facts.isSigned;
  }
  SignatureInfo(): object[] {
    return signatures(this.#facts);
  }
  DownloadCount(): number {
    return showCount(this.#facts.downloads);
  }
  async ConfigDigest(): Promise<string> {
    return (await this.#record()).config?.digest ?? "";
  }
  async LastUpdated(): Promise<string | undefined> {
    return createdOf(await this.#record());
  }
  async Size(): Promise<string> {
    return String(imageBytes(await this.#record()));
  }
  async Platform(): Promise<object> {
    const { image } = await this.#record();
    return { Os: image?.os ?? "", Arch: image === undefined ? "" : showArch(image) };
  }
  async Layers(): Promise<object[]> {
    return (await this.#record()).layers.map(showBlob);
  }
  async History(): Promise<object[]> {
    return showHistory(await this.#record());
  }
  async ArtifactType(): Promise<string> {
    return artifactTypeOf(await this.#record());
  }
  Vulnerabilities(): Promise<VulnerabilitySummary> {
    return severitiesOf(this.#asking, this.#name, [this.#facts]);
  }
  async Referrers(): Promise<object[]> {
    return showReferrers(this.#facts.referrers, await this.#details.of("referrers"));
  }

  async #record(): Promise<ImageRecord> {
    return (await this.#details.of("images")).get(this.#facts.digest) ?? NOTHING;
  }
}

/** What is not known of who signed is not trusted. */
function signatures({ signedBy }: ManifestFacts): object[] {
  return signedBy.map((Tool) => ({ Tool, IsTrusted: false, Author: "" }));
}

function artifactTypeOf({ artifactType, config }: ImageRecord): string {
  return artifactType ?? config?.mediaType ?? "";
}

function showBlob({ digest, sizeBytes }: { readonly digest: string; readonly sizeBytes: number }): object {
  return { Digest: digest, Size: String(sizeBytes) };
}

/** Manifest, config and layers. */
function imageBytes({ sizeBytes, config, layers }: ImageRecord): number {
  return layers.reduce((sum, layer) => sum + layer.sizeBytes, sizeBytes + (config?.sizeBytes ?? 0));
}

/** Each step with the layer that it made; without a history, each layer alone. */
function showHistory({ image, layers }: ImageRecord): object[] {
  const history = image?.history ?? [];
  if (history.length === 0) return layers.map((layer) => ({ Layer: showBlob(layer), HistoryDescription: {} }));
  let next = 0;
  return history.map(({ created, createdBy = "", author = "", comment = "", emptyLayer = false }) => {
    const layer = emptyLayer ? undefined : layers[next++];
    return {
      Layer: layer && showBlob(layer),
      HistoryDescription: {
        Created: showTime(created),
        CreatedBy: createdBy,
        Author: author,
        Comment: comment,
        EmptyLayer: emptyLayer,
      },
    };
  });
}

/** @param types that are wanted; empty, or with an empty one: all */
export function showReferrers(
  digests: readonly string[],
  records: ReadonlyMap<string, ImageRecord>,
  types: readonly string[] = [],
): object[] {
  return digests.flatMap((digest) => {
    const record = records.get(digest);
    if (record === undefined) return [];
    const type = artifactTypeOf(record);
    if (types.length > 0 && !types.includes(type) && !types.includes("")) return [];
    const annotations = Object.entries(record.annotations ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      MediaType: record.mediaType,
      ArtifactType: type,
      Size: record.sizeBytes,
      Digest: digest,
      Annotations: annotations.map(([Key, Value]) => ({ Key, Value })),
    };
  });
}
