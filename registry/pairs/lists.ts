/** Which list of members holds, in all pairs of stores of a registry: each has a key of its own (member-list.ts). */
import type { DeclaredList, MemberListOfCores } from "../repository/member-list.ts";
import type { Routed, Routes } from "./routes.ts";

/** What a member knows of the cores beside it. */
export interface ListOfCores {
  /** Whether there may be other cores (`cores: many`). */
  readonly isShared: boolean;
  /** From now on this list holds for this core. */
  declare(list: DeclaredList): void;
  /** Whether this core may go over to that list. Of stores that were not reached yet that is found out later. @throws Error */
  assertMayDeclare(list: DeclaredList): Promise<void>;
  /**
   * Resolves when this core's list was that of all cores, as of a moment ago.
   * @param name absent: also for what lies in any of the stores
   * @throws ListOutdated
   */
  assertCurrent(name?: string): Promise<void>;
  /** Whether no core goes by an older list any more. */
  readonly isSettled: boolean;
  /** Why this core neither writes nor answers; `undefined`: it does. */
  readonly outdated: string | undefined;
}

export interface PairWithList extends Routed {
  readonly repositories: { readonly list: MemberListOfCores };
  readonly isServing: boolean;
}

export function listInPairs(routes: () => Routes<PairWithList>, isShared: boolean): ListOfCores {
  const serving = () => routes().all.filter(({ isServing }) => isServing);
  return {
    isShared,
    declare(list) {
      for (const { repositories } of routes().all) repositories.list.declare(list);
    },
    async assertMayDeclare(list) {
      for (const { repositories } of serving()) await repositories.list.assertMayDeclare(list);
    },
    async assertCurrent(name) {
      // One that is not served yet is refused where it is asked.
      const asked = name === undefined ? serving() : [routes().of(name)].filter(({ isServing }) => isServing);
      await Promise.all(asked.map(({ repositories }) => repositories.list.assertCurrent()));
    },
    get isSettled() {
      return routes().all.every(({ repositories }) => repositories.list.isSettled);
    },
    get outdated() {
      return serving()
        .map(({ repositories }) => repositories.list.outdated)
        .find((why) => why !== undefined);
    },
  };
}
