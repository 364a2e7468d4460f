/** Which pair of stores a repository lies in: that of the longest prefix, on component boundaries. */

export interface Routed {
  /** Name components without a slash at the end; "": everything that no other prefix has. */
  readonly prefix: string;
}

/** `team-a/` and `team-a` are one prefix: of the repository of that name, and of all below it. */
export function normalPrefix(prefix: string): string {
  return prefix.replace(/\/$/, "");
}

export class Routes<Pair extends Routed> {
  readonly main: Pair;
  readonly all: readonly Pair[];
  readonly #byPrefix: ReadonlyMap<string, Pair>;

  constructor(main: Pair, others: readonly Pair[]) {
    this.main = main;
    this.all = [main, ...others];
    this.#byPrefix = new Map(others.map((pair) => [pair.prefix, pair]));
  }

  of(name: string): Pair {
    if (this.#byPrefix.size === 0) return this.main;
    for (let prefix = name; prefix !== ""; prefix = prefix.slice(0, Math.max(0, prefix.lastIndexOf("/")))) {
      const found = this.#byPrefix.get(prefix);
      if (found !== undefined) return found;
    }
    return this.main;
  }
}
