/**
 * Tags and links in memory, for a core that is alone (`cores: one`). Written through by this core's own Writes. An answer
 * of the store is kept only if no Write touched the same key, or a key of the same listing, since the question was asked:
 * it could be older than that Write.
 */
import { LRUCache } from "lru-cache";
import type { MetaItem, MetaOperation, Page, PageRequest } from "../../client/contract.ts";
import type { Clock } from "../../proto/clock.ts";
import { isSearched, LOOK_BACK_MS } from "../search/changes.ts";
import { allReferrersPrefix, allTagsPrefix, catalogPrefix } from "./keys.ts";

type Remembered = { readonly item: MetaItem | undefined };

/** What an entry costs beside its text. */
const OVERHEAD_BYTES = 256;
/** Longer than any Write's not-after, with the clocks' allowed skew. */
const DOUBT_MS = LOOK_BACK_MS;

export class FactsMemory {
  readonly #items: LRUCache<string, Remembered>;
  /** Pages by prefix, then by where they begin and how long they are. */
  readonly #pages: LRUCache<string, { readonly pages: Map<string, Page<MetaItem>>; bytes: number }>;
  readonly #maxListBytes: number;
  /** When each key or prefix was last touched by a Write; kept while a question is under way that is older. */
  readonly #touched = new Map<string, number>();
  /** Start of each question under way, ascending. */
  readonly #asking = new Set<{ readonly since: number }>();
  readonly #writing = new Map<string, { readonly count: number; readonly overlapped: boolean }>();
  /** Until when (monotonic) a Write of unknown outcome may still take effect. */
  readonly #doubtful = new Map<string, number>();
  readonly #clock: Clock;
  #sequence = 0;
  #generation = 0;

  constructor(maxBytes: number, clock: Clock) {
    this.#clock = clock;
    this.#maxListBytes = maxBytes / 8;
    this.#items = new LRUCache({
      maxSize: maxBytes / 2,
      sizeCalculation: ({ item }, key) => OVERHEAD_BYTES + 2 * key.length + (item?.value.length ?? 0),
    });
    this.#pages = new LRUCache({ maxSize: maxBytes / 2, sizeCalculation: ({ bytes }) => OVERHEAD_BYTES + bytes });
  }

  clear(): void {
    this.#sequence += 1;
    this.#generation += 1;
    // Answers under way are from before: none may be kept.
    for (const question of [...this.#asking]) this.#asking.delete(question);
    this.#items.clear();
    this.#pages.clear();
  }

  /** `undefined`: not all are known. */
  items(keys: readonly string[]): (MetaItem | undefined)[] | undefined {
    const found: (MetaItem | undefined)[] = [];
    for (const key of keys) {
      const remembered = this.#items.get(key);
      if (remembered === undefined) return undefined;
      found.push(remembered.item);
    }
    return found;
  }

  async fillItems(
    keys: readonly string[],
    ask: () => Promise<(MetaItem | undefined)[]>,
  ): Promise<(MetaItem | undefined)[]> {
    const question = this.#beginQuestion();
    try {
      const items = await ask();
      for (const [index, key] of keys.entries()) {
        if (this.#isCurrent(question, key)) this.#items.set(key, { item: items[index] });
      }
      return items;
    } finally {
      this.#endQuestion(question);
    }
  }

  page(request: PageRequest): Page<MetaItem> | undefined {
    return this.#pages.get(request.prefix)?.pages.get(pageName(request));
  }

  async fillPage(request: PageRequest, ask: () => Promise<Page<MetaItem>>): Promise<Page<MetaItem>> {
    const question = this.#beginQuestion();
    try {
      const page = await ask();
      if (this.#isCurrent(question, request.prefix)) this.#keepPage(request, page);
      return page;
    } finally {
      this.#endQuestion(question);
    }
  }

  /**
   * Forgets what the Write changes until its outcome is known; the answer is called with that outcome. Until then no
   * answer about these keys survives; after an unknown outcome, none is kept while the Write could still take effect.
   */
  beginWrite(
    operations: readonly MetaOperation[],
  ): (outcome: "written" | "refused" | "unknown", etags: readonly string[]) => void {
    const changes = operations.filter(isRemembered);
    const generation = this.#generation;
    this.#touch(changes);
    for (const { key } of changes) {
      const writing = this.#writing.get(key);
      if (writing === undefined) this.#writing.set(key, { count: 1, overlapped: false });
      else this.#writing.set(key, { count: writing.count + 1, overlapped: true });
    }
    return (outcome, etags) => {
      this.#touch(changes);
      for (const [index, operation] of operations.entries()) {
        if (!isRemembered(operation)) continue;
        const { key } = operation;
        const alone = this.#endWriting(key);
        if (outcome === "unknown") this.#doubt(key);
        // Of Writes that overlap nobody here knows which came last.
        if (outcome !== "written" || !alone || generation !== this.#generation || this.#isDoubtful(key)) continue;
        const item =
          operation.kind === "delete"
            ? undefined
            : { key, value: Buffer.from(operation.value), etag: etags[index] ?? "" };
        this.#items.set(key, { item });
      }
    };
  }

  #endWriting(key: string): boolean {
    const writing = this.#writing.get(key);
    if (writing === undefined || writing.count === 1) this.#writing.delete(key);
    else this.#writing.set(key, { ...writing, count: writing.count - 1 });
    return writing !== undefined && !writing.overlapped;
  }

  #doubt(key: string): void {
    const until = this.#clock.monotonic() + DOUBT_MS;
    this.#doubtful.set(key, until);
    const prefix = listedUnder(key);
    if (prefix !== undefined) this.#doubtful.set(prefix, until);
  }

  #isDoubtful(name: string): boolean {
    const until = this.#doubtful.get(name);
    if (until === undefined) return false;
    if (this.#clock.monotonic() < until) return true;
    this.#doubtful.delete(name);
    return false;
  }

  #touch(changes: readonly MetaOperation[]): void {
    this.#sequence += 1;
    for (const { key } of changes) {
      this.#items.delete(key);
      this.#touched.set(key, this.#sequence);
      const prefix = listedUnder(key);
      if (prefix === undefined) continue;
      this.#pages.delete(prefix);
      this.#touched.set(prefix, this.#sequence);
    }
    this.#prune();
  }

  #beginQuestion(): { readonly since: number } {
    const question = { since: this.#sequence };
    this.#asking.add(question);
    return question;
  }

  #isCurrent(question: { readonly since: number }, name: string): boolean {
    return this.#asking.has(question) && (this.#touched.get(name) ?? 0) <= question.since && !this.#isDoubtful(name);
  }

  #endQuestion(question: { readonly since: number }): void {
    this.#asking.delete(question);
    this.#prune();
  }

  #prune(): void {
    if (this.#asking.size === 0) {
      this.#touched.clear();
    } else if (this.#touched.size > 10_000) {
      const [oldest] = this.#asking;
      for (const [name, sequence] of this.#touched) {
        if (sequence <= (oldest?.since ?? 0)) this.#touched.delete(name);
      }
    }
  }

  #keepPage(request: PageRequest, page: Page<MetaItem>): void {
    const bytes = page.items.reduce((sum, { key, value }) => sum + OVERHEAD_BYTES + 2 * key.length + value.length, 0);
    const held = this.#pages.get(request.prefix) ?? { pages: new Map<string, Page<MetaItem>>(), bytes: 0 };
    if (held.bytes + bytes > this.#maxListBytes) {
      held.pages.clear();
      held.bytes = 0;
      if (bytes > this.#maxListBytes) return;
    }
    held.pages.set(pageName(request), page);
    held.bytes += bytes;
    // Set anew, for its size.
    this.#pages.delete(request.prefix);
    this.#pages.set(request.prefix, held);
  }
}

type Change = Exclude<MetaOperation, { readonly kind: "check" }>;

/** Pulls never look at what search tells. */
function isRemembered(operation: MetaOperation): operation is Change {
  return operation.kind !== "check" && !isSearched(operation.key);
}

function pageName(request: PageRequest): string {
  return `${request.limit ?? 1000} ${request.startAfter ?? ""}`;
}

/** The prefix under which pulls list the key. */
function listedUnder(key: string): string | undefined {
  if (key.startsWith(catalogPrefix)) return catalogPrefix;
  if (key.startsWith(allTagsPrefix)) return key.slice(0, key.lastIndexOf("/") + 1);
  if (key.startsWith(allReferrersPrefix)) return key.slice(0, key.lastIndexOf("/", key.lastIndexOf("/") - 1) + 1);
  return undefined;
}
