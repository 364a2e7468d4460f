/** What a member answers about repositories that it owned before a change of members, and how it lets go of them. */
import { RegistryError } from "../errors.ts";
import { answerJson, type Exchange } from "../http/exchange.ts";
import { assertDigest } from "../http/names.ts";
import { single } from "../http/query.ts";
import type { Repositories, RequestContext } from "../repository/contract.ts";
import type { ContentKind, Handover } from "../repository/handover.ts";
import { assertName } from "../repository/names.ts";
import type { Peer } from "./peers.ts";
import type { View } from "./view.ts";

const KINDS: ReadonlySet<string> = new Set<ContentKind>(["layers", "revisions", "tags"]);

/**
 * `settled`, `contents`, `purge`; of a member that this one has given the repository up to. Layers go only where that one
 * names them: an upload may have ended here since it has copied them.
 * @throws UNSUPPORTED, DENIED, NAME_INVALID, DIGEST_INVALID
 */
export async function answerNewOwner(exchange: Exchange, view: View, peer: Peer): Promise<void> {
  const { route, query, shared, context, request } = exchange;
  if (route.reference === "settled") return answerJson(exchange, 200, {});
  const handover = handoverOf(shared.repositories);
  const name = single(query, "name", "NAME_INVALID") ?? "";
  assertName(name);
  if (view.list.ownerOf(name) !== peer.id || peer.id === view.self)
    throw new RegistryError("DENIED", `${peer.id} does not own ${name}`, { detail: { name } });
  if (route.reference === "contents" && request.method === "GET") {
    const kind = single(query, "kind", "UNSUPPORTED") ?? "";
    const after = single(query, "after", "UNSUPPORTED") ?? "";
    if (kind === "preferences") return answerJson(exchange, 200, await handover.preferences(name, after, context));
    if (!KINDS.has(kind))
      throw new RegistryError("UNSUPPORTED", "kind is none of layers, revisions, tags, preferences");
    return answerJson(exchange, 200, await handover.contents(name, kind as ContentKind, after, context));
  }
  if (route.reference === "purge" && request.method === "POST") {
    const kind = single(query, "kind", "UNSUPPORTED");
    if (kind === "manifests") await purgeManifests(shared.repositories, handover, name, context);
    else if (kind === "layers") {
      const digests = (single(query, "digest", "DIGEST_INVALID") ?? "").split(",");
      for (const digest of digests) assertDigest(digest);
      for (const digest of digests) await shared.repositories.deleteBlob(name, digest, context);
    } else throw new RegistryError("UNSUPPORTED", "kind is none of manifests, layers");
    return answerJson(exchange, 200, {});
  }
  throw new RegistryError("UNSUPPORTED", "there is no such endpoint", { status: 404 });
}

/** Tags first: nothing of it is ever half there. With them what is told of it. */
async function purgeManifests(
  local: Repositories,
  handover: Handover,
  name: string,
  context: RequestContext,
): Promise<void> {
  const each = async (kind: ContentKind, remove: (digest: string, tag: string) => Promise<boolean>) => {
    for (let after: string | undefined = ""; after !== undefined; ) {
      const page = await handover.contents(name, kind, after, context);
      for (const { digest, tag = "" } of page.items) await remove(digest, tag);
      after = page.next;
    }
  };
  await each("tags", (_, tag) => local.deleteTag(name, tag, context));
  await each("revisions", (digest) => local.deleteManifest(name, digest, context));
  await handover.removePreferences(name, context);
}

function handoverOf({ handover }: Repositories): Handover {
  if (handover) return handover;
  throw new Error("these repositories cannot be handed over");
}
