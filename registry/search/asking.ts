/** One document's circumstances: who asks, of what, and how much it may still cost. */
import { setMaxListeners } from "node:events";
import { setImmediate } from "node:timers/promises";
import type { Account } from "../auth/contract.ts";
import type { RequestContext } from "../repository/contract.ts";
import type { SearchSource, SearchView } from "./contract.ts";
import type { RecordMemory, Records, Wanted } from "./details.ts";
import { QueryError } from "./errors.ts";
import type { Scope } from "./facts.ts";
import type { LayersByManifest } from "./fan-out/contract.ts";
import type { LayerHolders } from "./holders.ts";
import type { Preferences, Preferred } from "./preferences.ts";
import type { ImageRecord } from "./record.ts";
import type { Scanner } from "./scanner.ts";
import { KnownScans } from "./vulnerabilities.ts";

/** What searches are answered from. */
export interface SearchParts {
  readonly source: SearchSource;
  readonly holders: LayerHolders;
  readonly preferences: Preferences;
  /** Absent: "cve search is disabled". */
  readonly scanner?: Scanner | undefined;
}

export interface Asker {
  readonly account: Account;
  readonly scope: Scope;
  readonly mayDelete: (name: string) => boolean;
  readonly context: RequestContext;
  /** Another member's, by digest of its manifests: of the image whose bases or derived images are searched for. */
  readonly layers?: LayersByManifest | undefined;
}

/** Values in one answer, as counted beforehand (cost.ts). */
export const MAX_COST = 1_000_000;
/** Records that one document may look through, beside those it shows. */
const MAX_LOOKED_THROUGH = 20_000;

/** Items of one part of an answer: what is made of them without a pause. */
export const PART_ITEMS = 200;
const MAX_LISTENERS = 1_000;

/** By a document so far. */
export interface Spent {
  cost: number;
  lookedThrough: number;
}

const NOTHING: Preferred = { starred: new Set(), bookmarked: new Set() };

export class Asking {
  readonly parts: SearchParts;
  readonly asker: Asker;
  /** Absent: there is no scanner. */
  readonly scans: KnownScans | undefined;
  readonly #memory: RecordMemory;
  #view: Promise<SearchView> | undefined;
  #preferred: Promise<Preferred> | undefined;
  #turns: Promise<void> | undefined;
  readonly #reading = new Map<string, Promise<Records>>();
  /** Shared by all that is asked here for one document. */
  readonly spent: Spent;

  constructor(parts: SearchParts, asker: Asker, memory: RecordMemory, spent: Spent = { cost: 0, lookedThrough: 0 }) {
    this.spent = spent;
    this.parts = parts;
    this.asker = asker;
    this.#memory = memory;
    // A page's records are asked for beside each other, and each call listens to it.
    setMaxListeners(MAX_LISTENERS, asker.context.signal);
    this.scans = parts.scanner && new KnownScans(parts.scanner, asker.context);
  }

  get scope(): Scope {
    return this.asker.scope;
  }

  get context(): RequestContext {
    return this.asker.context;
  }

  view(): Promise<SearchView> {
    this.#view ??= this.parts.source.view(this.context);
    return this.#view;
  }

  /** Of who asks; nobody in particular prefers nothing. */
  preferred(): Promise<Preferred> {
    const { name } = this.asker.account;
    this.#preferred ??= name === "" ? Promise.resolve(NOTHING) : this.parts.preferences.of(name, this.context);
    return this.#preferred;
  }

  /** What several fields need is read once. */
  async records(wanted: readonly Wanted[]): Promise<Records> {
    const fresh = wanted.map(({ name, digests }) => ({
      name,
      digests: digests.filter((each) => !this.#reading.has(each)),
    }));
    const loading = this.view().then((view) => this.#memory.load(view, fresh, this.context));
    // Whoever waits for it is told; nobody may.
    loading.catch(() => {});
    for (const { digests } of fresh) for (const digest of digests) this.#reading.set(digest, loading);
    const found = new Map<string, ImageRecord>();
    for (const { digests } of wanted) {
      for (const digest of digests) {
        const record = (await this.#reading.get(digest))?.get(digest);
        if (record !== undefined) found.set(digest, record);
      }
    }
    return found;
  }

  /** Large answers are made part by part, with other requests between: each part waits for its turn. */
  turn(): Promise<void> {
    const before = this.#turns;
    this.#turns = before === undefined ? setImmediate() : before.then(() => setImmediate());
    return this.#turns;
  }

  /** Before an answer of so many items is made. @throws QueryError */
  charge(items: number, valuesPerItem: number): void {
    this.spent.cost += items * valuesPerItem;
    if (this.spent.cost > MAX_COST) {
      throw new QueryError(
        `the answer would have about ${this.spent.cost} values, and ${MAX_COST} are allowed: ask for fewer items (requestedPage.limit) or fewer fields`,
      );
    }
  }

  /** @throws QueryError */
  lookThrough(images: number): void {
    this.spent.lookedThrough += images;
    if (this.spent.lookedThrough > MAX_LOOKED_THROUGH) {
      throw new QueryError(
        `more than ${MAX_LOOKED_THROUGH} images share a layer with what was asked for: that is too many to look through`,
      );
    }
  }
}
