/** One registry as a member: who answers a request (members.md, "Who answers"), as each reload has it. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import type { Account } from "../auth/contract.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import { RegistryError } from "../errors.ts";
import type { Exchange } from "../http/exchange.ts";
import type { Asking, Routing } from "../http/routing.ts";
import type { OwnOverview, RegistryOverview } from "../page/contract.ts";
import type { ListOfCores } from "../pairs/lists.ts";
import type { Repositories } from "../repository/contract.ts";
import { ALONE, type DeclaredList, noCluster } from "../repository/member-list.ts";
import { isName } from "../repository/names.ts";
import type { SearchService } from "../search/service.ts";
import { untilAgreed } from "./agree.ts";
import type { OpenAnswer } from "./answers.ts";
import { mergedCatalog, ownedListing } from "./catalog.ts";
import { MemberClient, type ObserveMember } from "./client.ts";
import { failureOf, fromAnybody, hasHere, isByDigest, saysAbsent } from "./digests.ts";
import {
  isMemberError,
  isOtherList,
  MemberDisagrees,
  type MemberError,
  nobodys,
  noMemberAnyMore,
  onlyMembers,
  otherList,
} from "./errors.ts";
import { type Forwarding, openForward, passOn } from "./forward.ts";
import { answerOverview, clusterOverview } from "./overview.ts";
import { type Here, Own, OwnRepositories, withRepositories } from "./own.ts";
import type { MemberList } from "./owners.ts";
import { claimsToBePeer, MEMBER, type Peer, readPeer } from "./peers.ts";
import { searchOfAll } from "./search.ts";
import { answerAboutSelf, answerStatus } from "./status.ts";
import { assertMayChange } from "./unfinished.ts";
import { closeUnused, openView, type View } from "./view.ts";

export interface ClusterOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly observe: ObserveMember;
  /** How long a change may wait at the owner, beyond what a read may: its storage may be sealed for a while. */
  readonly changeMs: () => number;
  readonly coreVersion: string | undefined;
  /** Other repositories are this member's own by now. */
  readonly ownsChanged: () => void;
  /** Nothing may be changed. */
  readonly readOnly: () => boolean;
  /** What this member tells of itself. */
  readonly own: () => OwnOverview;
  /** Which list the cores beside this one go by. */
  readonly lists: ListOfCores;
}

interface MemberAsking extends Asking {
  readonly peer: Peer;
}

const all = () => true;

export class Cluster implements Routing {
  readonly client: MemberClient;
  readonly #options: ClusterOptions;
  readonly #own: OwnRepositories;
  readonly #alone: Routing;
  #view: View | undefined;

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { clock, log, observe, readOnly, lists } = options;
    const view = () => this.view;
    this.client = new MemberClient(view, clock, observe);
    const forwarding = () => this.#forwarding();
    this.#own = new OwnRepositories({
      ...{ clock, log, client: this.client, view, forwarding, readOnly, lists },
      owns: (name) => this.owns(name),
    });
    this.#alone = {
      peerOf: () => undefined,
      serve: async (exchange, _, here) => {
        // A reload may have come while the client logged in.
        if (this.#view) return this.serve(exchange, undefined, here);
        // Others of its cores may be a member by now.
        await lists.assertCurrent();
        return this.#own.count(exchange, here);
      },
    };
  }

  /** Also of a registry that is no member of a cluster: it may become one while changes are under way. */
  get routing(): Routing {
    return this.#view ? this : this.#alone;
  }

  /** Whether a repository of that name is this registry's own: of all there are, where it is no member of a cluster. */
  owns(name: string): boolean {
    return this.#view === undefined || this.#view.list.ownerOf(name) === this.#view.self;
  }

  /** As of now: a reload exchanges it. @throws UNAVAILABLE where a reload has taken this registry out of its cluster */
  get view(): View {
    if (this.#view) return this.#view;
    throw new RegistryError("UNAVAILABLE", "this registry is no member of a cluster any more", {
      retryAfterSeconds: 1,
    });
  }

  /**
   * What `use` takes; nothing is changed yet.
   * @throws Error, in one sentence, that names the setting
   */
  async prepare(config: ClusterConfig | undefined): Promise<View | undefined> {
    const before = this.#view;
    const next = config && (await openView(config, this.#options.clock, before));
    if (before) await assertMayChange(before, next, () => this.#own.unmoved(before));
    if (!isSameList(before, next)) await this.#options.lists.assertMayDeclare(declared(next));
    return next;
  }

  /** Connections that the new view does not use are ended. */
  use(view: View | undefined): void {
    const before = this.#view;
    this.#view = view;
    if (before) closeUnused(before, view);
    if (isSameList(before, view)) return;
    this.#options.lists.declare(declared(view));
    this.#options.ownsChanged();
    this.#own.next(view);
  }

  /** The stores are there: from now on repositories are taken over from members that owned them before. */
  serveFrom(local: Repositories): void {
    this.#own.start(local, this.#view);
  }

  /** Resolves once nothing of it is under way. */
  async close(): Promise<void> {
    const view = this.#view;
    this.#view = undefined;
    if (view) closeUnused(view, undefined);
    this.#own.next(undefined);
    await this.#own.stopped();
  }

  /** Of all members; of this registry alone, where it is no member of a cluster. */
  searchOf(local: SearchService, account: Account): SearchService {
    if (this.#view === undefined) return local;
    return searchOfAll({ view: () => this.view, client: this.client, clock: this.#options.clock, local, account });
  }

  /** `undefined`: this registry is no member of a cluster. */
  overview(own: () => OwnOverview, signal: AbortSignal): Promise<RegistryOverview> | undefined {
    return this.#view && clusterOverview(this.#view, this.client, own, signal);
  }

  /** Members that are asked, with how they do, for metrics. */
  health(): { readonly member: string; readonly isAsked: boolean; readonly underWay: number }[] {
    return [...(this.#view?.origins.values() ?? [])]
      .filter(({ id }) => id !== this.view.self)
      .map(({ id, breaker, slots }) => ({ member: id, isAsked: !breaker.isOpen, underWay: slots.taken }));
  }

  peerOf(request: IncomingMessage, response: ServerResponse): MemberAsking | undefined {
    const { self, keys, certificates } = this.view;
    const { headers, method = "", url: path = "" } = request;
    if (!claimsToBePeer(headers)) return undefined;
    // Also with a refusal: whoever asks must know that it is this member that refuses.
    response.setHeader(MEMBER, self);
    try {
      const shown = certificates?.shownOn(request.socket);
      const peer = readPeer(keys, headers, { method, path, to: self }, this.#options.clock.now(), shown);
      // Its right to what it asks for was settled where the account logged in.
      return peer && { peer, account: { name: peer.account, mayRead: all, readsAll: true, mayWrite: all } };
    } catch (error) {
      // A better certificate can be shown on the next connection alone.
      response.shouldKeepAlive = false;
      throw error;
    }
  }

  async serve(exchange: Exchange, asking: MemberAsking | undefined, here: Here): Promise<void> {
    if (asking) {
      const { peer } = asking;
      return this.#servePeer(exchange, peer, here).catch((error: unknown) => {
        // Its own clients are told to try again; a member does so by itself.
        const isBehind = error instanceof MemberDisagrees && error.member === this.#view?.self;
        const said = isBehind ? otherList(this.view.hash, peer.listHash) : error;
        // Of several cores behind one address the next connection may lead to one that agrees.
        if (isOtherList(said)) exchange.response.shouldKeepAlive = false;
        throw said;
      });
    }
    const { route } = exchange;
    switch (route.kind) {
      case "catalog":
        await this.#own.assertCurrent();
        return here(this.#withCatalog(exchange));
      case "search":
      case "preferences":
        await this.#own.assertCurrent();
        return this.#own.count(this.#withSearch(exchange), here);
      case "members":
        if (route.reference !== "" || exchange.request.method === "POST") throw onlyMembers();
        return answerStatus(exchange, this.view, this.client, this.#options);
      default:
        // What cannot be a name is refused here as it is anywhere.
        return isName(route.name) ? this.#route(exchange, here) : here(exchange);
    }
  }

  async #route(exchange: Exchange, here: Here): Promise<void> {
    if (this.view.digests !== "owner" && isByDigest(exchange)) return this.#routeDigest(exchange, here);
    const answer = await this.#askOwner(exchange);
    return answer instanceof Own ? this.#own.serve(exchange, answer, here) : passOn(exchange, answer);
  }

  /** This member, the owner, all others. */
  async #routeDigest(exchange: Exchange, here: Here): Promise<void> {
    if (await hasHere(exchange)) return here(exchange);
    let answer: OpenAnswer | Own;
    try {
      answer = await this.#askOwner(exchange);
    } catch (error) {
      if (!isMemberError(error)) throw error;
      return void (await this.#anybody(exchange, error.member, error));
    }
    if (answer instanceof Own) {
      // On its way here from its previous owner, which need not be one of the members any more.
      if (this.#own.isMoved(exchange.route.name)) return this.#own.serve(exchange, answer, here);
      answer.end();
      return this.#own.adopt(exchange, await this.#anybody(exchange, undefined, undefined));
    }
    if (answer.status !== 404 && answer.status < 500) return passOn(exchange, answer);
    answer.discard();
    await this.#anybody(exchange, answer.member, failureOf(answer));
  }

  /** The client's body is not read before both members agree. */
  #askOwner(exchange: Exchange): Promise<OpenAnswer | Own> {
    const { route, context } = exchange;
    return untilAgreed(this.#options.clock, context.signal, async () => {
      const { list, self } = this.view;
      const owner = list.ownerOf(route.name);
      if (owner === undefined) throw nobodys(route.name, list.ids);
      return owner === self ? this.#own.begin(exchange) : openForward(this.#forwarding(), exchange, owner, "owner");
    });
  }

  #anybody(exchange: Exchange, asked: string | undefined, failed: MemberError | undefined): Promise<string> {
    return fromAnybody(this.#forwarding(), this.view, exchange, asked, failed);
  }

  #forwarding(): Forwarding {
    return { client: this.client, changeMs: this.#options.changeMs() + this.view.answerMs };
  }

  async #servePeer(exchange: Exchange, peer: Peer, here: Here): Promise<void> {
    const view = this.view;
    const { route, shared } = exchange;
    if (route.kind === "members" && route.reference === "self") {
      // Whoever disagrees is told too: that is what status is for.
      return answerAboutSelf(exchange, view, this.#options);
    }
    if (route.kind === "members" && route.reference === "health") return answerOverview(exchange, this.#options.own);
    if (peer.listHash !== view.hash) throw otherList(view.hash, peer.listHash);
    if (!view.origins.has(peer.id)) throw noMemberAnyMore(peer.id, [...view.origins.keys()]);
    // The storage's own addresses are for clients; a member gets the bytes.
    const apart: Exchange = { ...exchange, shared: { ...shared, redirect: undefined } };
    if (peer.role === "previous") return this.#own.serveNewOwner(apart, peer, here);
    switch (route.kind) {
      case "catalog":
        return here(
          withRepositories(apart, {
            listRepositories: (page, context) =>
              ownedListing(this.#own.listing(shared.repositories), view, page, context),
          }),
        );
      case "search":
        await this.#own.assertCurrent();
        return here({ ...apart, byPeer: true });
      case "preferences":
        if (view.list.ownerOf(exchange.query.get("repo") ?? "") !== view.self)
          throw otherList(view.hash, peer.listHash);
        await this.#own.assertCurrent();
        return this.#own.count(apart, here);
      case "members":
        throw onlyMembers();
      default:
        // About no repository: each member has a part of its own.
        if (route.name === "") return here(apart);
    }
    if (peer.role === "digest" && isByDigest(exchange)) return here(apart);
    if (peer.role !== "owner" || view.list.ownerOf(route.name) !== view.self) throw otherList(view.hash, peer.listHash);
    try {
      await this.#own.serve(apart, await this.#own.begin(exchange), here);
    } catch (error) {
      // One hop: whoever asks looks further for its client, this member for itself.
      if (saysAbsent(error)) this.#own.adopt(exchange);
      throw error;
    }
  }

  #withCatalog(exchange: Exchange): Exchange {
    const missing = (members: readonly string[]) =>
      // RFC 9111 took the field's registry away, not the field: 199 is "miscellaneous".
      void exchange.response.setHeader("Warning", `199 outrigger "without ${members.join(", ")}: not reached"`);
    const { shared, account } = exchange;
    const { client } = this;
    const view = () => this.view;
    const { clock } = this.#options;
    const all = { view, client, clock, local: this.#own.listing(shared.repositories), account: account.name, missing };
    return withRepositories(exchange, { listRepositories: (page, context) => mergedCatalog(all, page, context) });
  }

  #withSearch(exchange: Exchange): Exchange {
    return withSearch(exchange, (local) => this.searchOf(local, exchange.account));
  }
}

/** What the cores of this member have in common that agree. */
function declared(view: View | undefined): DeclaredList {
  if (view === undefined) return noCluster;
  const { list, previous, self } = view;
  const hashOf = ({ ids, hash }: MemberList) => (ids.length === 1 && ids[0] === self ? ALONE : hash);
  const before = previous?.ids.includes(self) ? hashOf(previous) : undefined;
  return { hash: hashOf(list), previous: before, isMember: true };
}

function isSameList(one: View | undefined, other: View | undefined): boolean {
  return one?.self === other?.self && one?.hash === other?.hash;
}

function withSearch(exchange: Exchange, changed: (local: SearchService) => SearchService): Exchange {
  const { shared } = exchange;
  return shared.search === undefined
    ? exchange
    : { ...exchange, shared: { ...shared, search: changed(shared.search) } };
}
