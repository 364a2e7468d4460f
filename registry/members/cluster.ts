/** One registry as a member: who answers a request (members.md, "Who answers"), as each reload has it. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import { RegistryError } from "../errors.ts";
import type { Exchange } from "../http/exchange.ts";
import type { Asking, Routing } from "../http/routing.ts";
import { readUpload } from "../http/upload-state.ts";
import type { Repositories } from "../repository/contract.ts";
import { isName } from "../repository/names.ts";
import type { SearchService } from "../search/service.ts";
import { untilAgreed } from "./agree.ts";
import { mergedCatalog, ownedListing } from "./catalog.ts";
import { Changes } from "./changes.ts";
import { MemberClient, type ObserveMember, type OpenAnswer } from "./client.ts";
import { fromAnybody, hasHere, isByDigest } from "./digests.ts";
import { isMemberError, type MemberError, nobodys } from "./errors.ts";
import { openForward, passOn } from "./forward.ts";
import { answerNewOwner } from "./give-up.ts";
import { mountFrom } from "./mounts.ts";
import { movedRepositories, takenRepositories } from "./moved.ts";
import { Mover } from "./mover.ts";
import { claimsToBePeer, MEMBER, type Peer, readPeer } from "./peers.ts";
import type { PreviousOwner } from "./previous-owner.ts";
import { searchForPeer, searchOfAll } from "./search.ts";
import { answerAboutSelf, answerStatus } from "./status.ts";
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
}

interface MemberAsking extends Asking {
  readonly peer: Peer;
}

const all = () => true;

/** This member is the owner; `end` when what it was asked to do has ended. */
class Own {
  readonly end: () => void;

  constructor(end: () => void) {
    this.end = end;
  }
}

export class Cluster implements Routing {
  readonly client: MemberClient;
  readonly #options: ClusterOptions;
  readonly #changes = new Changes();
  #view: View | undefined;
  #local: Repositories | undefined;
  #mover: Mover | undefined;
  #stopping: Promise<unknown> = Promise.resolve();

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.client = new MemberClient(() => this.view, options.clock, options.observe);
  }

  /** Absent: this registry is no member of a cluster. */
  get routing(): Routing | undefined {
    return this.#view && this;
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
    return config && openView(config, this.#options.clock, this.#view);
  }

  /** Connections that the new view does not use are ended. */
  use(view: View | undefined): void {
    const before = this.#view;
    this.#view = view;
    if (before) closeUnused(before, view);
    if (isSameList(before, view)) return;
    this.#options.ownsChanged();
    this.#changes.next();
    this.#startMover();
  }

  /** The stores are there: from now on repositories are taken over from members that owned them before. */
  serveFrom(local: Repositories): void {
    this.#local = local;
    this.#startMover();
  }

  /** Resolves once nothing of it is under way. */
  async close(): Promise<void> {
    this.use(undefined);
    await this.#stopping;
  }

  #startMover(): void {
    const { clock, log } = this.#options;
    const before = this.#mover;
    if (before) this.#stopping = Promise.all([this.#stopping, before.stop()]);
    const [view, local] = [this.#view, this.#local];
    this.#mover = view && local?.handover && new Mover({ view, client: this.client, clock, log, local });
    this.#mover?.start();
  }

  /** Members that are asked, with how they do, for metrics. */
  health(): { readonly member: string; readonly isAsked: boolean; readonly underWay: number }[] {
    return [...(this.#view?.origins.values() ?? [])]
      .filter(({ id }) => id !== this.view.self)
      .map(({ id, breaker, slots }) => ({ member: id, isAsked: !breaker.isOpen, underWay: slots.taken }));
  }

  peerOf(request: IncomingMessage, response: ServerResponse): MemberAsking | undefined {
    const { self, keys } = this.view;
    const { headers, method = "", url: path = "" } = request;
    if (!claimsToBePeer(headers)) return undefined;
    // Also with a refusal: whoever asks must know that it is this member that refuses.
    response.setHeader(MEMBER, self);
    const peer = readPeer(keys, headers, { method, path, to: self }, this.#options.clock.now());
    // Its right to what it asks for was settled where the account logged in.
    return peer && { peer, account: { name: peer.account, mayRead: all, readsAll: true, mayWrite: all } };
  }

  async serve(
    exchange: Exchange,
    asking: MemberAsking | undefined,
    here: (exchange: Exchange) => Promise<void>,
  ): Promise<void> {
    if (asking) return this.#servePeer(exchange, asking.peer, here);
    const { route } = exchange;
    switch (route.kind) {
      case "catalog":
        return here(this.#withCatalog(exchange));
      case "search":
      case "preferences":
        return here(this.#withSearch(exchange));
      case "members":
        if (route.reference !== "" || exchange.request.method === "POST") throw onlyMembers();
        return answerStatus(exchange, this.view, this.client, this.#options);
      default:
        // What cannot be a name is refused here as it is anywhere.
        return isName(route.name) ? this.#route(exchange, here) : here(exchange);
    }
  }

  async #route(exchange: Exchange, here: (exchange: Exchange) => Promise<void>): Promise<void> {
    if (this.view.digests === "all" && isByDigest(exchange)) return this.#routeDigest(exchange, here);
    const answer = await this.#askOwner(exchange);
    return answer instanceof Own ? this.#serveOwn(exchange, answer, here) : passOn(exchange, answer);
  }

  /** This member, the owner, all others. */
  async #routeDigest(exchange: Exchange, here: (exchange: Exchange) => Promise<void>): Promise<void> {
    if (await hasHere(exchange)) return here(exchange);
    let answer: OpenAnswer | Own;
    try {
      answer = await this.#askOwner(exchange);
    } catch (error) {
      if (!isMemberError(error)) throw error;
      return this.#anybody(exchange, error.member, error);
    }
    if (answer instanceof Own) {
      // On its way here from its previous owner, which need not be one of the members any more.
      if (this.#mover?.ownerBefore(exchange.route.name)) return this.#serveOwn(exchange, answer, here);
      answer.end();
      return this.#anybody(exchange, undefined, undefined);
    }
    if (answer.status !== 404) return passOn(exchange, answer);
    answer.discard();
    return this.#anybody(exchange, answer.member, undefined);
  }

  /** The client's body is not read before both members agree. */
  #askOwner(exchange: Exchange): Promise<OpenAnswer | Own> {
    const { route, context } = exchange;
    return untilAgreed(this.#options.clock, context.signal, async () => {
      const { list, self } = this.view;
      const owner = list.ownerOf(route.name);
      if (owner === undefined) throw nobodys(route.name, list.ids);
      return owner === self ? this.#own(exchange) : openForward(this.#forwarding(), exchange, owner, "owner");
    });
  }

  #anybody(exchange: Exchange, asked: string | undefined, failed: MemberError | undefined): Promise<void> {
    return fromAnybody(this.#forwarding(), this.view, exchange, asked, failed);
  }

  #forwarding() {
    return { client: this.client, changeMs: this.#options.changeMs() + this.view.answerMs };
  }

  async #servePeer(exchange: Exchange, peer: Peer, here: (exchange: Exchange) => Promise<void>): Promise<void> {
    const view = this.view;
    const { route, shared } = exchange;
    if (route.kind === "members" && route.reference === "self") {
      // Whoever disagrees is told too: that is what status is for.
      return answerAboutSelf(exchange, view, this.#options);
    }
    if (peer.listHash !== view.list.hash) throw otherList(view, peer);
    // The storage's own addresses are for clients; a member gets the bytes.
    const apart: Exchange = { ...exchange, shared: { ...shared, redirect: undefined } };
    if (peer.role === "previous") return this.#serveNewOwner(apart, peer, here);
    switch (route.kind) {
      case "catalog":
        return here(
          withRepositories(apart, {
            listRepositories: (page, context) => ownedListing(shared.repositories, view, page, context),
          }),
        );
      case "search":
        return here(withSearch(apart, searchForPeer));
      case "preferences":
        if (view.list.ownerOf(exchange.query.get("repo") ?? "") !== view.self) throw otherList(view, peer);
        return here(apart);
      case "members":
        throw onlyMembers();
      default:
    }
    if (peer.role === "digest" && isByDigest(exchange)) return here(apart);
    if (peer.role !== "owner" || view.list.ownerOf(route.name) !== view.self) throw otherList(view, peer);
    return this.#serveOwn(apart, this.#own(exchange), here);
  }

  /** Of what this member owned before, and has not yet handed over. */
  async #serveNewOwner(exchange: Exchange, peer: Peer, here: (exchange: Exchange) => Promise<void>): Promise<void> {
    const { route, request } = exchange;
    const { view } = this;
    // What began here under the list before may still change a repository that is another member's by now.
    if (!this.#changes.areSettled) throw otherList(view, peer);
    if (route.kind === "members") return answerNewOwner(exchange, view, peer);
    if (view.list.ownerOf(route.name) !== peer.id) throw otherList(view, peer);
    if (request.method !== "GET" && request.method !== "HEAD" && route.kind !== "upload") throw onlyMembers();
    return here(exchange);
  }

  #own({ route, request }: Exchange): Own {
    const isChange = request.method === "PUT" || request.method === "DELETE";
    // The end of an upload changes the repository too, and may take hours: the mover looks for what comes late.
    return new Own(isChange && route.kind !== "upload" ? this.#changes.begin() : () => {});
  }

  async #serveOwn(exchange: Exchange, own: Own, here: (exchange: Exchange) => Promise<void>): Promise<void> {
    try {
      const mover = this.#mover;
      const from = mover?.ownerBefore(exchange.route.name);
      if (mover === undefined || from === undefined) return await here(this.#withMounts(exchange));
      if (isOthersUpload(exchange)) return await this.#serveUploadThere(exchange, mover, from);
      const { name } = exchange.route;
      const { repositories: local } = exchange.shared;
      const isDone = await mover.isDone(name, from, exchange.context);
      const repositories = (isDone ? takenRepositories : movedRepositories)(local, mover, from);
      await here(this.#withMounts(withRepositories(exchange, repositories)));
    } finally {
      own.end();
    }
  }

  /** An upload that began at the previous owner ends there; its blob is brought before the client hears of it. */
  async #serveUploadThere(exchange: Exchange, mover: Mover, from: PreviousOwner): Promise<void> {
    const { route, context, query, request } = exchange;
    const answer = await untilAgreed(this.#options.clock, context.signal, () =>
      openForward(this.#forwarding(), exchange, from.member, "previous"),
    );
    const digest = query.get("digest");
    if (request.method === "PUT" && answer.status === 201 && digest !== null) {
      try {
        await mover.bring(route.name, digest, from, context);
      } catch (error) {
        answer.discard();
        throw error;
      }
    }
    return passOn(exchange, answer);
  }

  /** This member's own repositories, to which others' blobs can be mounted. */
  #withMounts(exchange: Exchange): Exchange {
    if (exchange.route.kind !== "uploads") return exchange;
    const { repositories: local } = exchange.shared;
    return withRepositories(exchange, {
      mountBlob: async (name, digest, source, context) => {
        const found = await local.mountBlob(name, digest, source, context);
        const { from } = source;
        if (found !== undefined || from === undefined || !isName(from)) return found;
        return mountFrom(this.#with(exchange), name, digest, from, context);
      },
    });
  }

  #withCatalog(exchange: Exchange): Exchange {
    const missing = (members: readonly string[]) =>
      // RFC 9111 took the field's registry away, not the field: 199 is "miscellaneous".
      void exchange.response.setHeader("Warning", `199 outrigger "without ${members.join(", ")}: not reached"`);
    return withRepositories(exchange, {
      listRepositories: (page, context) => mergedCatalog({ ...this.#with(exchange), missing }, page, context),
    });
  }

  #withSearch(exchange: Exchange): Exchange {
    const { client } = this;
    const { clock } = this.#options;
    const { account } = exchange;
    return withSearch(exchange, (local) => searchOfAll({ view: () => this.view, client, clock, local, account }));
  }

  #with({ shared, account }: Exchange) {
    const { clock, log } = this.#options;
    const view = () => this.view;
    return { view, client: this.client, clock, log, local: shared.repositories, account: account.name };
  }
}

function withRepositories(exchange: Exchange, changed: Partial<Repositories>): Exchange {
  const { shared } = exchange;
  return { ...exchange, shared: { ...shared, repositories: { ...shared.repositories, ...changed } } };
}

function withSearch(exchange: Exchange, changed: (local: SearchService) => SearchService): Exchange {
  const { shared } = exchange;
  return shared.search === undefined
    ? exchange
    : { ...exchange, shared: { ...shared, search: changed(shared.search) } };
}

/** Whether an upload began elsewhere: another member's secret has signed its state. */
function isOthersUpload({ route, query, shared }: Exchange): boolean {
  if (route.kind !== "upload") return false;
  try {
    readUpload(shared.secret, route.name, route.reference, query.get("_state") ?? undefined, shared.clock.now());
    return false;
  } catch (error) {
    return error instanceof RegistryError && error.code === "BLOB_UPLOAD_INVALID";
  }
}

function isSameList(one: View | undefined, other: View | undefined): boolean {
  const [first, second] = [one, other].map((view) => view && [view.self, view.list.hash, view.previous?.hash]);
  return isDeepStrictEqual(first, second);
}

/** 421, which a member takes for "ask again soon": a reload goes through the members one by one. */
function otherList({ list }: View, peer: Peer): RegistryError {
  return new RegistryError("UNAVAILABLE", `it has list ${list.hash}, and was asked under ${peer.listHash}`, {
    status: 421,
  });
}

function onlyMembers(): RegistryError {
  return new RegistryError("UNSUPPORTED", "there is no such endpoint for clients", { status: 404 });
}
