/** The views of several sources, each of repositories of its own, as one. */
import { bytewise } from "../../proto/keys.ts";
import type { RequestContext } from "../repository/contract.ts";
import type { RepositoryOrder, RepositoryView, SearchSource, SearchView } from "./contract.ts";
import type { ImageRecord } from "./record.ts";

/**
 * @param sources of all; @throws what keeps any of them from answering
 * @param sourceOf the one that a repository of that name would be in
 */
export function joinedSearch(
  sources: () => readonly SearchSource[],
  sourceOf: (name: string) => SearchSource,
): SearchSource {
  return {
    async view(context) {
      const all = sources();
      const views = await Promise.all(all.map((source) => source.view(context)));
      return new JoinedView(views, (name) => views[all.indexOf(sourceOf(name))]);
    },
  };
}

class JoinedView implements SearchView {
  readonly #views: readonly SearchView[];
  readonly #viewOf: (name: string) => SearchView | undefined;

  constructor(views: readonly SearchView[], viewOf: (name: string) => SearchView | undefined) {
    this.#views = views;
    this.#viewOf = viewOf;
  }

  get repositoryCount(): number {
    return this.#views.reduce((sum, { repositoryCount }) => sum + repositoryCount, 0);
  }

  get tagCount(): number {
    return this.#views.reduce((sum, { tagCount }) => sum + tagCount, 0);
  }

  repository(name: string): RepositoryView | undefined {
    return this.#viewOf(name)?.repository(name);
  }

  *repositories(order: RepositoryOrder, offset = 0): Iterable<RepositoryView> {
    const compare = comparisons[order];
    const iterators = this.#views.map((view) => view.repositories(order)[Symbol.iterator]());
    const heads = iterators.map((iterator) => iterator.next());
    for (let passed = 0; ; passed += 1) {
      let first: number | undefined;
      for (const [index, head] of heads.entries()) {
        if (head.done) continue;
        const best = first === undefined ? undefined : heads[first];
        if (best === undefined || best.done || compare(head.value, best.value) < 0) first = index;
      }
      const found = first === undefined ? undefined : heads[first];
      const iterator = first === undefined ? undefined : iterators[first];
      if (first === undefined || iterator === undefined || found === undefined || found.done) return;
      heads[first] = iterator.next();
      if (passed >= offset) yield found.value;
    }
  }

  repositoriesWith(manifestDigest: string): readonly string[] {
    return this.#views.flatMap((view) => view.repositoriesWith(manifestDigest)).sort(bytewise);
  }

  async records(
    name: string,
    digests: readonly string[],
    context: RequestContext,
  ): Promise<ReadonlyMap<string, ImageRecord>> {
    return this.#viewOf(name)?.records(name, digests, context) ?? new Map();
  }
}

const byName = (a: RepositoryView, b: RepositoryView) => bytewise(a.name, b.name);

const comparisons: Readonly<Record<RepositoryOrder, (a: RepositoryView, b: RepositoryView) => number>> = {
  name: byName,
  "name-desc": (a, b) => byName(b, a),
  updated: (a, b) => b.updatedMs - a.updatedMs || byName(a, b),
  downloads: (a, b) => b.downloads - a.downloads || byName(a, b),
};
