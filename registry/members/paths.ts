/** What of a client's request goes on to another member: a path that is built anew, and headers and parameters by list. */
import type { IncomingHttpHeaders } from "node:http";
import type { Route, RouteKind } from "../http/routes.ts";

/** Parameters that the endpoints read; another one does not travel. */
const PARAMETERS: Readonly<Record<RouteKind, readonly string[]>> = {
  base: [],
  catalog: ["n", "last"],
  tags: ["n", "last"],
  manifest: ["tag"],
  blob: [],
  uploads: ["digest", "mount", "from", "digest-algorithm"],
  upload: ["_state", "digest"],
  referrers: ["n", "last", "artifactType"],
  members: [],
  search: [],
  discover: [],
  preferences: [],
};

const REQUEST_HEADERS = [
  "accept",
  "content-range",
  "content-type",
  "if-none-match",
  "if-range",
  "range",
  "x-request-id",
];

const ANSWER_HEADERS: ReadonlyMap<string, string> = new Map(
  [
    "Accept-Ranges",
    "Allow",
    "Cache-Control",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Docker-Content-Digest",
    "Docker-Upload-UUID",
    "ETag",
    "Link",
    "Location",
    "OCI-Filters-Applied",
    "OCI-Subject",
    "OCI-Tag",
    "Range",
    "Retry-After",
    "Warning",
  ].map((name) => [name.toLowerCase(), name]),
);

/** @param route whose name is a repository's */
export function pathOf(route: Route, query: URLSearchParams): string {
  const path = `/v2/${route.name}/${lastPart(route)}`;
  const kept = new URLSearchParams();
  for (const parameter of PARAMETERS[route.kind]) {
    for (const value of query.getAll(parameter)) kept.append(parameter, value);
  }
  return kept.size === 0 ? path : `${path}?${kept}`;
}

export function manifestPath(name: string, reference: string): string {
  return `/v2/${name}/manifests/${escaped(reference)}`;
}

export function blobPath(name: string, digest: string): string {
  return `/v2/${name}/blobs/${escaped(digest)}`;
}

export function catalogPath(limit: number, last: string): string {
  return `/v2/_catalog?${new URLSearchParams({ n: String(limit), ...(last === "" ? {} : { last }) })}`;
}

/** A page of tags or referrers. */
export function listingPath(
  path: string,
  page: { readonly last: string; readonly limit: number; readonly artifactType?: string },
): string {
  const query = new URLSearchParams({ n: String(page.limit) });
  if (page.last !== "") query.set("last", page.last);
  if (page.artifactType !== undefined) query.set("artifactType", page.artifactType);
  return `${path}?${query}`;
}

export function preferencesPath(preference: "star" | "bookmark", name: string): string {
  const action = preference === "star" ? "toggleStar" : "toggleBookmark";
  return `/v2/_zot/ext/userprefs?${new URLSearchParams({ action, repo: name })}`;
}

/** What members ask each other beside the API. */
export function membersPath(what: string, parameters: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams(parameters);
  return `/v2/_outrigger/members/${what}${query.size === 0 ? "" : `?${query}`}`;
}

function lastPart({ kind, name, reference }: Route): string {
  switch (kind) {
    case "manifest":
      return `manifests/${escaped(reference)}`;
    case "blob":
      return `blobs/${escaped(reference)}`;
    case "tags":
      return "tags/list";
    case "referrers":
      return `referrers/${escaped(reference)}`;
    case "uploads":
      return "blobs/uploads/";
    case "upload":
      return `blobs/uploads/${escaped(reference)}`;
    default:
      throw new Error(`${kind} is no endpoint of ${name}`);
  }
}

/** A colon stays as it is: a digest is read more often than it is written. */
function escaped(reference: string): string {
  return encodeURIComponent(reference).replaceAll("%3A", ":");
}

export function requestHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of REQUEST_HEADERS) {
    const value = headers[name];
    if (typeof value === "string") kept[name] = value;
  }
  return kept;
}

/** As Node takes them: name, value, name, value. */
export function answerHeaders(headers: IncomingHttpHeaders): string[] {
  const kept: string[] = [];
  for (const [name, written] of ANSWER_HEADERS) {
    const value = headers[name];
    if (typeof value === "string") kept.push(written, value);
  }
  return kept;
}
