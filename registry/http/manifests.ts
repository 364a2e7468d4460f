/** /v2/<name>/manifests/<reference>: pull (end-3), push (end-7), delete (end-9). */
import { RegistryError } from "../errors.ts";
import type { ManifestFound, Reference } from "../repository/contract.ts";
import { assertName, assertTag } from "../repository/names.ts";
import { readWhole } from "./body.ts";
import { answer, type Exchange, matchesEtag } from "./exchange.ts";
import { parseReference } from "./names.ts";

/** The spec asks for at least 10 tags in one push; what one Write takes is the other end. */
const MAX_TAGS = 50;

/** A manifest is answered as it was pushed, whatever Accept says: its digest is of these bytes. */
export async function pullManifest(exchange: Exchange): Promise<void> {
  const { route, request, context, shared } = exchange;
  const reference = parseReference(route.reference, false);
  const ifNoneMatch = request.headers["if-none-match"];
  if (request.method === "HEAD" || ifNoneMatch !== undefined) {
    const found = await shared.repositories.statManifest(route.name, reference, context);
    if (!found) throw unknown(route.name, reference);
    if (matchesEtag(ifNoneMatch, found.digest))
      return answer(exchange, 304, ["ETag", `"${found.digest}"`, "Docker-Content-Digest", found.digest]);
    if (request.method === "HEAD") return answer(exchange, 200, manifestHeaders(found));
  }
  const found = await shared.repositories.getManifest(route.name, reference, context);
  if (!found) throw unknown(route.name, reference);
  answer(exchange, 200, manifestHeaders(found), found.bytes);
}

/** end-7a by tag or digest; end-7b by digest with `tag` parameters. */
export async function pushManifest(exchange: Exchange): Promise<void> {
  const { route, request, response, query, context, shared } = exchange;
  // What the path alone decides is said before the body is asked for.
  assertName(route.name);
  const reference = parseReference(route.reference, true);
  const asked = query.getAll("tag");
  if ("tag" in reference && asked.length > 0) {
    throw new RegistryError(
      "TAG_INVALID",
      "the parameter tag goes with a push by digest; this one names a tag in its path",
      {
        detail: { tag: asked[0]?.slice(0, 128) },
      },
    );
  }
  if (asked.length > MAX_TAGS)
    throw new RegistryError("TAG_INVALID", `${asked.length} tags in one push; at most ${MAX_TAGS}`, { status: 414 });
  for (const tag of asked) assertTag(tag);
  const tags = "tag" in reference ? [reference.tag] : [...new Set(asked)];
  const { clock, bodyLimits: limits, traffic } = shared;
  const bytes = await readWhole(
    { request, response, clock, limits, traffic, ended: exchange.ended.signal },
    limits.manifestBytes,
  );
  const pushed = await shared.repositories.putManifest(
    route.name,
    {
      bytes,
      contentType: request.headers["content-type"] ?? "",
      tags,
      ...("digest" in reference ? { digest: reference.digest } : {}),
    },
    context,
  );
  const headers = [
    "Location",
    `/v2/${route.name}/manifests/${pushed.digest}`,
    "Docker-Content-Digest",
    pushed.digest,
    "Content-Length",
    "0",
  ];
  if (pushed.subject !== undefined) headers.push("OCI-Subject", pushed.subject);
  if (asked.length > 0 && pushed.tags.length > 0) headers.push("OCI-Tag", pushed.tags.join(", "));
  answer(exchange, 201, headers);
}

export async function deleteManifest(exchange: Exchange): Promise<void> {
  const { route, context, shared } = exchange;
  const reference = parseReference(route.reference, false);
  const deleted =
    "tag" in reference
      ? await shared.repositories.deleteTag(route.name, reference.tag, context)
      : await shared.repositories.deleteManifest(route.name, reference.digest, context);
  if (!deleted) throw unknown(route.name, reference);
  answer(exchange, 202, ["Content-Length", "0"]);
}

function manifestHeaders(found: Omit<ManifestFound, "bytes">): string[] {
  return [
    "Content-Type",
    found.mediaType,
    "Content-Length",
    String(found.sizeBytes),
    "Docker-Content-Digest",
    found.digest,
    "ETag",
    `"${found.digest}"`,
  ];
}

function unknown(name: string, reference: Reference): RegistryError {
  return new RegistryError("MANIFEST_UNKNOWN", "the manifest is not in this repository", {
    detail: { name, ...reference },
  });
}
