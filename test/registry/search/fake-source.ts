/** A registry's images in memory, as searches see them: what the index's view answers, in the plainest way. */
import { createHash } from "node:crypto";
import { createdOf } from "../../../registry/search/annotations.ts";
import type {
  ImageView,
  Platform,
  RepositoryOrder,
  RepositoryView,
  SearchSource,
  SearchView,
  TagView,
} from "../../../registry/search/contract.ts";
import type { LayerHolders } from "../../../registry/search/holders.ts";
import type { ImageRecord, RecordConfig } from "../../../registry/search/record.ts";
import { msOf } from "../../../registry/search/times.ts";

interface Repository {
  readonly records: Map<string, ImageRecord>;
  readonly tags: Map<string, { digest: string; taggedMs: number }>;
  readonly pulls: Map<string, { count: number; lastMs: number }>;
  stars: number;
}

export interface Pushed {
  readonly name: string;
  /** A tag, or the digest itself. */
  readonly reference: string;
  readonly mediaType: string;
  /** The manifest. */
  readonly text: string;
}

const SIGNATURE_TYPES = new Set([
  "application/vnd.dev.cosign.artifact.sig.v1+json",
  "application/vnd.cncf.notary.signature",
]);
const SIGNATURE_TAG = /^sha256-([0-9a-f]{64})\.sig$/;

export class FakeSource implements SearchSource, SearchView, LayerHolders {
  readonly repositoriesByName = new Map<string, Repository>();
  /** Thrown by whatever is asked next. */
  fault: Error | undefined;
  /** Digests of records that were read. */
  readonly recordsRead: string[] = [];
  #sorted = new Map<RepositoryOrder, RepositoryView[]>();
  #views = new Map<string, RepositoryView>();

  #repository(name: string): Repository {
    this.#sorted.clear();
    this.#views.clear();
    const known = this.repositoriesByName.get(name) ?? {
      records: new Map(),
      tags: new Map(),
      pulls: new Map(),
      stars: 0,
    };
    this.repositoriesByName.set(name, known);
    return known;
  }

  push(pushed: Pushed, config: string | undefined, nowMs: number): string {
    const digest = digestOf(pushed.text);
    const repository = this.#repository(pushed.name);
    repository.records.set(digest, { ...recordOf(pushed, config), pushedMs: nowMs });
    if (pushed.reference !== digest) repository.tags.set(pushed.reference, { digest, taggedMs: nowMs });
    return digest;
  }

  /** A record as it is: no bytes stand behind it. */
  put(name: string, digest: string, record: ImageRecord, tags: readonly string[], nowMs: number): void {
    const repository = this.#repository(name);
    repository.records.set(digest, { ...record, pushedMs: nowMs });
    for (const tag of tags) repository.tags.set(tag, { digest, taggedMs: nowMs });
  }

  pull(name: string, digest: string, times: number, lastMs: number): void {
    const { pulls } = this.#repository(name);
    pulls.set(digest, { count: (pulls.get(digest)?.count ?? 0) + times, lastMs });
  }

  star(name: string, stars: number): void {
    this.#repository(name).stars = stars;
  }

  view(): Promise<SearchView> {
    return this.fault === undefined ? Promise.resolve(this) : Promise.reject(this.fault);
  }

  get repositoryCount(): number {
    return this.#inOrder("name").length;
  }

  get tagCount(): number {
    return this.#inOrder("name").reduce((sum, { tagCount }) => sum + tagCount, 0);
  }

  repository(name: string): RepositoryView | undefined {
    const known = this.#views.get(name);
    if (known !== undefined) return known;
    const repository = this.repositoriesByName.get(name);
    if (repository === undefined || repository.records.size === 0) return undefined;
    const view = viewOf(name, repository);
    this.#views.set(name, view);
    return view;
  }

  *repositories(order: RepositoryOrder, offset = 0): Iterable<RepositoryView> {
    yield* this.#inOrder(order).slice(offset);
  }

  #inOrder(order: RepositoryOrder): RepositoryView[] {
    const known = this.#sorted.get(order);
    if (known !== undefined) return known;
    const byName = (a: RepositoryView, b: RepositoryView) => (a.name < b.name ? -1 : 1);
    const found = [...this.repositoriesByName.keys()]
      .flatMap((name) => this.repository(name) ?? [])
      .filter(({ tagCount }) => tagCount > 0)
      .sort((a, b) => {
        if (order === "updated") return b.updatedMs - a.updatedMs || byName(a, b);
        if (order === "downloads") return b.downloads - a.downloads || byName(a, b);
        return order === "name-desc" ? byName(b, a) : byName(a, b);
      });
    this.#sorted.set(order, found);
    return found;
  }

  repositoriesWith(digest: string): readonly string[] {
    return [...this.repositoriesByName].flatMap(([name, { records }]) => (records.has(digest) ? name : [])).sort();
  }

  async records(name: string, digests: readonly string[]): Promise<ReadonlyMap<string, ImageRecord>> {
    if (this.fault !== undefined) throw this.fault;
    this.recordsRead.push(...digests);
    const records = this.repositoriesByName.get(name)?.records;
    return new Map(
      digests.flatMap((digest) => {
        const record = records?.get(digest);
        return record === undefined ? [] : [[digest, record] as const];
      }),
    );
  }

  /** LayerHolders: what the meta store's keys of references tell. */
  async of(begins: string, max: number) {
    const holders = new Set<string>();
    for (const [name, { records }] of this.repositoriesByName) {
      for (const [digest, { config, layers }] of records) {
        for (const each of [digest, ...(config === undefined ? [] : [config.digest]), ...layers.map((l) => l.digest)]) {
          if (each.startsWith(begins)) holders.add(`${each} ${name}`);
        }
      }
    }
    const found = [...holders].sort().map((each) => {
      const [digest = "", name = ""] = each.split(" ");
      return { digest, name };
    });
    return { holders: found.slice(0, max), more: found.length > max };
  }
}

function viewOf(name: string, repository: Repository): RepositoryView {
  const tags: TagView[] = [...repository.tags]
    .filter(([tag]) => !SIGNATURE_TAG.test(tag))
    .map(([tag, { digest, taggedMs }]) => ({ tag, digest, taggedMs }))
    .sort((a, b) => (a.tag < b.tag ? -1 : 1));
  const referrers = (digest: string) =>
    [...repository.records].flatMap(([each, { subject }]) => (subject === digest ? each : [])).sort();
  const images = new Map<string, ImageView>();
  const image = (digest: string): ImageView | undefined => {
    const record = repository.records.get(digest);
    if (record === undefined) return undefined;
    const known = images.get(digest) ?? imageOf(repository, digest, record, referrers(digest));
    images.set(digest, known);
    return known;
  };
  return {
    name,
    updatedMs: Math.max(0, ...[...repository.tags.values()].map(({ taggedMs }) => taggedMs)),
    downloads: [...repository.pulls.values()].reduce((sum, { count }) => sum + count, 0),
    stars: repository.stars,
    tagCount: tags.length,
    tags: () => tags,
    tag: (tag) => tags.find((each) => each.tag === tag),
    image,
    referrers,
  };
}

function imageOf(repository: Repository, digest: string, record: ImageRecord, referrers: readonly string[]): ImageView {
  const children = (record.manifests ?? []).map((child) => child.digest).filter((each) => repository.records.has(each));
  const records = children.flatMap((child) => repository.records.get(child) ?? []);
  const platforms = new Map<string, Platform>();
  for (const { image } of record.manifests === undefined ? [record] : records) {
    if (image === undefined) continue;
    const { os, arch, variant } = image;
    platforms.set(`${os}/${arch}/${variant}`, { os, arch, ...(variant === undefined ? {} : { variant }) });
  }
  const signature = (each: string) => SIGNATURE_TYPES.has(repository.records.get(each)?.artifactType ?? "");
  const pulls = repository.pulls.get(digest);
  return {
    digest,
    mediaType: record.mediaType,
    sizeBytes: record.sizeBytes,
    ...(record.artifactType === undefined ? {} : { artifactType: record.artifactType }),
    ...(record.subject === undefined ? {} : { subject: record.subject }),
    createdMs: msOf(createdOf(record, records)),
    platforms: [...platforms.values()],
    children,
    isSigned: referrers.some(signature) || repository.tags.has(`${digest.replace(":", "-")}.sig`),
    downloads: pulls?.count ?? 0,
    lastPullMs: pulls?.lastMs ?? 0,
    pushedMs: record.pushedMs ?? 0,
  };
}

export function digestOf(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

// biome-ignore lint/suspicious/noExplicitAny: test data
type Json = any;

/** As the index keeps it. */
function recordOf({ mediaType, text }: Pushed, configText: string | undefined): ImageRecord {
  const manifest: Json = JSON.parse(text);
  const blob = ({ digest, size }: Json) => ({ digest, sizeBytes: size });
  return {
    mediaType,
    sizeBytes: Buffer.byteLength(text),
    ...(manifest.artifactType ? { artifactType: manifest.artifactType } : {}),
    ...(manifest.subject ? { subject: manifest.subject.digest } : {}),
    ...(manifest.annotations ? { annotations: manifest.annotations } : {}),
    ...(manifest.config ? { config: { ...blob(manifest.config), mediaType: manifest.config.mediaType } } : {}),
    layers: (manifest.layers ?? []).map(blob),
    ...(manifest.manifests
      ? {
          manifests: manifest.manifests.map((child: Json) => ({
            ...blob(child),
            mediaType: child.mediaType,
            ...(child.platform ? { os: child.platform.os, arch: child.platform.architecture } : {}),
          })),
        }
      : {}),
    ...(configText !== undefined && /image\.config|container\.image/.test(manifest.config?.mediaType)
      ? { image: configOf(JSON.parse(configText)) }
      : {}),
  };
}

function configOf(config: Json): RecordConfig {
  return {
    os: config.os ?? "",
    arch: config.architecture ?? "",
    ...(config.variant ? { variant: config.variant } : {}),
    ...(config.created ? { created: config.created } : {}),
    ...(config.author ? { author: config.author } : {}),
    ...(config.config?.Labels ? { labels: config.config.Labels } : {}),
    ...(config.history
      ? {
          history: config.history.map((entry: Json) => ({
            ...(entry.created ? { created: entry.created } : {}),
            ...(entry.created_by ? { createdBy: entry.created_by } : {}),
            ...(entry.author ? { author: entry.author } : {}),
            ...(entry.comment ? { comment: entry.comment } : {}),
            ...(entry.empty_layer ? { emptyLayer: true } : {}),
          })),
        }
      : {}),
  };
}
