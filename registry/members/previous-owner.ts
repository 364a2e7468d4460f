/** The member that owned a repository before a change of members: what it still holds is asked of it, until it is taken over. */
import type { Clock } from "../../proto/clock.ts";
import { isDigest } from "../../proto/keys.ts";
import type { Descriptor, Listing } from "../repository/contract.ts";
import type { Content, ContentKind } from "../repository/handover.ts";
import type { UsersPreference } from "../repository/handover-preferences.ts";
import { isUserPart } from "../repository/keys.ts";
import { isTag } from "../repository/names.ts";
import type { MemberClient } from "./client.ts";
import { MemberWrong } from "./errors.ts";
import { Holder } from "./holder.ts";
import { listingPath, membersPath } from "./paths.ts";
import { assertTagsOf, parseJson } from "./verify.ts";

/** It deletes a whole repository, key by key. */
const PURGE_MS = 300_000;
/** Named in a path, which has to stay below Node's 16 KiB of headers, also with digests of sha512. */
const PURGED_AT_ONCE = 50;

export class PreviousOwner extends Holder {
  constructor(member: string, client: MemberClient, clock: Clock) {
    super(member, "previous", client, clock);
  }

  /**
   * Resolves once it has this member's list, and is done with every change that it began under its last one: from then on
   * it changes nothing of what it gave up.
   * @throws MemberDisagrees, MemberDown, MemberWrong
   */
  async settled(signal: AbortSignal): Promise<void> {
    const answer = await this.ask("GET", membersPath("settled"), signal);
    if (answer.status !== 200) throw this.wrong(answer, "whether it has given its repositories up");
  }

  /** `undefined`: it has no such repository. */
  async tags(
    name: string,
    page: { readonly last: string; readonly limit: number },
    signal: AbortSignal,
  ): Promise<Listing | undefined> {
    const answer = await this.ask("GET", listingPath(`/v2/${name}/tags/list`, page), signal);
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw this.wrong(answer, `for the tags of ${name}`);
    assertTagsOf(this.member, name, answer.body);
    const { tags } = parseJson(this.member, answer.body) as { tags: unknown[] };
    const names = tags.filter((tag): tag is string => typeof tag === "string" && isTag(tag));
    return { names, more: answer.headers["link"] !== undefined };
  }

  async referrers(
    name: string,
    subject: string,
    page: { readonly artifactType?: string; readonly last: string; readonly limit: number },
    signal: AbortSignal,
  ): Promise<{ readonly manifests: readonly Descriptor[]; readonly more: boolean }> {
    const answer = await this.ask("GET", listingPath(`/v2/${name}/referrers/${subject}`, page), signal);
    if (answer.status !== 200) throw this.wrong(answer, `for the referrers of ${subject}`);
    const { manifests } = parseJson(this.member, answer.body) as { manifests?: Descriptor[] };
    if (!Array.isArray(manifests) || !manifests.every(({ digest }) => isDigest(digest)))
      throw new MemberWrong(this.member, "answers a list of referrers that is none");
    return { manifests, more: answer.headers["link"] !== undefined };
  }

  /** All of it: from its facts. */
  async *contents(name: string, kind: ContentKind, signal: AbortSignal): AsyncGenerator<Content, void> {
    for await (const items of this.#pages(name, kind, signal)) {
      for (const item of items as readonly Content[]) {
        if (!isContent(item, kind)) throw new MemberWrong(this.member, `says that ${name} holds what cannot be`);
        yield item;
      }
    }
  }

  /** Who has starred or bookmarked it, some at a time. */
  async *preferences(name: string, signal: AbortSignal): AsyncGenerator<readonly UsersPreference[], void> {
    for await (const items of this.#pages(name, "preferences", signal)) {
      const some = items as readonly UsersPreference[];
      if (!some.every(({ user, what }) => isUserPart(user) && (what === "star" || what === "bookmark")))
        throw new MemberWrong(this.member, `says that ${name} is starred by who cannot be`);
      yield some;
    }
  }

  async *#pages(name: string, kind: ContentKind | "preferences", signal: AbortSignal): AsyncGenerator<unknown[], void> {
    for (let after = ""; ; ) {
      const answer = await this.ask("GET", membersPath("contents", { name, kind, after }), signal);
      if (answer.status !== 200) throw this.wrong(answer, `what ${name} holds`);
      const { items, next } = parseJson(this.member, answer.body) as { items?: unknown; next?: unknown };
      if (!Array.isArray(items))
        throw new MemberWrong(this.member, `says of ${name} what this member does not understand`);
      yield items;
      if (typeof next !== "string") return;
      if (next === after) throw new MemberWrong(this.member, `says the same of ${name} again and again`);
      after = next;
    }
  }

  /** The tags, manifests and preferences of a repository that was taken over are deleted there. */
  purgeManifests(name: string, signal: AbortSignal): Promise<void> {
    return this.#purge(name, membersPath("purge", { name, kind: "manifests" }), signal);
  }

  /** Likewise layers: these, no others. */
  async purgeLayers(name: string, digests: readonly string[], signal: AbortSignal): Promise<void> {
    for (let at = 0; at < digests.length; at += PURGED_AT_ONCE) {
      const digest = digests.slice(at, at + PURGED_AT_ONCE).join(",");
      await this.#purge(name, membersPath("purge", { name, kind: "layers", digest }), signal);
    }
  }

  async #purge(name: string, path: string, signal: AbortSignal): Promise<void> {
    const answer = await this.ask("POST", path, signal, PURGE_MS);
    if (answer.status !== 200) throw this.wrong(answer, `to give ${name} away`);
  }
}

function isContent({ digest, tag, taggedMs, pushedMs, pushedBy, pulls }: Content, kind: ContentKind): boolean {
  const isCount = (value: unknown) => value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0);
  const isPushedBy = pushedBy === undefined || (typeof pushedBy === "string" && pushedBy.length <= 255);
  const arePulls = pulls === undefined || (pulls?.count > 0 && pulls?.lastMs >= 0);
  const counts = [taggedMs, pushedMs, pulls?.count, pulls?.lastMs];
  return isDigest(digest) && (kind !== "tags" || isTag(tag ?? "")) && counts.every(isCount) && isPushedBy && arePulls;
}
