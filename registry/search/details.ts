/** Records of what a page shows, asked for when the first field needs one, for the whole page at once. */
import { LRUCache } from "lru-cache";
import type { RequestContext } from "../repository/contract.ts";
import type { SearchView } from "./contract.ts";
import type { ImageRecord } from "./record.ts";

export interface Wanted {
  readonly name: string;
  readonly digests: readonly string[];
}

/** Records by digest; what is absent was deleted meanwhile. */
export type Records = ReadonlyMap<string, ImageRecord>;

const AT_ONCE = 8;
const MEMORY_BYTES = 32 * 1024 * 1024;

/**
 * Records that were read before: they follow from the bytes under their digest, apart from when and by whom they were
 * pushed, which is answered from the view.
 */
export class RecordMemory {
  readonly #records = new LRUCache<string, ImageRecord>({
    maxSize: MEMORY_BYTES,
    sizeCalculation: (record) => 1000 + 500 * record.layers.length + textBytes(record),
  });

  /** One batch a repository, some at a time. */
  async load(view: SearchView, wanted: readonly Wanted[], context: RequestContext): Promise<Records> {
    const found = new Map<string, ImageRecord>();
    const missing = new Map<string, Set<string>>();
    for (const { name, digests } of wanted) {
      for (const digest of digests) {
        const record = this.#records.get(digest);
        if (record !== undefined) found.set(digest, record);
        else missing.set(name, (missing.get(name) ?? new Set()).add(digest));
      }
    }
    const batches = [...missing];
    const next = async (): Promise<void> => {
      for (let batch = batches.pop(); batch !== undefined; batch = batches.pop()) {
        const [name, digests] = batch;
        const records = await view.records(name, [...digests], context);
        for (const [digest, record] of records) {
          this.#records.set(digest, record);
          found.set(digest, record);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, batches.length) }, next));
    return found;
  }
}

/** An image's config may carry a long history. */
function textBytes({ image, annotations }: ImageRecord): number {
  const texts = [...Object.entries(annotations ?? {}), ...Object.entries(image?.labels ?? {})];
  const labels = texts.reduce((sum, [key, value]) => sum + 2 * (key.length + value.length), 0);
  return labels + (image?.history ?? []).reduce((sum, entry) => sum + 300 + 2 * (entry.createdBy?.length ?? 0), 0);
}

/** Of one page. */
export class Details {
  readonly #load: (wanted: readonly Wanted[]) => Promise<Records>;
  readonly #wanted: { readonly [Kind in DetailKind]: () => readonly Wanted[] };
  readonly #loading = new Map<DetailKind, Promise<Records>>();

  constructor(
    load: (wanted: readonly Wanted[]) => Promise<Records>,
    wanted: { readonly [Kind in DetailKind]: () => readonly Wanted[] },
  ) {
    this.#load = load;
    this.#wanted = wanted;
  }

  of(kind: DetailKind): Promise<Records> {
    const loading = this.#loading.get(kind) ?? this.#load(this.#wanted[kind]());
    this.#loading.set(kind, loading);
    return loading;
  }
}

/** The page's images with their indexes' images; what refers to them; all that its repositories' tags stand for. */
export type DetailKind = "images" | "referrers" | "repositories";
