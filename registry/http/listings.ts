/** What is there: tags (end-8), referrers (end-12), repositories. Every list is a page; Link says where it goes on. */
import { RegistryError } from "../errors.ts";
import { answer, answerJson, type Exchange } from "./exchange.ts";
import { assertDigest } from "./names.ts";
import { pageSize, single } from "./query.ts";

const INDEX = "application/vnd.oci.image.index.v1+json";

/** end-8a, end-8b */
export async function listTags(exchange: Exchange): Promise<void> {
  const { route, query, context, shared } = exchange;
  const limit = pageSize(query);
  const last = single(query, "last", "PAGINATION_NUMBER_INVALID") ?? "";
  // An empty page still says whether the repository is there.
  const page = await shared.repositories.listTags(route.name, { last, limit: Math.max(1, limit) }, context);
  if (!page) {
    throw new RegistryError("NAME_UNKNOWN", "there is no such repository", { detail: { name: route.name } });
  }
  if (limit === 0) return answerJson(exchange, 200, { name: route.name, tags: [] });
  const headers = page.more ? nextLink(`/v2/${route.name}/tags/list`, limit, page.names.at(-1)) : [];
  answerJson(exchange, 200, { name: route.name, tags: page.names }, headers);
}

export async function listRepositories(exchange: Exchange): Promise<void> {
  const { query, context, shared } = exchange;
  const limit = pageSize(query);
  const last = single(query, "last", "PAGINATION_NUMBER_INVALID") ?? "";
  if (limit === 0) return answerJson(exchange, 200, { repositories: [] });
  const page = await shared.repositories.listRepositories({ last, limit }, context);
  const headers = page.more ? nextLink("/v2/_catalog", limit, page.names.at(-1)) : [];
  answerJson(exchange, 200, { repositories: page.names }, headers);
}

/** end-12a, end-12b */
export async function listReferrers(exchange: Exchange): Promise<void> {
  const { route, query, context, shared } = exchange;
  const { name, reference: subject } = route;
  assertDigest(subject);
  const limit = pageSize(query);
  const last = single(query, "last", "PAGINATION_NUMBER_INVALID") ?? "";
  if (last !== "") assertDigest(last);
  const artifactType = single(query, "artifactType", "UNSUPPORTED") || undefined;
  const page =
    limit === 0
      ? { manifests: [], more: false }
      : await shared.repositories.listReferrers(
          name,
          subject,
          { last, limit, ...(artifactType === undefined ? {} : { artifactType }) },
          context,
        );
  const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: page.manifests }));
  const headers = ["Content-Type", INDEX, "Content-Length", String(body.length)];
  if (artifactType !== undefined) headers.push("OCI-Filters-Applied", "artifactType");
  if (page.more) {
    const filter: [string, string][] = artifactType === undefined ? [] : [["artifactType", artifactType]];
    headers.push(...nextLink(`/v2/${name}/referrers/${subject}`, limit, page.manifests.at(-1)?.digest, filter));
  }
  answer(exchange, 200, headers, body);
}

/** RFC 8288; relative, so that it holds behind any name and port. */
function nextLink(path: string, limit: number, last: string | undefined, filter: [string, string][] = []): string[] {
  if (last === undefined) return [];
  const query = new URLSearchParams([...filter, ["last", last], ["n", String(limit)]]);
  return ["Link", `<${path}?${query}>; rel="next"`];
}
