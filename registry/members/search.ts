/** Searches over all members: each query goes where it belongs (registry/search/fan-out), as a question of one member to another. */
import type { Clock } from "../../proto/clock.ts";
import type { Account } from "../auth/contract.ts";
import { RegistryError } from "../errors.ts";
import type { GraphQlAnswer } from "../search/answer.ts";
import { type PeerRequest, readExtensions } from "../search/fan-out/contract.ts";
import { createFanOut } from "../search/fan-out/index.ts";
import type { SearchService } from "../search/service.ts";
import { untilAgreed } from "./agree.ts";
import type { MemberBody, MemberClient } from "./client.ts";
import { MemberWrong, nobodys } from "./errors.ts";
import { preferencesPath, searchPath } from "./paths.ts";
import { parseJson } from "./verify.ts";
import type { View } from "./view.ts";

/** A page of 10,000 images with all their fields is less. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export interface MemberSearchParts {
  readonly view: () => View;
  readonly client: MemberClient;
  readonly clock: Clock;
  /** This member's own. */
  readonly local: SearchService;
  /** Whose question it is. */
  readonly account: Account;
}

/** As of all members. Its `search` is this member's own. */
export function searchOfAll({ view, client, clock, local, account }: MemberSearchParts): SearchService {
  const { list, self } = view();
  const ownerOf = (name: string) => list.ownerOf(name) ?? self;
  const fanOut = createFanOut({
    search: local.search,
    self,
    members: () => list.ids,
    ownerOf,
    async askMember(member, request, context) {
      const bytes = Buffer.from(JSON.stringify({ ...request, extensions: extensionsOf(request, account) }));
      const answer = await untilAgreed(clock, context.signal, () =>
        client.ask(member, {
          method: "POST",
          path: searchPath,
          role: "itself",
          account: account.name,
          headers: { "content-type": "application/json", "x-request-id": context.requestId },
          body: wholeBody(bytes),
          maxBytes: MAX_ANSWER_BYTES,
          signal: context.signal,
        }),
      );
      const parsed = parseJson(member, answer.body);
      if (answer.status !== 200 && answer.status !== 422)
        throw new MemberWrong(member, `answers ${answer.status} when asked to search`);
      if (typeof parsed !== "object" || parsed === null) throw new MemberWrong(member, "answers what is no search's");
      // Its shape is the fan-out's to check, against what was asked.
      return parsed as GraphQlAnswer;
    },
  });
  return {
    search: local.search,
    answer: (request, asker) => fanOut.answer(request, asker),
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

/** As another member asks it: with what only members may send along. */
export function searchForPeer(local: SearchService): SearchService {
  return {
    ...local,
    answer(request, asker) {
      const { layers, readOnly } = extensionsIn(request.extensions) ?? {};
      return local.answer(request, {
        ...asker,
        ...(layers === undefined ? {} : { layers }),
        ...(readOnly === true ? { mayDelete: () => false } : {}),
      });
    },
  };
}

function extensionsIn(value: unknown): PeerRequest["extensions"] {
  try {
    return readExtensions(value);
  } catch (error) {
    throw new RegistryError("UNSUPPORTED", (error as Error).message, { status: 400, cause: error });
  }
}

/** Whether the account may change anything is the same for all repositories today. */
function extensionsOf({ extensions }: PeerRequest, account: Account): PeerRequest["extensions"] {
  return account.mayWrite("any") ? { ...extensions } : { ...extensions, readOnly: true };
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
