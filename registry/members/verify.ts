/** Answers of other members are believed only as far as they can be checked. */
import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { algorithmOf, isDigest } from "../../proto/keys.ts";
import type { Route } from "../http/routes.ts";
import { MemberWrong } from "./errors.ts";

/** The same bytes. The last of them come only once all are known to be right. @throws MemberWrong */
export async function* verified(
  member: string,
  digest: string,
  body: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void> {
  const hash = createHash(algorithmOf(digest));
  let held: Buffer | undefined;
  for await (const chunk of body) {
    hash.update(chunk);
    if (held !== undefined) yield held;
    held = chunk;
  }
  if (`${algorithmOf(digest)}:${hash.digest("hex")}` !== digest) throw otherBytes(member, digest);
  if (held !== undefined) yield held;
}

/** @throws MemberWrong unless the bytes are those that it says they are, and those that were asked for */
export function assertManifest(member: string, asked: string, named: string | undefined, bytes: Buffer): void {
  if (named === undefined || !isDigest(named)) throw new MemberWrong(member, "answers a manifest without its digest");
  assertNamed(member, asked, named);
  const algorithm = algorithmOf(named);
  if (`${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` !== named) throw otherBytes(member, named);
}

/** @param asked a digest, or a tag, which may name anything. @throws MemberWrong */
export function assertNamed(member: string, asked: string, named: string | undefined): void {
  if (named !== undefined && isDigest(asked) && named !== asked)
    throw new MemberWrong(member, `answers ${named} where ${asked} was asked for`);
}

/** @throws MemberWrong when the answer leads out of the repository that was asked for */
export function assertOwnLinks(member: string, { name }: Route, { location, link }: IncomingHttpHeaders): void {
  const own = `/v2/${name}/`;
  if (location !== undefined && !location.startsWith(own))
    throw new MemberWrong(member, `answers with a Location outside ${name}`);
  if (link !== undefined && !String(link).startsWith(`<${own}`))
    throw new MemberWrong(member, `answers with a Link outside ${name}`);
}

/** @throws MemberWrong unless it is a list of this repository's tags */
export function assertTagsOf(member: string, name: string, bytes: Buffer): void {
  const parsed = parseJson(member, bytes) as { name?: unknown; tags?: unknown } | null;
  if (parsed?.name !== name) throw new MemberWrong(member, `answers the tags of another repository than ${name}`);
  if (!Array.isArray(parsed.tags)) throw new MemberWrong(member, "answers a list of tags that is none");
}

/** @throws MemberWrong */
export function parseJson(member: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new MemberWrong(member, "answers what is not JSON", error);
  }
}

function otherBytes(member: string, digest: string): MemberWrong {
  return new MemberWrong(member, `answers bytes that are not those of ${digest}`);
}
