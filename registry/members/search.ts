/** Searches over all members: each query goes where it belongs (registry/search/fan-out), as a question of one member to another. */
import type { Clock } from "../../proto/clock.ts";
import type { Account } from "../auth/contract.ts";
import { RegistryError } from "../errors.ts";
import { askOverHttp } from "../search/fan-out/over-http.ts";
import type { SearchService } from "../search/service.ts";
import { untilAgreed } from "./agree.ts";
import { childOf } from "./child-signal.ts";
import type { MemberClient } from "./client.ts";
import { MemberDown, MemberWrong, nobodys } from "./errors.ts";
import { preferencesPath } from "./paths.ts";
import { parseJson } from "./verify.ts";
import type { View } from "./view.ts";

/** A page waits for two such questions after another, and still comes in time with the rest (registry/page/handler.ts). */
const QUESTION_MS = 4_000;

export interface MemberSearchParts {
  readonly view: () => View;
  readonly client: MemberClient;
  readonly clock: Clock;
  /** This member's own. */
  readonly local: SearchService;
  /** Whose question it is. */
  readonly account: Account;
}

/** As of all members. */
export function searchOfAll({ view, client, clock, local, account }: MemberSearchParts): SearchService {
  const { list, self, answerMs } = view();
  const patience = new Patience(clock);
  const cluster = {
    self,
    members: () => list.ids,
    ownerOf: (name: string) => list.ownerOf(name) ?? self,
    askMember: askOverHttp((member, { path, body, maxBytes }, context) => {
      const deadlineMs = context.mayScan ? answerMs : Math.min(answerMs, QUESTION_MS);
      return patience.ask(member, deadlineMs, context.signal, (signal) =>
        untilAgreed(clock, signal, async () => {
          const answer = await client.open(member, {
            method: "POST",
            path,
            role: "itself",
            account: context.account,
            headers: { "content-type": "application/json", "x-request-id": context.requestId },
            question: body,
            deadlineMs,
            // What takes a search long need not keep pushes and pulls from the member.
            countsInBreaker: false,
            signal,
          });
          try {
            return { status: answer.status, body: await answer.whole(maxBytes, context.took) };
          } finally {
            answer.discard();
          }
        }),
      );
    }),
    // Whether the account may change anything is the same for all repositories today.
    readOnly: !account.mayWrite("any"),
    // What is left is known to each member by itself, and as soon as nothing is, the operator takes `previous` out.
    isMoving: () => view().previous !== undefined,
  };
  return {
    ...local,
    answer: (request, asker) => local.answerOfAll(request, asker, cluster),
    async toggle(user, preference, name, context) {
      const owner = list.ownerOf(name);
      if (owner === undefined) throw nobodys(name, list.ids);
      if (owner === self) return local.toggle(user, preference, name, context);
      const answer = await untilAgreed(clock, context.signal, () =>
        client.ask(owner, {
          method: "PUT",
          path: preferencesPath(preference, name),
          role: "owner",
          account: user,
          headers: { "x-request-id": context.requestId },
          signal: context.signal,
        }),
      );
      if (answer.status === 404) return undefined;
      if (answer.status === 200) return answer.headers["outrigger-preference"] === "set";
      throw refusedBy(owner, answer.status, answer.body);
    },
  };
}

/** One service's, for one request: a member that leaves one question unanswered is not asked another. */
class Patience {
  readonly #clock: Clock;
  readonly #silent = new Map<string, MemberDown>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws MemberDown, whichever part of the answer it is that does not come in time; what `ask` throws */
  async ask<Answer>(
    member: string,
    deadlineMs: number,
    signal: AbortSignal,
    ask: (signal: AbortSignal) => Promise<Answer>,
  ): Promise<Answer> {
    const silent = this.#silent.get(member);
    if (silent !== undefined) throw silent;
    const ended = childOf(signal);
    const cancel = this.#clock.after(deadlineMs, () => ended.abort(new Error("the question has taken too long")));
    try {
      return await ask(ended.signal);
    } catch (error) {
      const isLate = ended.signal.aborted && !signal.aborted;
      const told = isLate ? new MemberDown(member, `no answer came within ${deadlineMs / 1000} s`, error) : error;
      if (told instanceof MemberDown) this.#silent.set(member, told);
      throw told;
    } finally {
      cancel();
    }
  }
}

/** Its own words, where it has any. */
function refusedBy(member: string, status: number, body: Buffer): RegistryError {
  const { errors } = (parseJson(member, body) ?? {}) as { readonly errors?: readonly { readonly message?: unknown }[] };
  const said = errors?.[0]?.message;
  if (typeof said !== "string" || status < 400)
    return new MemberWrong(member, `answers ${status} when asked for a preference`);
  return new RegistryError(status === 403 ? "DENIED" : "UNAVAILABLE", said.slice(0, 300), { detail: { member } });
}
