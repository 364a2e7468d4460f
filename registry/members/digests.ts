/** What a digest names is the same wherever it lies: with `digests: all` this member, the owner, then all others. */
import { setMaxListeners } from "node:events";
import { isDigest } from "../../proto/keys.ts";
import { RegistryError } from "../errors.ts";
import type { Exchange } from "../http/exchange.ts";
import { childOf } from "./child-signal.ts";
import { isMemberError, type MemberError, MemberWrong } from "./errors.ts";
import { type Forwarding, openForward, passOn } from "./forward.ts";
import { blobPath, manifestPath } from "./paths.ts";
import { Slots } from "./slots.ts";
import { others, type View } from "./view.ts";

/** Members asked at once. */
const AT_ONCE = 8;

/** Whether the request reads what a digest names. */
export function isByDigest({ route, request: { method } }: Exchange): boolean {
  const reads = method === "GET" || method === "HEAD";
  return reads && (route.kind === "blob" || route.kind === "manifest") && isDigest(route.reference);
}

export async function hasHere({ route, shared, context }: Exchange): Promise<boolean> {
  const { repositories } = shared;
  const { name, reference: digest } = route;
  const found =
    route.kind === "blob"
      ? await repositories.statBlob(name, digest, context)
      : await repositories.statManifest(name, { digest }, context);
  return found !== undefined;
}

/**
 * Answers from the first of the other members that has it.
 * @param asked the owner, where it has said that it has not; absent: this member is the owner
 * @param failed what the owner met instead of an answer
 * @throws 404 when all said so, else 502 that names those who said nothing
 */
export async function fromAnybody(
  forwarding: Forwarding,
  view: View,
  exchange: Exchange,
  asked: string | undefined,
  failed: MemberError | undefined,
): Promise<void> {
  const { route, account, context } = exchange;
  const path =
    route.kind === "blob" ? blobPath(route.name, route.reference) : manifestPath(route.name, route.reference);
  const losers = childOf(context.signal);
  const { signal } = losers;
  setMaxListeners(0, signal);
  const failures: MemberError[] = failed === undefined ? [] : [failed];
  const candidates = others(view).filter((id) => id !== asked);
  const slots = new Slots(AT_ONCE);
  const probe = async (id: string): Promise<string> => {
    const free = await slots.take(signal);
    try {
      const request = { method: "HEAD", path, role: "digest", account: account.name, signal } as const;
      const answer = await forwarding.client.ask(id, request);
      if (answer.status === 200) return id;
      const failure = failureOf(answer);
      if (failure) failures.push(failure);
    } catch (error) {
      if (isMemberError(error)) failures.push(error);
    } finally {
      free();
    }
    throw new Error("not there");
  };
  let found: string;
  try {
    found = await Promise.any(candidates.map(probe));
  } catch {
    context.signal.throwIfAborted();
    throw nowhere(exchange, failures);
  }
  losers.abort(new Error("another member was first"));
  await passOn(exchange, await openForward(forwarding, exchange, found, "digest"));
}

/** Only 404 says that it is not there: a member whose storage cannot be reached knows nothing of it. */
export function failureOf({
  member,
  status,
}: {
  readonly member: string;
  readonly status: number;
}): MemberWrong | undefined {
  return status === 404 ? undefined : new MemberWrong(member, `answers ${status} when asked for a digest`);
}

function nowhere({ route }: Exchange, failures: readonly MemberError[]): RegistryError {
  const { name, reference: digest, kind } = route;
  if (failures.length > 0) {
    const members = failures.map(({ member }) => member).sort();
    return new RegistryError("UNAVAILABLE", `nobody else has it, and not all could be asked: ${failures[0]?.message}`, {
      status: 502,
      detail: { members },
    });
  }
  return kind === "blob"
    ? new RegistryError("BLOB_UNKNOWN", "the blob is not in this repository", { detail: { name, digest } })
    : new RegistryError("MANIFEST_UNKNOWN", "the manifest is not in this repository", { detail: { name, digest } });
}
