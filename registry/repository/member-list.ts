/**
 * Which list of a cluster's members the cores of one member go by (docs/adr/lists-of-cores.md). A reload goes through cores
 * one by one, and one with an older list would still write, and answer, what this member has given to another one since.
 *
 * One key in the meta store names the list. With `cores: many` every Write checks it by etag, so an older list writes
 * nothing from the moment on in which a newer one is put. What answers may rest on a look at the key that is FRESH_MS old;
 * a list is settled, and others may rely on what it gave up, once no such look can be that recent any more. Nobody relies
 * on another core's clock, only on its rate. Lists that were given up are kept there, so that a core which comes late does
 * not take its old one for news.
 */
import type { Logger } from "pino";
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import { type Clock, sleep } from "../../proto/clock.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { RegistryError } from "../errors.ts";
import { memberListKey } from "./keys.ts";
import type { Ledger } from "./ledger.ts";

/** How often a core of a cluster's member looks, and another one: that one learns so that there is a cluster. */
const LOOK_MS = 250;
const ALONE_LOOK_MS = 60_000;
const FRESH_MS = 750;
/** Twice that: clocks' rates differ by far less. */
const SETTLED_MS = 2 * FRESH_MS;
const MOST_BEFORE = 32;

/** Of a member that owns all there is; also of a registry that is no member of a cluster. */
export const ALONE = "alone";

/** What a configuration says of who owns what. */
export interface DeclaredList {
  /** What two cores have in common that agree about every name; ALONE. */
  readonly hash: string;
  /** That of `cluster.previous`, where this member has something to hand over. */
  readonly previous?: string | undefined;
  /** There is a section `cluster`. */
  readonly isMember: boolean;
}

export const noCluster: DeclaredList = { hash: ALONE, isMember: false };

interface Held {
  readonly list: string;
  readonly before: readonly string[];
  readonly item: MetaItem;
}

/** What a look has found, or put there. */
interface Known {
  /** Of which stores; see Ledger.basis. */
  readonly basis: string;
  /**
   * `undefined`: there is no key, and a registry without a cluster checks none; or the store takes no Write, and a member,
   * whose list is newer, only reads.
   */
  readonly etag: string | undefined;
  /** Monotonic, when the last look that found it so was sent. */
  lookedAt: number;
  /** Monotonic, when it was first found so. */
  readonly since: number;
}

/** 503; nothing was read, and nothing written. */
export class ListOutdated extends RegistryError {
  readonly why: string;

  constructor(why: string, cause?: unknown) {
    super("UNAVAILABLE", `${why}; try again`, { retryAfterSeconds: 1, ...(cause === undefined ? {} : { cause }) });
    this.name = "ListOutdated";
    this.why = why;
  }
}

export interface MemberListOptions {
  readonly mode: "one" | "many";
  /** Whose Writes do not check the list. */
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Logger;
}

export class MemberListOfCores {
  readonly #options: MemberListOptions;
  readonly #closing = new AbortController();
  #declared: DeclaredList = noCluster;
  /** `undefined`: not yet found out, or `#outdated`. */
  #known: Known | undefined;
  #outdated: string | undefined;
  /** Where what this core has declared held once (Ledger.basis): it is put there no more. */
  #heldIn: string | undefined;
  #looking: { readonly sentAt: number; readonly done: Promise<void> } | undefined;
  #running: Promise<void> | undefined;
  #wake = () => {};

  constructor(options: MemberListOptions) {
    this.#options = options;
  }

  /** From now on this list holds for this core; `start` and the looks after it tell the other cores. */
  declare(list: DeclaredList): void {
    const { hash, previous, isMember } = this.#declared;
    this.#declared = list;
    if (hash === list.hash && previous === list.previous && isMember === list.isMember) return;
    if (hash !== list.hash) this.#known = undefined;
    this.#heldIn = undefined;
    this.#looking = undefined;
    this.#wake();
  }

  /** Looks until closed. Resolves after the first look, whatever came of it. */
  async start(): Promise<void> {
    if (this.#running) return;
    const first = this.#lookNow();
    this.#running = this.#run(first);
    await first;
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error("closing"));
    this.#wake();
    await this.#running;
  }

  /** Goes with every Write. `undefined`: there is nothing to check. @throws ListOutdated */
  check(): MetaOperation | undefined {
    if (this.#options.mode === "one" || this.#isUnwatched) return undefined;
    const known = this.#known;
    // The beginning of a core: its first look finds out.
    if (known === undefined && this.#outdated === undefined && this.#declared === noCluster) return undefined;
    if (known?.etag === undefined) throw this.#refusal();
    return { kind: "check", key: memberListKey, condition: { ifEtag: known.etag } };
  }

  /** A Write's check has failed. @throws ListOutdated; CONFLICT: the key was put anew, and names this core's list all the same */
  async refused(cause: unknown): Promise<never> {
    await this.#look().catch(() => {});
    if (this.#known === undefined) throw this.#refusal(cause);
    throw new OutriggerError("CONFLICT", "the list of members was put anew meanwhile", { side: "core" });
  }

  /** Resolves when this core's list was that of all cores, as of a moment ago. @throws ListOutdated */
  async assertCurrent(): Promise<void> {
    if (this.#options.mode === "one" || this.#isUnwatched || this.#isFresh) return;
    await this.#look();
    if (this.#known === undefined) throw this.#refusal();
  }

  /** Whether no core goes by an older list any more. */
  get isSettled(): boolean {
    if (this.#options.mode === "one") return true;
    const known = this.#known;
    if (known === undefined || (known.etag === undefined && this.#declared.isMember)) return false;
    return this.#isFresh && this.#options.clock.monotonic() - known.since >= SETTLED_MS;
  }

  /** Why this core neither writes nor answers; `undefined`: it does. */
  get outdated(): string | undefined {
    return this.#outdated;
  }

  /**
   * Whether the cores of this member may go over to this list.
   * @throws Error in one sentence
   */
  async assertMayDeclare(list: DeclaredList): Promise<void> {
    if (this.#options.mode === "one") return;
    let held: Held | undefined;
    try {
      held = await this.#read();
    } catch (cause) {
      const said = cause instanceof Error ? cause.message : String(cause);
      const what = `the cluster's list changes, and it cannot be told which one the cores of this registry have (${said})`;
      throw new Error(`${what}: try again once the meta store answers`, { cause });
    }
    const why = whyNot(held, list);
    if (why !== undefined) throw new Error(why);
  }

  get #isUnwatched(): boolean {
    return this.#known !== undefined && this.#known.etag === undefined && !this.#declared.isMember;
  }

  get #isFresh(): boolean {
    return this.#known !== undefined && this.#options.clock.monotonic() - this.#known.lookedAt < FRESH_MS;
  }

  #refusal(cause?: unknown): ListOutdated {
    const why = this.#outdated ?? "this core has yet to find out whether its list of members is that of the others";
    return new ListOutdated(why, cause);
  }

  async #lookNow(): Promise<void> {
    try {
      await this.#look();
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#options.log.debug({ err: error }, "the list of members could not be looked at");
    }
  }

  async #run(first: Promise<void>): Promise<void> {
    const { clock, mode } = this.#options;
    const { signal } = this.#closing;
    for (let looked = first; !signal.aborted; looked = this.#lookNow()) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await looked;
      const isKnown = this.#known !== undefined;
      // Alone it has said what holds.
      if (isKnown && mode === "one") await woken;
      else {
        const over = new AbortController();
        const pause = sleep(clock, this.#isUnwatched ? ALONE_LOOK_MS : LOOK_MS, over.signal);
        await Promise.race([pause, woken]).finally(() => over.abort());
        pause.catch(() => {});
      }
    }
  }

  /** One at a time; of those who wait none relies on one that was sent too long ago. */
  #look(): Promise<void> {
    const sentAt = this.#options.clock.monotonic();
    const looking = this.#looking;
    if (looking !== undefined && sentAt - looking.sentAt < FRESH_MS) return looking.done;
    const next = { sentAt, done: this.#lookOnce(sentAt) };
    this.#looking = next;
    const end = () => {
      if (this.#looking === next) this.#looking = undefined;
    };
    next.done.then(end, end);
    return next.done;
  }

  async #lookOnce(sentAt: number): Promise<void> {
    const list = this.#declared;
    for (;;) {
      const basis = this.#options.ledger.basis();
      const held = await this.#read();
      if (this.#declared !== list) return this.#look();
      if ((held?.list ?? ALONE) === list.hash && (held !== undefined || !list.isMember))
        return this.#found(list, held?.item.etag, sentAt, basis);
      const why = this.#options.mode === "one" ? undefined : whyNot(held, list);
      if (why !== undefined) return this.#lose(why);
      // What others have put since is exchanged by nobody but an operator.
      if (this.#heldIn === basis) return this.#lose(otherList);
      try {
        return await this.#found(list, await this.#put(held, list, basis), sentAt, basis);
      } catch (error) {
        if (hasReason(error, "READ_ONLY")) return this.#found(list, undefined, sentAt, basis);
        if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
      }
    }
  }

  async #found(list: DeclaredList, etag: string | undefined, sentAt: number, basis: string): Promise<void> {
    // Another one was declared while this one was put.
    if (this.#declared !== list) return this.#look();
    const known = this.#known;
    if (known !== undefined && known.etag === etag && known.basis === basis) known.lookedAt = sentAt;
    else {
      const since = known?.etag === undefined ? this.#options.clock.monotonic() : known.since;
      this.#known = { etag, basis, lookedAt: sentAt, since };
    }
    if (etag !== undefined) this.#heldIn = basis;
    if (this.#outdated !== undefined) this.#options.log.info("this core's list of members is that of the others again");
    this.#outdated = undefined;
  }

  #lose(why: string): void {
    this.#known = undefined;
    if (this.#outdated === why) return;
    this.#outdated = why;
    this.#options.log.error(
      { why },
      "this core neither writes nor answers until its configuration is that of the others",
    );
  }

  async #put(held: Held | undefined, list: DeclaredList, basis: string): Promise<string> {
    const before = [held?.list ?? ALONE, ...(held?.before ?? [])].filter((hash) => hash !== list.hash);
    const value = Buffer.from(JSON.stringify({ list: list.hash, before: before.slice(0, MOST_BEFORE) }));
    const condition = held === undefined ? ({ ifAbsent: true } as const) : { ifEtag: held.item.etag };
    const { ledger, log } = this.#options;
    const put = { kind: "put", key: memberListKey, value, condition } as const;
    const [etag = ""] = await ledger.write([put], { signal: this.#closing.signal }, basis);
    log.info({ list: list.hash, before: held?.list }, "all cores go by this list of members from now on");
    return etag;
  }

  async #read(): Promise<Held | undefined> {
    const [item] = await this.#options.ledger.get([memberListKey], { signal: this.#closing.signal });
    if (item === undefined) return undefined;
    try {
      const { list, before } = JSON.parse(item.value.toString("utf8")) as Partial<Held>;
      if (typeof list === "string" && Array.isArray(before)) return { list, before, item };
    } catch {
      // Falls through.
    }
    throw new RegistryError("UNAVAILABLE", `${memberListKey} in the meta store is not what a registry wrote there`);
  }
}

const otherList =
  "another core of this registry has another list of members than this one: give this one the same configuration, and reload it";

/** Why cores that go by `held` may not go over to `list`; `undefined`: they may. */
function whyNot(held: Held | undefined, { hash, previous, isMember }: DeclaredList): string | undefined {
  const now = held?.list ?? ALONE;
  if (now === hash) return undefined;
  if (previous !== undefined && (held === undefined || previous !== now))
    return "cluster.previous is not what the cores of this registry have as cluster.members: reload each of them with that list first";
  if (previous !== undefined || !held?.before.includes(hash)) return undefined;
  if (!isMember)
    return "the cores of this registry are a member of a cluster, and this one has no section cluster: give it the same configuration, and reload it; to leave the cluster, let this member be the only one of cluster.members first, with those that they have in cluster.previous";
  return "the cores of this registry have given this list of members up for another one: give this one the same configuration, and reload it; to go back to the list, say in cluster.previous what they have";
}
