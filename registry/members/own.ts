/** Repositories that this member owns, or owned before: answered from its own stores, and taken over from others. */
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import { RegistryError } from "../errors.ts";
import type { Exchange } from "../http/exchange.ts";
import { readUpload } from "../http/upload-state.ts";
import type { ListOfCores } from "../pairs/lists.ts";
import type { Repositories } from "../repository/contract.ts";
import { ListOutdated } from "../repository/member-list.ts";
import { isName } from "../repository/names.ts";
import { Adoptions } from "./adoptions.ts";
import { untilAgreed } from "./agree.ts";
import { Changes } from "./changes.ts";
import type { MemberClient } from "./client.ts";
import { askedFor, isByDigest } from "./digests.ts";
import { MemberDisagrees, onlyMembers, otherList } from "./errors.ts";
import { type Forwarding, openForward, passOn } from "./forward.ts";
import { answerNewOwner } from "./give-up.ts";
import { mountFrom } from "./mounts.ts";
import { movedRepositories, takenRepositories } from "./moved.ts";
import { Mover } from "./mover.ts";
import type { Peer } from "./peers.ts";
import type { PreviousOwner } from "./previous-owner.ts";
import { findUnmoved, type Unmoved } from "./unfinished.ts";
import type { View } from "./view.ts";

/** Answers from the stores, as a registry that is no member of anything does. */
export type Here = (exchange: Exchange) => Promise<void>;

/** This member is the owner; `end` when what it was asked to do has ended. */
export class Own {
  readonly end: () => void;

  constructor(end: () => void) {
    this.end = end;
  }
}

export interface OwnOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly client: MemberClient;
  /** As of now. */
  readonly view: () => View;
  readonly forwarding: () => Forwarding;
  /** Nothing may be changed. */
  readonly readOnly: () => boolean;
  /** Which list the cores beside this one go by. */
  readonly lists: ListOfCores;
  /** Whether a repository of that name is this registry's own, as of now. */
  readonly owns: (name: string) => boolean;
}

export class OwnRepositories {
  readonly #options: OwnOptions;
  readonly #changes = new Changes();
  readonly #closing = new AbortController();
  #local: Repositories | undefined;
  #mover: Mover | undefined;
  #adoptions: Adoptions | undefined;
  #stopping: Promise<unknown> = Promise.resolve();

  constructor(options: OwnOptions) {
    this.#options = options;
  }

  /** The stores are there: from now on repositories are taken over from members that owned them before. */
  start(local: Repositories, view: View | undefined): void {
    this.#local = local;
    this.#startAnew(view);
  }

  /** Another list of members holds from now on. */
  next(view: View | undefined): void {
    this.#changes.next();
    this.#startAnew(view);
  }

  /** While the stores were not reached, nothing moves. */
  async unmoved(view: View): Promise<Unmoved | undefined> {
    const { clock, client } = this.#options;
    const local = this.#local;
    const context = { requestId: "unmoved", signal: this.#closing.signal };
    return local && findUnmoved({ view, client, clock, local }, context);
  }

  /** Resolves once nothing of what was stopped is under way. */
  async stopped(): Promise<void> {
    this.#closing.abort(new RegistryError("UNAVAILABLE", "the registry stops"));
    await this.#stopping;
  }

  #startAnew(view: View | undefined): void {
    const { clock, log, client } = this.#options;
    const { isShared } = this;
    this.#stopping = Promise.all([this.#stopping, this.#mover?.stop(), this.#adoptions?.stop()]);
    const local = this.#local;
    this.#mover = view && local?.handover && new Mover({ view, client, clock, log, local, isShared });
    this.#mover?.start();
    const mayAdopt = (name: string) => this.#mayAdopt(name);
    const begin = () => this.#changes.begin();
    this.#adoptions =
      view && local?.handover && new Adoptions({ view, client, clock, log, local, mayAdopt, beginChange: begin });
  }

  /**
   * What this member was asked for by digest, and has not: kept as if it had been pushed here, in the background, where the
   * configuration says so.
   * @param holder another member that has it; absent: looked for
   */
  adopt(exchange: Exchange, holder?: string): void {
    if (exchange.request.method !== "GET" || !isByDigest(exchange)) return;
    if (this.#adoptions && this.#mayAdopt(exchange.route.name)) this.#adoptions.adopt(askedFor(exchange), holder);
  }

  #mayAdopt(name: string): boolean {
    const { view, readOnly } = this.#options;
    const { digests, list, self } = view();
    // What moves comes with all that belongs to it, and is deleted where it was.
    return digests === "adopt" && !readOnly() && list.ownerOf(name) === self && !this.isMoved(name);
  }

  /**
   * In the moment in which this member is found to be the owner.
   * @throws MemberDisagrees: it is not any more, or another core of it has a newer list
   */
  async begin(exchange: Exchange): Promise<Own> {
    const { name } = exchange.route;
    await this.assertCurrent(name);
    this.#assertOwned(name);
    return this.#started(exchange);
  }

  #started(exchange: Exchange): Own {
    return new Own(isChange(exchange) ? this.#changes.begin() : () => {});
  }

  #assertOwned(name: string): void {
    if (!this.#options.owns(name)) throw new MemberDisagrees(this.#options.view().self, "it was exchanged");
  }

  /** Whether there may be other cores. */
  get isShared(): boolean {
    return this.#options.lists.isShared;
  }

  /**
   * Resolves when the list by which this core knows what it owns was that of all cores, as of a moment ago.
   * @param name absent: of any repository
   * @throws MemberDisagrees: another core has a newer one
   */
  async assertCurrent(name?: string): Promise<void> {
    const { lists, view } = this.#options;
    try {
      await lists.assertCurrent(name);
    } catch (error) {
      throw error instanceof ListOutdated ? new MemberDisagrees(view().self, error.why) : error;
    }
  }

  /** What this core lists is whole: nothing of it had gone elsewhere before it was read. */
  listing(local: Repositories): Repositories {
    return {
      ...local,
      listRepositories: async (page, context) => {
        const listing = await local.listRepositories(page, context);
        await this.assertCurrent();
        return listing;
      },
    };
  }

  /** Where other cores may have given the repository to another member meanwhile, nothing is written to it any more. */
  #withOwnership(exchange: Exchange): Exchange {
    const { owns } = this.#options;
    if (!this.isShared || !isChange(exchange)) return exchange;
    const { route, query } = exchange;
    const name = route.kind === "preferences" ? (query.get("repo") ?? "") : route.name;
    const alsoCheck = () => {
      if (!owns(name)) throw new ListOutdated("the repository is another member's by now");
      return undefined;
    };
    return { ...exchange, context: { ...exchange.context, alsoCheck } };
  }

  /** Answers with no other members: what changes something is known to be under way. */
  async count(exchange: Exchange, here: Here): Promise<void> {
    const own = this.#started(exchange);
    try {
      await here(this.#withOwnership(exchange));
    } finally {
      own.end();
    }
  }

  /** Whether what is not here may still lie with another member. */
  isMoved(name: string): boolean {
    return this.#mover?.ownerBefore(name) !== undefined;
  }

  async serve(asked: Exchange, own: Own, here: Here): Promise<void> {
    const exchange = this.#withOwnership(asked);
    try {
      const mover = this.#mover;
      const from = mover?.ownerBefore(exchange.route.name);
      if (mover === undefined || from === undefined) return await here(this.#withMounts(exchange));
      if (isOthersUpload(exchange)) return await this.#serveUploadThere(exchange, mover, from);
      const isDone = await mover.isDone(exchange.route.name, from, exchange.context);
      const { repositories: local } = exchange.shared;
      const repositories = (isDone ? takenRepositories : movedRepositories)(local, mover, from);
      await here(this.#withMounts(withRepositories(exchange, repositories)));
    } catch (error) {
      // What is not here, or lacks something, may have gone to another member meanwhile.
      if (this.isShared && isRefusal(error)) {
        await this.assertCurrent(exchange.route.name);
        this.#assertOwned(exchange.route.name);
      }
      throw error;
    } finally {
      own.end();
    }
  }

  /** Of what this member owned before, and has not yet handed over. */
  async serveNewOwner(exchange: Exchange, peer: Peer, here: Here): Promise<void> {
    const { route, request } = exchange;
    const view = this.#options.view();
    // What began here under the list before may still change a repository that is another member's by now.
    if (!this.#changes.areSettled || !this.#options.lists.isSettled) throw otherList(view.hash, peer.listHash);
    if (route.kind === "members") return answerNewOwner(exchange, view, peer);
    if (view.list.ownerOf(route.name) !== peer.id) throw otherList(view.hash, peer.listHash);
    if (request.method !== "GET" && request.method !== "HEAD" && route.kind !== "upload") throw onlyMembers();
    return here(exchange);
  }

  /** An upload that began at the previous owner ends there; its blob is brought before the client hears of it. */
  async #serveUploadThere(exchange: Exchange, mover: Mover, from: PreviousOwner): Promise<void> {
    const { route, context, query, request } = exchange;
    const { clock, forwarding } = this.#options;
    const answer = await untilAgreed(clock, context.signal, () =>
      openForward(forwarding(), exchange, from.member, "previous"),
    );
    const digest = query.get("digest");
    if (request.method === "PUT" && answer.status === 201 && digest !== null) {
      try {
        if (!(await mover.bring(route.name, digest, from, context))) throw nowhere(digest, from);
      } catch (error) {
        answer.discard();
        throw error;
      }
    }
    return passOn(exchange, answer);
  }

  /** Others' blobs can be mounted to this member's repositories. */
  #withMounts(exchange: Exchange): Exchange {
    if (exchange.route.kind !== "uploads") return exchange;
    const { repositories: local } = exchange.shared;
    const { client, clock, log, view } = this.#options;
    const account = exchange.account.name;
    return withRepositories(exchange, {
      mountBlob: async (name, digest, source, context) => {
        const found = await local.mountBlob(name, digest, source, context);
        const { from } = source;
        if (found !== undefined || from === undefined || !isName(from)) return found;
        return mountFrom({ view, client, clock, log, local, account }, name, digest, from, context);
      },
    });
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof RegistryError && error.status < 500;
}

/** The end of an upload changes the repository too, and may take hours: the mover looks for what comes late. */
function isChange({ route, request }: Exchange): boolean {
  return (request.method === "PUT" || request.method === "DELETE") && route.kind !== "upload";
}

export function withRepositories(exchange: Exchange, changed: Partial<Repositories>): Exchange {
  const { shared } = exchange;
  return { ...exchange, shared: { ...shared, repositories: { ...shared.repositories, ...changed } } };
}

/** An upload that was acknowledged where it began, and whose blob is not there to be had. */
function nowhere(digest: string, { member }: PreviousOwner): RegistryError {
  const message = `the upload ended at ${member}, where its blob is not found: push the blob again`;
  return new RegistryError("UNAVAILABLE", message, { detail: { digest, member }, retryAfterSeconds: 1 });
}

/** Whether an upload began elsewhere: another secret has signed its state, or it names another store. */
function isOthersUpload({ route, query, shared }: Exchange): boolean {
  if (route.kind !== "upload") return false;
  const { repositories, secret, clock } = shared;
  try {
    const state = query.get("_state") ?? undefined;
    const session = readUpload(secret, route.name, route.reference, state, clock.now());
    return session.storeId !== repositories.startUpload(route.name, session.algorithm).storeId;
  } catch (error) {
    return error instanceof RegistryError && error.code === "BLOB_UPLOAD_INVALID";
  }
}
