/** A repository as answers show it: type RepoSummary. Methods are fields of the schema. */
import { toldBy } from "./annotations.ts";
import type { Asking } from "./asking.ts";
import { Details, type Records } from "./details.ts";
import type { RepositoryFacts } from "./facts.ts";
import { showArch } from "./filter.ts";
import { ImageSummary, imageDetails, inParts, type Shown, showCount } from "./image-summary.ts";
import { showMs } from "./times.ts";

export function repositorySummaries(asking: Asking, all: readonly RepositoryFacts[]): Shown<RepositorySummary>[] {
  return inParts(asking, all, (part) => summariesOf(asking, part));
}

function summariesOf(asking: Asking, repositories: readonly RepositoryFacts[]): RepositorySummary[] {
  const images = imageDetails(
    asking,
    repositories.flatMap(({ newest }) => newest ?? []),
  );
  const whole = new Details((wanted) => asking.records(wanted), {
    images: () => [],
    referrers: () => [],
    repositories: () => repositories,
  });
  return repositories.map((repository) => new RepositorySummary(asking, images, whole, repository));
}

export class RepositorySummary {
  readonly #asking: Asking;
  readonly #images: Details;
  readonly #whole: Details;
  readonly #facts: RepositoryFacts;

  constructor(asking: Asking, images: Details, whole: Details, facts: RepositoryFacts) {
    this.#asking = asking;
    this.#images = images;
    this.#whole = whole;
    this.#facts = facts;
  }

  Name(): string {
    return this.#facts.name;
  }
  LastUpdated(): string | undefined {
    return showMs(this.#facts.updatedMs);
  }
  Platforms(): object[] {
    return this.#facts.platforms.map((platform) => ({ Os: platform.os, Arch: showArch(platform) }));
  }
  NewestImage(): ImageSummary | undefined {
    const { newest } = this.#facts;
    return newest && new ImageSummary(this.#asking, this.#images, newest);
  }
  DownloadCount(): number {
    return showCount(this.#facts.downloads);
  }
  StarCount(): number {
    return showCount(this.#facts.stars);
  }
  Rank(): number {
    return this.#facts.rank;
  }
  async IsBookmarked(): Promise<boolean> {
    return (await this.#asking.preferred()).bookmarked.has(this.#facts.name);
  }
  async IsStarred(): Promise<boolean> {
    return (await this.#asking.preferred()).starred.has(this.#facts.name);
  }
  async Size(): Promise<string> {
    return String(bytesOf(this.#facts.digests, await this.#whole.of("repositories")));
  }
  /** Of its images, as these show it (zot looks at annotations alone, and answers none where a label or an index has it). */
  async Vendors(): Promise<string[]> {
    const records = await this.#whole.of("repositories");
    const vendors = new Set<string>();
    for (const digest of this.#facts.digests) {
      const record = records.get(digest);
      if (record !== undefined) vendors.add(toldBy(record).vendor);
    }
    vendors.delete("");
    return [...vendors].sort();
  }
}

/** All blobs, each once. */
function bytesOf(digests: readonly string[], records: Records): number {
  const sizes = new Map<string, number>();
  for (const digest of digests) {
    const record = records.get(digest);
    if (record === undefined) continue;
    sizes.set(digest, record.sizeBytes);
    for (const blob of [...record.layers, ...(record.config === undefined ? [] : [record.config])]) {
      sizes.set(blob.digest, blob.sizeBytes);
    }
  }
  return [...sizes.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0);
}
