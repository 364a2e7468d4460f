/** Names and tags (OCI distribution spec 1.1, "Pulling manifests"), and names as one component of a key. */
import { RegistryError } from "../errors.ts";

const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
/** distribution's limit for a whole name; also what one component of a key may have. */
const MAX_NAME = 255;

/** @throws NAME_INVALID also for a name whose escaped form would not fit one component of a key */
export function assertName(name: string): void {
  if (!isName(name)) {
    throw new RegistryError(
      "NAME_INVALID",
      `a repository name is lower-case letters and digits, joined by ".", "_", "__" or "-", in components joined by "/", at most ${MAX_NAME} characters in all, where ".", "-" and "/" count twice`,
      { detail: { name: name.slice(0, MAX_NAME + 1) } },
    );
  }
}

export function isName(name: string): boolean {
  if (name.length > MAX_NAME || !NAME.test(name)) return false;
  // Escaping at most doubles a name.
  return 2 * name.length <= MAX_NAME || escapeName(name).length <= MAX_NAME;
}

/** @throws TAG_INVALID */
export function assertTag(tag: string): void {
  if (!isTag(tag)) {
    throw new RegistryError("TAG_INVALID", "a tag is [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", {
      detail: { tag: tag.slice(0, 129) },
    });
  }
}

export function isTag(tag: string): boolean {
  return TAG.test(tag);
}

/**
 * A name as one component: `-`→`-0`, `.`→`-1`, `/`→`-2`. Keeps bytewise order, because the three are neighbours in ASCII
 * and stay below everything else that a name may hold.
 */
export function escapeName(name: string): string {
  return name.replace(/[-./]/g, (character) => (character === "-" ? "-0" : character === "." ? "-1" : "-2"));
}

/** `undefined`: not what escapeName gives. */
export function unescapeName(component: string): string | undefined {
  if (/-(?![012])/.test(component) || /[./]/.test(component)) return undefined;
  return component.replace(/-[012]/g, (pair) => (pair === "-0" ? "-" : pair === "-1" ? "." : "/"));
}

/**
 * `last` of a listing may be any text: cut it to ASCII of a fair length so that exactly the names above it follow.
 * Bytes of UTF-8 beyond ASCII are above everything in a name, as is DEL.
 */
export function listingBound(last: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: "any ASCII" is the rule
  const ascii = /^[\x00-\x7f]*/.exec(last.slice(0, 2 * MAX_NAME))?.[0] ?? "";
  return ascii.length < Math.min(last.length, 2 * MAX_NAME) ? `${ascii}\x7f` : ascii;
}
