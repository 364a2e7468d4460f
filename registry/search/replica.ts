/** All that search tells, in memory: filled key by key, in any order, and then summed up. */
import { bytewise } from "../../proto/keys.ts";
import { parseSearchKey } from "../repository/keys.ts";
import type { RepositoryOrder, RepositoryView } from "./contract.ts";
import { Contents, holdersOf } from "./images.ts";
import { decodePulls, decodeRecord, decodeTagRecord } from "./record.ts";
import { RepositoryState } from "./repository-state.ts";
import { placeOf } from "./sorted.ts";

/** With more changed at once it is quicker to sort anew. */
const MOST_MOVED = 200;

export class Replica {
  readonly #owns: (name: string) => boolean;
  readonly #repositories = new Map<string, RepositoryState>();
  readonly #contents = new Contents();
  readonly #changed = new Set<RepositoryState>();
  /** Those that have a tag. */
  readonly #orders: readonly Order[] = [
    new Order((a, b) => bytewise(a.name, b.name)),
    new Order((a, b) => listed(b).updatedMs - listed(a).updatedMs || bytewise(a.name, b.name)),
    new Order((a, b) => listed(b).downloads - listed(a).downloads || bytewise(a.name, b.name)),
  ];
  tagCount = 0;

  /** @param owns whether a repository of that name is to be seen */
  constructor(owns: (name: string) => boolean) {
    this.#owns = owns;
  }

  /** What a key of search holds now; `undefined`: it is not there. */
  set(key: string, value: Buffer | undefined): void {
    const at = parseSearchKey(key);
    if (at === undefined || !this.#owns(at.name)) return;
    let repository = this.#repositories.get(at.name);
    if (repository === undefined) {
      if (value === undefined) return;
      repository = new RepositoryState(at.name, this.#contents);
      this.#repositories.set(repository.name, repository);
    }
    this.#changed.add(repository);
    switch (at.kind) {
      case "image":
        repository.setImage(at.digest, value && decodeRecord(value));
        break;
      case "pulls":
        repository.setPulls(at.digest, value && decodePulls(value));
        break;
      case "tag":
        repository.setTag(at.tag, value && decodeTagRecord(value));
        break;
      case "star":
        repository.setStar(at.user, value !== undefined);
        break;
    }
  }

  /** To be called after the last of several keys, before anybody looks. */
  sumUp(): void {
    const changed = [...this.#changed];
    this.#changed.clear();
    const few = changed.length <= MOST_MOVED;
    for (const repository of changed) {
      if (repository.listed !== undefined) {
        this.tagCount -= repository.listed.tagCount;
        if (few) for (const order of this.#orders) order.remove(repository);
      }
      repository.sumUp();
      if (repository.isEmpty) this.#repositories.delete(repository.name);
      const { updatedMs, downloads, tagCount } = repository;
      repository.listed = tagCount === 0 ? undefined : { updatedMs, downloads, tagCount };
      this.tagCount += tagCount;
      if (few && repository.listed !== undefined) for (const order of this.#orders) order.add(repository);
    }
    if (few) return;
    const all = [...this.#repositories.values()].filter((repository) => repository.listed !== undefined);
    for (const order of this.#orders) order.replace(all);
  }

  get repositoryCount(): number {
    return this.#orders[0]?.items.length ?? 0;
  }

  repository(name: string): RepositoryView | undefined {
    return this.#repositories.get(name);
  }

  *repositories(order: RepositoryOrder, offset = 0): Iterable<RepositoryView> {
    const items = this.#orders[order === "updated" ? 1 : order === "downloads" ? 2 : 0]?.items ?? [];
    for (let at = Math.max(0, offset); at < items.length; at += 1) {
      const repository = items[order === "name-desc" ? items.length - 1 - at : at];
      if (repository !== undefined) yield repository;
    }
  }

  repositoriesWith(manifestDigest: string): readonly string[] {
    const content = this.#contents.get(manifestDigest);
    return content === undefined
      ? []
      : holdersOf(content)
          .map(({ name }) => name)
          .sort(bytewise);
  }
}

class Order {
  items: RepositoryState[] = [];
  readonly #compare: (a: RepositoryState, b: RepositoryState) => number;

  constructor(compare: (a: RepositoryState, b: RepositoryState) => number) {
    this.#compare = compare;
  }

  /** With `listed` as it was when it was added. */
  remove(repository: RepositoryState): void {
    this.items.splice(this.#placeOf(repository), 1);
  }

  add(repository: RepositoryState): void {
    this.items.splice(this.#placeOf(repository), 0, repository);
  }

  replace(all: readonly RepositoryState[]): void {
    this.items = [...all].sort(this.#compare);
  }

  #placeOf(repository: RepositoryState): number {
    return placeOf(this.items, (one) => this.#compare(one, repository));
  }
}

function listed({ listed: held }: RepositoryState): { readonly updatedMs: number; readonly downloads: number } {
  if (held === undefined) throw new Error("a repository without tags is in no order");
  return held;
}
