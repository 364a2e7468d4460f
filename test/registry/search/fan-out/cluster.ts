/** One registry, and the same repositories spread over several: in this process, answers going as text between them. */
import { createHash } from "node:crypto";
import type { GraphQlAnswer } from "../../../../registry/search/answer.ts";
import type { Asker } from "../../../../registry/search/asking.ts";
import { type PeerRequest, readExtensions } from "../../../../registry/search/fan-out/contract.ts";
import { createFanOut } from "../../../../registry/search/fan-out/index.ts";
import { createSearch, type Search } from "../../../../registry/search/index.ts";
import type { Scanner } from "../../../../registry/search/scanner.ts";
import { FakeSource } from "../fake-source.ts";
import { askerOf, explain, FakePreferences, NOBODY } from "../world.ts";

/** Fills a registry with the repositories that it owns. */
export type Fill = (source: FakeSource, preferences: FakePreferences, owns: (name: string) => boolean) => void;

export interface Cluster {
  readonly ids: readonly string[];
  readonly sources: ReadonlyMap<string, FakeSource>;
  ownerOf(name: string): string;
  /** Every question between members: who was asked, and what. */
  readonly asked: { readonly member: string; readonly request: PeerRequest }[];
  /** By member: what it answers instead. */
  readonly instead: Map<string, (request: PeerRequest, answer: () => Promise<GraphQlAnswer>) => Promise<GraphQlAnswer>>;
  /** Repositories are on their way between members. */
  isMoving: boolean;
  ask(query: string, variables?: Record<string, unknown>, asker?: Asker): Promise<GraphQlAnswer & { status: number }>;
}

const IDS = ["a", "b", "c"];

export function clusterOf(count: number, fill: Fill, scanner?: Scanner): Cluster {
  const ids = IDS.slice(0, count);
  const ownerOf = (name: string) => ids[createHash("sha256").update(name).digest().readUInt16BE() % count] ?? "a";
  const sources = new Map<string, FakeSource>();
  const searches = new Map<string, Search>();
  for (const id of ids) {
    const source = new FakeSource();
    const preferences = new FakePreferences();
    fill(source, preferences, (name) => ownerOf(name) === id);
    sources.set(id, source);
    searches.set(id, createSearch({ source, holders: source, preferences, scanner }, explain));
  }
  const self = searches.get("a") as Search;
  const asked: Cluster["asked"] = [];
  const instead: Cluster["instead"] = new Map();
  let current: Asker = askerOf(NOBODY);
  const { answer } = createFanOut({
    search: self,
    self: "a",
    members: () => ids,
    ownerOf,
    isMoving: () => cluster.isMoving,
    async askMember(member, request) {
      asked.push({ member, request });
      const honest = async () => {
        const { query, variables, extensions }: PeerRequest = JSON.parse(JSON.stringify(request));
        const asker = { ...current, layers: readExtensions(extensions).layers };
        const { answer } = await (searches.get(member) as Search).answer({ query, variables }, asker);
        return JSON.parse(JSON.stringify(answer));
      };
      const other = instead.get(member);
      return other === undefined ? honest() : other(request, honest);
    },
  });
  const cluster: Cluster = {
    ids,
    sources,
    ownerOf,
    asked,
    instead,
    isMoving: false,
    async ask(query, variables, asker = askerOf(NOBODY)) {
      current = asker;
      const { status, answer: answered } = await answer({ query, variables }, asker);
      return { status, ...JSON.parse(JSON.stringify(answered)) };
    },
  };
  return cluster;
}
