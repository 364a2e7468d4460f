/** What a digest names is the same wherever it lies: where `digests` says so this member, the owner, then all others. */
import { setMaxListeners } from "node:events";
import { isDigest } from "../../proto/keys.ts";
import { RegistryError } from "../errors.ts";
import type { Exchange } from "../http/exchange.ts";
import type { MemberClient } from "./client.ts";
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

/** Whether this member's own stores have said that they have not what a request names. */
export function saysAbsent(error: unknown): boolean {
  return error instanceof RegistryError && (error.code === "BLOB_UNKNOWN" || error.code === "MANIFEST_UNKNOWN");
}

/** @param exchange by digest */
export function askedFor({ route: { kind, name, reference: digest } }: Exchange): ByDigest {
  return { kind: kind === "blob" ? "blob" : "manifest", name, digest };
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

/** What a digest names in a repository. */
export interface ByDigest {
  readonly kind: "blob" | "manifest";
  readonly name: string;
  readonly digest: string;
}

/** The first of the `candidates` that says it has it; else those who could not say. */
export async function findHolder(
  client: MemberClient,
  candidates: readonly string[],
  { kind, name, digest }: ByDigest,
  account: string,
  ended: AbortSignal,
): Promise<{ readonly member: string } | { readonly member: undefined; readonly failures: readonly MemberError[] }> {
  const path = kind === "blob" ? blobPath(name, digest) : manifestPath(name, digest);
  const losers = new AbortController();
  const signal = AbortSignal.any([ended, losers.signal]);
  setMaxListeners(0, signal);
  const failures: MemberError[] = [];
  const slots = new Slots(AT_ONCE);
  const probe = async (id: string): Promise<string> => {
    const free = await slots.take(signal);
    try {
      const answer = await client.ask(id, { method: "HEAD", path, role: "digest", account, signal });
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
  try {
    return { member: await Promise.any(candidates.map(probe)) };
  } catch {
    ended.throwIfAborted();
    return { member: undefined, failures };
  } finally {
    losers.abort(new Error("another member was first"));
  }
}

/**
 * Answers from the first of the other members that has it.
 * @param asked the owner, where it has said that it has not; absent: this member is the owner
 * @param failed what the owner met instead of an answer
 * @returns the member that it was
 * @throws 404 when all said so, else 502 that names those who said nothing
 */
export async function fromAnybody(
  forwarding: Forwarding,
  view: View,
  exchange: Exchange,
  asked: string | undefined,
  failed: MemberError | undefined,
): Promise<string> {
  const { account, context } = exchange;
  const candidates = others(view).filter((id) => id !== asked);
  const found = await findHolder(forwarding.client, candidates, askedFor(exchange), account.name, context.signal);
  if (found.member === undefined)
    throw nowhere(exchange, failed === undefined ? found.failures : [failed, ...found.failures]);
  await passOn(exchange, await openForward(forwarding, exchange, found.member, "digest"));
  return found.member;
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
