/**
 * The small world of images that zot's answers were recorded over (fixtures/world.json: manifests and configs as they were
 * pushed, in order), and searches over it.
 */
import { readFileSync } from "node:fs";
import type { Account } from "../../../registry/auth/contract.ts";
import type { GraphQlAnswer } from "../../../registry/search/answer.ts";
import type { Asker } from "../../../registry/search/asking.ts";
import { createSearch, type Explain, type Search } from "../../../registry/search/index.ts";
import type { Preferences, Preferred } from "../../../registry/search/preferences.ts";
import type { Scanner } from "../../../registry/search/scanner.ts";
import { FakeSource, type Pushed } from "./fake-source.ts";

export const WORLD: { readonly manifests: readonly Pushed[]; readonly configs: Readonly<Record<string, string>> } =
  fixture("world.json");

export function fixture<Value>(name: string): Value {
  return JSON.parse(readFileSync(new URL(`fixtures/${name}`, import.meta.url), "utf8"));
}

/** When the first image of the world is pushed; each following one a second later. */
export const WORLD_MS = Date.UTC(2026, 10, 20, 21, 7, 44);

export function pushWorld(source: FakeSource, owns: (name: string) => boolean = () => true): void {
  for (const [index, pushed] of WORLD.manifests.entries()) {
    if (!owns(pushed.name)) continue;
    const config = JSON.parse(pushed.text).config?.digest;
    source.push(pushed, config && WORLD.configs[config], WORLD_MS + index * 1000);
  }
}

export function worldSource(): FakeSource {
  const source = new FakeSource();
  pushWorld(source);
  return source;
}

/** In memory. */
export class FakePreferences implements Preferences {
  readonly users = new Map<string, { readonly starred: Set<string>; readonly bookmarked: Set<string> }>();

  #user(user: string) {
    const known = this.users.get(user) ?? { starred: new Set<string>(), bookmarked: new Set<string>() };
    this.users.set(user, known);
    return known;
  }

  async of(user: string): Promise<Preferred> {
    return this.#user(user);
  }

  async toggle(user: string, preference: "star" | "bookmark", name: string): Promise<boolean> {
    const names = preference === "star" ? this.#user(user).starred : this.#user(user).bookmarked;
    if (names.delete(name)) return false;
    names.add(name);
    return true;
  }
}

export const ALICE: Account = { name: "alice", mayRead: () => true, mayWrite: () => true };
export const NOBODY: Account = { name: "", mayRead: () => true, mayWrite: () => true };

export function askerOf(account: Account, has?: (name: string) => boolean): Asker {
  return {
    account,
    scope: has === undefined ? { everything: true, has: () => true } : { everything: false, has },
    mayDelete: account.mayWrite,
    context: { requestId: "test", signal: new AbortController().signal },
  };
}

export const explain: Explain = (error) => ({ message: `fault: ${(error as Error).message}`, code: "UNKNOWN" });

export interface Searching {
  readonly source: FakeSource;
  readonly preferences: FakePreferences;
  readonly search: Search;
  ask(query: string, variables?: Record<string, unknown>, asker?: Asker): Promise<Asked>;
}

export interface Asked extends Pick<GraphQlAnswer, "errors"> {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: any answer
  readonly data: any;
}

export function searching(source = worldSource(), scanner?: Scanner): Searching {
  const preferences = new FakePreferences();
  const search = createSearch({ source, holders: source, preferences, scanner }, explain);
  return {
    source,
    preferences,
    search,
    async ask(query, variables, asker = askerOf(NOBODY)) {
      const { status, answer } = await search.answer({ query, variables }, asker);
      // As it goes over the wire.
      return { status, ...JSON.parse(JSON.stringify(answer)) };
    },
  };
}
