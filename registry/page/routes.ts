/** The page's own paths, and the links to them. None of them can be one of /v2, /livez, /readyz or /metrics. */
import { isName, isTag } from "../repository/names.ts";

export type PageRoute =
  | { readonly kind: "repositories" }
  | { readonly kind: "repository"; readonly name: string }
  | { readonly kind: "image"; readonly name: string; readonly tag: string }
  | { readonly kind: "members" }
  | { readonly kind: "login" }
  | { readonly kind: "asset"; readonly file: string }
  /** Below one of the page's own folders, but nothing. */
  | { readonly kind: "nothing"; readonly why: string };

const REPOSITORY = "/r/";
const ASSET = "/assets/";

/** @returns undefined when the path is none of the page's */
export function matchPage(path: string): PageRoute | undefined {
  if (path === "/") return { kind: "repositories" };
  if (path === "/members") return { kind: "members" };
  if (path === "/login") return { kind: "login" };
  if (path.startsWith(ASSET)) return { kind: "asset", file: path.slice(ASSET.length) };
  if (!path.startsWith(REPOSITORY)) return undefined;
  const reference = decode(path.slice(REPOSITORY.length));
  if (reference === undefined) return { kind: "nothing", why: "The address has an escape sequence that is not UTF-8." };
  // Names hold no colon, tags no slash.
  const colon = reference.indexOf(":");
  const name = colon < 0 ? reference : reference.slice(0, colon);
  if (!isName(name)) {
    return {
      kind: "nothing",
      why: "The address holds no repository name: write /r/name for one, /r/name:tag for an image.",
    };
  }
  if (colon < 0) return { kind: "repository", name };
  const tag = reference.slice(colon + 1);
  if (!isTag(tag)) return { kind: "nothing", why: "The address holds no tag after its colon: write /r/name:tag." };
  return { kind: "image", name, tag };
}

/** Names and tags need no escaping in a path; what a member may make up does. */
export function repositoryPath(name: string): string {
  return REPOSITORY + name.split("/").map(encodeURIComponent).join("/");
}

export function imagePath(name: string, tag: string): string {
  return `${repositoryPath(name)}:${encodeURIComponent(tag)}`;
}

export function assetPath(file: string, version: string): string {
  return `${ASSET}${file}?v=${version}`;
}

/** `path?a=1&b=2`, without what is empty or absent. */
export function withQuery(path: string, parameters: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
