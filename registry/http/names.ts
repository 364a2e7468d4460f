/** References and digests as they come in a path: each malformed one gets its own code. */
import { isDigest } from "../../proto/keys.ts";
import { RegistryError } from "../errors.ts";
import type { Reference } from "../repository/contract.ts";
import { assertTag, isTag } from "../repository/names.ts";

/** @throws DIGEST_INVALID */
export function assertDigest(digest: string): void {
  if (isDigest(digest)) return;
  const algorithm = /^([A-Za-z0-9_+.-]+):[A-Za-z0-9=_-]+$/.exec(digest)?.[1];
  const why =
    algorithm === undefined || algorithm === "sha256" || algorithm === "sha512"
      ? "is neither sha256:<64 hex> nor sha512:<128 hex> in lower case"
      : `uses ${algorithm}; this registry knows sha256 and sha512`;
  throw new RegistryError("DIGEST_INVALID", `digest ${shorten(digest)} ${why}`, {
    detail: { digest: digest.slice(0, 200) },
  });
}

/**
 * The last component of /manifests/<reference>. A tag that cannot exist is, to a reader, one that does not exist.
 * @throws DIGEST_INVALID; TAG_INVALID for a writer, MANIFEST_UNKNOWN for a reader
 */
export function parseReference(text: string, writing: boolean): Reference {
  if (text.includes(":")) {
    assertDigest(text);
    return { digest: text };
  }
  if (writing) assertTag(text);
  else if (!isTag(text)) {
    throw new RegistryError("MANIFEST_UNKNOWN", `there is no manifest ${shorten(text)}: that is not a valid tag`, {
      detail: { tag: text.slice(0, 129) },
    });
  }
  return { tag: text };
}

/** For messages. */
export function shorten(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
