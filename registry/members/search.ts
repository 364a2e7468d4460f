/** Searches over all members: each query goes where it belongs (registry/search/fan-out), as a question of one member to another. */
import type { Clock } from "../../proto/clock.ts";
import type { Account } from "../auth/contract.ts";
import { RegistryError } from "../errors.ts";
import { askOverHttp } from "../search/fan-out/over-http.ts";
import type { SearchService } from "../search/service.ts";
import { untilAgreed } from "./agree.ts";
import type { MemberBody, MemberClient } from "./client.ts";
import { MemberWrong, nobodys } from "./errors.ts";
import { preferencesPath } from "./paths.ts";
import { parseJson } from "./verify.ts";
import type { View } from "./view.ts";

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
  const { list, self } = view();
  const cluster = {
    self,
    members: () => list.ids,
    ownerOf: (name: string) => list.ownerOf(name) ?? self,
    askMember: askOverHttp((member, { path, body, maxBytes }, context) =>
      untilAgreed(clock, context.signal, () =>
        client.ask(member, {
          method: "POST",
          path,
          role: "itself",
          account: context.account,
          headers: { "content-type": "application/json", "x-request-id": context.requestId },
          body: wholeBody(body),
          maxBytes,
          signal: context.signal,
        }),
      ),
    ),
    // Whether the account may change anything is the same for all repositories today.
    readOnly: !account.mayWrite("any"),
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

function wholeBody(bytes: Buffer): MemberBody {
  return { bytes: once(bytes), sizeBytes: bytes.length, stop() {} };
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer, void> {
  yield bytes;
}

/** Its own words, where it has any. */
function refusedBy(member: string, status: number, body: Buffer): RegistryError {
  const { errors } = (parseJson(member, body) ?? {}) as { readonly errors?: readonly { readonly message?: unknown }[] };
  const said = errors?.[0]?.message;
  if (typeof said !== "string" || status < 400)
    return new MemberWrong(member, `answers ${status} when asked for a preference`);
  return new RegistryError(status === 403 ? "DENIED" : "UNAVAILABLE", said.slice(0, 300), { detail: { member } });
}
