/**
 * Which endpoint of the distribution API a path names. Repository names contain slashes, so a path is matched from its
 * right end (as olareg and go-containerregistry do).
 */
import { RegistryError } from "../errors.ts";

export const routeMethods = {
  base: ["GET", "HEAD"],
  catalog: ["GET", "HEAD"],
  tags: ["GET", "HEAD"],
  manifest: ["GET", "HEAD", "PUT", "DELETE"],
  blob: ["GET", "HEAD", "DELETE"],
  uploads: ["POST"],
  upload: ["GET", "HEAD", "PATCH", "PUT", "DELETE"],
  referrers: ["GET", "HEAD"],
  search: ["GET", "POST"],
  discover: ["GET", "HEAD"],
  preferences: ["PUT"],
  members: ["GET", "HEAD", "POST"],
} as const satisfies Record<string, readonly string[]>;

export type RouteKind = keyof typeof routeMethods;

export interface Route {
  readonly kind: RouteKind;
  /** Repository; "" where the path names none. Not yet checked. */
  readonly name: string;
  /** Tag, digest or upload id; "" where the endpoint has none. Not yet checked. */
  readonly reference: string;
}

const BASE: Route = { kind: "base", name: "", reference: "" };
/** No repository's name begins with "_". */
const FIXED: ReadonlyMap<string, Route> = new Map(
  (
    [
      ["/v2/_catalog", "catalog"],
      ["/v2/_zot/ext/search", "search"],
      ["/v2/_outrigger/search", "search"],
      ["/v2/_zot/ext/userprefs", "preferences"],
      ["/v2/_oci/ext/discover", "discover"],
    ] as const
  ).map(([path, kind]) => [path, { kind, name: "", reference: "" }]),
);
/** The cluster that this registry is a member of; with a component more, what only its members ask (registry/members/). */
const MEMBERS = "/v2/_outrigger/members";

/**
 * @param path without query, beginning with "/v2"
 * @returns undefined when it is no endpoint
 * @throws NAME_INVALID for an escape sequence that does not decode
 */
export function matchRoute(path: string): Route | undefined {
  if (path === "/v2/" || path === "/v2") return BASE;
  if (!path.startsWith("/v2/")) return undefined;
  const rest = path.includes("%") ? decode(path) : path;
  const fixed = FIXED.get(rest);
  if (fixed !== undefined) return fixed;
  if (rest.startsWith(MEMBERS)) {
    const asked = rest.slice(MEMBERS.length);
    if (asked === "" || /^\/[a-z]+$/.test(asked)) return { kind: "members", name: "", reference: asked.slice(1) };
  }
  const end = rest.lastIndexOf("/");
  const reference = rest.slice(end + 1);
  // "/v2/<name>/<kind>/<reference>": the kind's slash is the one before the last.
  const kindAt = rest.lastIndexOf("/", end - 1);
  if (kindAt < 4) return undefined;
  const name = rest.slice(4, kindAt);
  switch (rest.slice(kindAt + 1, end)) {
    case "manifests":
      return { kind: "manifest", name, reference };
    case "blobs":
      return reference === "uploads" ? { kind: "uploads", name, reference: "" } : { kind: "blob", name, reference };
    case "tags":
      return reference === "list" ? { kind: "tags", name, reference: "" } : undefined;
    case "referrers":
      return { kind: "referrers", name, reference };
    case "uploads": {
      if (!name.endsWith("/blobs") || name.length <= 6) return undefined;
      const repository = name.slice(0, -6);
      return { kind: reference === "" ? "uploads" : "upload", name: repository, reference };
    }
    default:
      return undefined;
  }
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (error) {
    throw new RegistryError("NAME_INVALID", "the path has an escape sequence that is not UTF-8", { cause: error });
  }
}
