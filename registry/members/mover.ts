/**
 * After a change of members: takes over, from the members that owned them, the repositories that this one owns now. All of
 * a repository is copied, marked as taken, deleted where it was, and marked as done; any step may be repeated. Until then
 * what is missing here is asked of the previous owner (moved.ts), which changes nothing of it any more.
 */
import { createHmac, randomBytes } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { Logger } from "pino";
import { type Clock, sleep } from "../../proto/clock.ts";
import { RegistryError } from "../errors.ts";
import type { Repositories, RequestContext } from "../repository/contract.ts";
import type { Handover } from "../repository/handover.ts";
import { pushedOf } from "../search/record.ts";
import { bringBlob } from "./bring.ts";
import { heldBy } from "./catalog.ts";
import type { MemberClient } from "./client.ts";
import { PreviousOwner } from "./previous-owner.ts";
import { Slots } from "./slots.ts";
import type { View } from "./view.ts";

const REPOSITORIES_AT_ONCE = 2;
const LAYERS_AT_ONCE = 4;
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 60_000;
const SOON_MS = 30_000;

export interface MoverOptions {
  readonly view: View;
  readonly client: MemberClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly local: Repositories;
  /** Whether other cores of this member may take over too. */
  readonly isShared: boolean;
}

export class Mover {
  readonly #options: MoverOptions;
  readonly #handover: Handover;
  /** Which change of members this is. */
  readonly #id: string;
  readonly #owners = new Map<string, PreviousOwner>();
  readonly #settled = new Map<string, Promise<void>>();
  readonly #done = new Set<string>();
  readonly #moving = new Map<string, Promise<void>>();
  readonly #stopped = new AbortController();
  #forgotten: Promise<void> | undefined;
  #running: Promise<void> = Promise.resolve();
  #moves = 0;

  constructor(options: MoverOptions) {
    const { view, client, clock, local } = options;
    this.#options = options;
    // Of every request of every repository that is under way.
    setMaxListeners(0, this.#stopped.signal);
    if (local.handover === undefined) throw new Error("these repositories cannot be handed over");
    this.#handover = local.handover;
    const { previous } = view;
    // A list and the one before it are a change of members, and their hash names it.
    this.#id = previous === undefined ? "" : view.hash;
    for (const id of previous?.ids ?? [])
      if (id !== view.self) this.#owners.set(id, new PreviousOwner(id, client, clock));
  }

  /** Who owned a repository that this member owns now; `undefined`: it was this member all along. */
  ownerBefore(name: string): PreviousOwner | undefined {
    const { list, previous, self } = this.#options.view;
    const before = previous?.ownerOf(name);
    return before === undefined || list.ownerOf(name) !== self ? undefined : this.#owners.get(before);
  }

  /**
   * Whether all that the previous owner had is here, and nothing there any more.
   * @throws MemberDisagrees, MemberDown: it is not, and the previous owner has not given it up yet
   */
  async isDone(name: string, from: PreviousOwner, context: RequestContext): Promise<boolean> {
    if (this.#done.has(name)) return true;
    await this.#forget(context);
    if ((await this.#handover.state(name, this.#id, context)).state === "done") {
      this.#done.add(name);
      return true;
    }
    await this.#settle(from);
    return false;
  }

  /** Takes the repository over now. @throws whatever keeps it from that */
  move(name: string, from: PreviousOwner): Promise<void> {
    const already = this.#moving.get(name);
    if (already) return already;
    const moving = this.#move(name, from).finally(() => this.#moving.delete(name));
    this.#moving.set(name, moving);
    return moving;
  }

  /** Likewise, as long as a request may wait. @throws UNAVAILABLE (503) where it takes longer: it goes on */
  async moveSoon(name: string, from: PreviousOwner): Promise<void> {
    let cancel = () => {};
    const late = new Promise<never>((_, reject) => {
      cancel = this.#options.clock.after(SOON_MS, () =>
        reject(
          new RegistryError("UNAVAILABLE", `the repository is being taken over from ${from.member}: try again later`, {
            detail: { name, member: from.member },
            retryAfterSeconds: 10,
          }),
        ),
      );
    });
    const moving = this.move(name, from);
    moving.catch(() => {});
    await Promise.race([moving, late]).finally(cancel);
  }

  /** A blob that the previous owner has. @returns false when neither has it */
  bring(name: string, digest: string, from: PreviousOwner, context: RequestContext): Promise<boolean> {
    const read = () => from.blob(name, digest, undefined, context.signal);
    return bringBlob(this.#options.local, name, digest, read, context);
  }

  start(): void {
    this.#running = this.#run().catch((error: unknown) => {
      if (!this.#stopped.signal.aborted) this.#options.log.error({ err: error }, "repositories do not move any more");
    });
  }

  /** Resolves once nothing of it is under way. */
  async stop(): Promise<void> {
    const why = "the cluster's members have changed, or the registry stops; try again";
    this.#stopped.abort(new RegistryError("UNAVAILABLE", why, { retryAfterSeconds: 1 }));
    await Promise.allSettled([this.#running, ...this.#moving.values()]);
  }

  async #run(): Promise<void> {
    const { clock, view } = this.#options;
    const { signal } = this.#stopped;
    let pauseMs = FIRST_PAUSE_MS;
    for (;;) {
      let isWell = await this.#forgetAll();
      // Without a list before, old marks are all there was to do.
      if (isWell && (view.previous === undefined || !view.list.ids.includes(view.self))) return;
      for (const from of this.#owners.values()) isWell = (await this.#takeAll(from)) && isWell;
      signal.throwIfAborted();
      // What came late, by an upload that went on where it began, is looked for ever more seldom.
      pauseMs = isWell ? Math.min(LONGEST_PAUSE_MS, 2 * pauseMs) : FIRST_PAUSE_MS;
      await sleep(clock, pauseMs, signal);
    }
  }

  async #forgetAll(): Promise<boolean> {
    try {
      await this.#forget(this.#context());
      return true;
    } catch (error) {
      this.#options.log.warn(
        { err: error },
        "marks of repositories that moved before cannot be taken away; trying again",
      );
      return false;
    }
  }

  /** @returns whether nothing is left */
  async #takeAll(from: PreviousOwner): Promise<boolean> {
    const { view, client, clock, log } = this.#options;
    const slots = new Slots(REPOSITORIES_AT_ONCE);
    const { signal } = this.#stopped;
    const all: Promise<void>[] = [];
    let isWell = true;
    const failed = (error: unknown, name?: string) => {
      isWell = false;
      if (signal.aborted) return;
      log.warn(
        { err: error, member: from.member, name },
        "what another member has to hand over stays there; trying again",
      );
    };
    try {
      await this.#settle(from);
      const names: string[] = [];
      for await (const name of heldBy({ view, client, clock }, from.member, signal))
        if (this.ownerBefore(name) === from) names.push(name);
      for (const name of this.#inOrder(names)) {
        const free = await slots.take(signal);
        const moving = this.move(name, from).catch((error: unknown) => failed(error, name));
        all.push(moving.finally(free));
      }
    } catch (error) {
      failed(error);
    }
    await Promise.all(all);
    return isWell;
  }

  /** Cores that take over at the same time seldom take the same: each has an order of its own. */
  #inOrder(names: readonly string[]): string[] {
    if (!this.#options.isShared) return [...names];
    const key = randomBytes(16);
    const place = (name: string) => createHmac("sha256", key).update(name).digest("hex");
    return names
      .map((name) => ({ name, at: place(name) }))
      .sort((a, b) => (a.at < b.at ? -1 : 1))
      .map(({ name }) => name);
  }

  async #move(name: string, from: PreviousOwner): Promise<void> {
    const { log } = this.#options;
    const context = this.#context();
    const handover = this.#handover;
    await this.#forget(context);
    await this.#settle(from);
    const { state, unchanged } = await handover.state(name, this.#id, context);
    // Another core of this member may take it over too: once it has, what was deleted since must not come back.
    const copying = { ...context, alsoCheck: () => unchanged };
    // Also of what is done: an upload that began there may have ended there since.
    const layers = await this.#copyLayers(name, from, copying);
    if (state === undefined) {
      await this.#copyManifests(name, from, copying);
      await this.#copyTags(name, from, copying);
      for await (const some of from.preferences(name, context.signal))
        await handover.addPreferences(name, some, copying);
      await handover.mark(name, this.#id, "taken", context);
    }
    if (state !== "done") await from.purgeManifests(name, context.signal);
    // No others: an upload that has ended there since the copy is not here yet.
    await from.purgeLayers(name, layers, context.signal);
    if (state !== "done") await handover.mark(name, this.#id, "done", context);
    this.#done.add(name);
    log.info({ name, member: from.member }, "a repository was taken over");
  }

  /** @returns what the previous owner may forget: each is here, or has no bytes anywhere */
  async #copyLayers(name: string, from: PreviousOwner, context: RequestContext): Promise<string[]> {
    const layers: string[] = [];
    const slots = new Slots(LAYERS_AT_ONCE);
    const all: Promise<void>[] = [];
    let failure: { readonly error: unknown } | undefined;
    const bring = async (digest: string) => {
      if (await this.bring(name, digest, from, context)) return;
      this.#options.log.warn(
        { name, digest, member: from.member },
        "a layer has no bytes where it was: it is left out",
      );
    };
    for await (const { digest } of from.contents(name, "layers", context.signal)) {
      const free = await slots.take(context.signal);
      if (failure) break;
      layers.push(digest);
      all.push(
        bring(digest)
          .catch((error: unknown) => {
            failure ??= { error };
          })
          .finally(free),
      );
    }
    await Promise.all(all);
    if (failure) throw failure.error;
    return layers;
  }

  async #copyManifests(name: string, from: PreviousOwner, context: RequestContext): Promise<void> {
    const handover = this.#handover;
    for await (const { digest, pulls, ...item } of from.contents(name, "revisions", context.signal)) {
      const here = await handover.getManifest(name, digest, context);
      const found = here ?? (await from.manifest(name, digest, context.signal));
      if (found === undefined) continue;
      const push = { bytes: found.bytes, contentType: found.mediaType, digest, tags: [] };
      await handover.putManifest(name, { ...push, handedOver: { pushed: pushedOf(item), pulls } }, context);
    }
  }

  /** A tag that this member has set since it owns the repository is newer: it stays. */
  async #copyTags(name: string, from: PreviousOwner, context: RequestContext): Promise<void> {
    const handover = this.#handover;
    const taggedMs = new Map<string, number>();
    const byDigest = new Map<string, string[]>();
    for await (const item of from.contents(name, "tags", context.signal)) {
      const { digest, tag } = item;
      if (tag === undefined) continue;
      byDigest.set(digest, [...(byDigest.get(digest) ?? []), tag]);
      if (item.taggedMs !== undefined) taggedMs.set(tag, item.taggedMs);
    }
    for (const [digest, tags] of byDigest) {
      const found = await handover.getManifest(name, digest, context);
      // A tag to nothing was none where it was, either.
      if (found === undefined) continue;
      const push = { bytes: found.bytes, contentType: found.mediaType, digest, tags };
      await handover.putManifest(name, { ...push, handedOver: { taggedMs } }, context);
    }
  }

  /** Once it succeeded it holds: the previous owner does not take anything back. */
  #settle(from: PreviousOwner): Promise<void> {
    const held = this.#settled.get(from.member);
    if (held) return held;
    const asked = from.settled(this.#stopped.signal);
    this.#settled.set(from.member, asked);
    asked.catch(() => this.#settled.delete(from.member));
    return asked;
  }

  #forget(context: RequestContext): Promise<void> {
    this.#forgotten ??= this.#handover.forgetOthers(this.#id, context).catch((error: unknown) => {
      this.#forgotten = undefined;
      throw error;
    });
    return this.#forgotten;
  }

  #context(): RequestContext {
    this.#moves += 1;
    return { requestId: `move-${this.#id.slice(0, 6)}-${this.#moves}`, signal: this.#stopped.signal };
  }
}
