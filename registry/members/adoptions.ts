/**
 * `cluster.digests: adopt`: what this member owns, lacks, and another one has, is kept here as if it had been pushed here
 * (docs/adr/the-owner-adopts.md). In the background, with requests of its own: no client waits for it.
 */
import { setMaxListeners } from "node:events";
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import { RegistryError } from "../errors.ts";
import type { ManifestFound, Repositories, RequestContext } from "../repository/contract.ts";
import { checkManifest } from "../repository/manifest.ts";
import { bringBlob } from "./bring.ts";
import type { MemberClient } from "./client.ts";
import { type ByDigest, findHolder } from "./digests.ts";
import { isMemberError } from "./errors.ts";
import { Holder } from "./holder.ts";
import { Slots } from "./slots.ts";
import { others, type View } from "./view.ts";

/** Blobs and manifests that come at once. */
const AT_ONCE = 4;
/** Adoptions under way; what is asked for beyond them is adopted when it is asked for again. */
const MAX_UNDER_WAY = 64;

export interface AdoptionOptions {
  /** Of the list of members under which it was begun: with another one others are begun. */
  readonly view: View;
  readonly client: MemberClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly local: Repositories;
  /** Whether what a repository lacks is still to be adopted. */
  readonly mayAdopt: (name: string) => boolean;
  /** The repository may be changed from now on, until what it gives back is called. */
  readonly beginChange: () => () => void;
}

/** `incomplete`: it needs a blob that no member has. */
type Outcome = "here" | "nowhere" | "incomplete";

export class Adoptions {
  readonly #options: AdoptionOptions;
  readonly #slots = new Slots(AT_ONCE);
  readonly #underWay = new Map<string, Promise<Outcome>>();
  readonly #stopped = new AbortController();
  #count = 0;

  constructor(options: AdoptionOptions) {
    this.#options = options;
    setMaxListeners(0, this.#stopped.signal);
  }

  /** @param holder a member that has it; absent: it is looked for */
  adopt(what: ByDigest, holder?: string): void {
    if (this.#stopped.signal.aborted || this.#underWay.has(keyOf(what)) || this.#underWay.size >= MAX_UNDER_WAY) return;
    const end = this.#options.beginChange();
    this.#count += 1;
    const context = { requestId: `adopt-${this.#count}`, signal: this.#stopped.signal };
    void this.#once(what, holder, context)
      .catch((error: unknown) => this.#failed(what, holder, error))
      .finally(end);
  }

  /** Resolves once nothing of it is under way. */
  async stop(): Promise<void> {
    const why = "the cluster's members have changed, or the registry stops; try again";
    this.#stopped.abort(new RegistryError("UNAVAILABLE", why, { retryAfterSeconds: 1 }));
    await Promise.allSettled(this.#underWay.values());
  }

  #failed({ name, digest }: ByDigest, holder: string | undefined, error: unknown): void {
    if (this.#stopped.signal.aborted) return;
    const member = isMemberError(error) ? error.member : holder;
    this.#options.log.warn({ err: error, name, digest, member }, "what another member has was not adopted");
  }

  /** One that is under way is waited for: an image and its layers are asked for at the same time. */
  #once(what: ByDigest, holder: string | undefined, context: RequestContext): Promise<Outcome> {
    const key = keyOf(what);
    const already = this.#underWay.get(key);
    if (already) return already;
    const adopting = what.kind === "blob" ? this.#blob(what, holder, context) : this.#manifest(what, holder, context);
    const kept = adopting.finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, kept);
    return kept;
  }

  #blob(what: ByDigest, hint: string | undefined, context: RequestContext): Promise<Outcome> {
    const { name, digest } = what;
    const { local, log } = this.#options;
    return this.#inTurn(name, async () => {
      let member: string | undefined;
      const isHere = await bringBlob(
        local,
        name,
        digest,
        async () => {
          const there = await this.#ask(what, hint, context, (holder) =>
            holder.blob(name, digest, undefined, context.signal),
          );
          member = there?.member;
          return there?.found;
        },
        context,
      );
      if (!isHere) return "nowhere";
      log.info({ name, digest, member }, "a blob was adopted");
      return "here";
    });
  }

  async #manifest(what: ByDigest, hint: string | undefined, context: RequestContext): Promise<Outcome> {
    const { name, digest } = what;
    const { local, log } = this.#options;
    const there = await this.#inTurn(name, async () =>
      (await local.statManifest(name, { digest }, context))
        ? "here"
        : this.#ask(what, hint, context, (holder) => holder.manifest(name, digest, context.signal)),
    );
    if (there === undefined) return "nowhere";
    if (there === "here") return there;
    const { member, found } = there;
    const lacks = await this.#bringNeeds(name, found, member, context);
    if (lacks !== undefined) {
      log.warn({ name, digest, member, lacks }, "a manifest was not adopted: what it needs is with no member");
      return "incomplete";
    }
    await this.#inTurn(name, () => this.#put(name, found, context));
    log.info({ name, digest, member }, "a manifest was adopted");
    return "here";
  }

  /**
   * All blobs are found before the first one is brought. The manifests of an index come with it, those that there are: it
   * may name others.
   * @returns what cannot be had; `undefined`: all is here
   */
  async #bringNeeds(
    name: string,
    { bytes, mediaType }: ManifestFound,
    member: string,
    context: RequestContext,
  ): Promise<string | undefined> {
    const { blobs, children } = checkManifest(bytes, mediaType);
    const holders = new Map<string, string>();
    for (const digest of blobs) {
      const where = await this.#inTurn(name, () => this.#locate({ kind: "blob", name, digest }, member, context));
      if (where === undefined) return digest;
      if (where !== "here") holders.set(digest, where.member);
    }
    for (const digest of children) {
      if ((await this.#once({ kind: "manifest", name, digest }, member, context)) === "incomplete") return digest;
    }
    for (const [digest, holder] of holders) {
      if ((await this.#once({ kind: "blob", name, digest }, holder, context)) !== "here") return digest;
    }
    return undefined;
  }

  async #locate(
    what: ByDigest,
    hint: string,
    context: RequestContext,
  ): Promise<"here" | { readonly member: string } | undefined> {
    const { name, digest } = what;
    if (await this.#options.local.statBlob(name, digest, context)) return "here";
    return this.#ask(what, hint, context, (holder) => holder.blobSize(name, digest, context.signal));
  }

  /** Since when it lies where it was, and who pushed it, is told to owners alone: it is not known here. */
  async #put(name: string, { bytes, mediaType, digest }: ManifestFound, context: RequestContext): Promise<void> {
    const { handover } = this.#options.local;
    if (handover === undefined) throw new Error("these repositories cannot be handed over");
    const handedOver = { pushed: {}, isWhole: true } as const;
    await handover.putManifest(name, { bytes, contentType: mediaType, digest, tags: [], handedOver }, context);
  }

  /**
   * Asks one that may have it, then whoever says so.
   * @returns `undefined`: all say that they have not
   * @throws MemberError: not all could say
   */
  async #ask<Found>(
    what: ByDigest,
    hint: string | undefined,
    context: RequestContext,
    ask: (holder: Holder) => Promise<Found | undefined>,
  ): Promise<{ readonly member: string; readonly found: Found } | undefined> {
    const { view, client, clock } = this.#options;
    const askOne = async (member: string) => {
      const found = await ask(new Holder(member, "digest", client, clock));
      return found === undefined ? undefined : { member, found };
    };
    const there = hint === undefined ? undefined : await askOne(hint);
    if (there) return there;
    const candidates = others(view).filter((id) => id !== hint);
    const holder = await findHolder(client, candidates, what, "", context.signal);
    if (holder.member !== undefined) return askOne(holder.member);
    const [failure] = holder.failures;
    if (failure) throw failure;
    return undefined;
  }

  /** Nothing in it may wait for another turn. */
  async #inTurn<Result>(name: string, run: () => Promise<Result>): Promise<Result> {
    const free = await this.#slots.take(this.#stopped.signal);
    try {
      if (!this.#options.mayAdopt(name)) throw new Error("the configuration does not have it adopted any more");
      return await run();
    } finally {
      free();
    }
  }
}

function keyOf({ kind, name, digest }: ByDigest): string {
  return `${kind} ${name}@${digest}`;
}
