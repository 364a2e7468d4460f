/** Names in certificates, for all who know a peer by its own. */

export interface AlternativeName {
  /** "DNS", "URI", "email", "IP Address" and so on. */
  readonly kind: string;
  readonly name: string;
}

/** One name after the other, as Node writes them: what could be taken for more than one name is in quotes. */
const NAME = /(?:^|, )([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?=, |$)/gy;

/**
 * Subject alternative names (RFC 5280, 4.2.1.6). One in quotes stays so, and is nobody's: whoever asked for it wanted it read
 * as several.
 * @param names as Node has them, in `DNS:a.example, URI:outrigger-member:a`
 */
export function alternativeNames(names: string | undefined): AlternativeName[] {
  return [...(names ?? "").matchAll(NAME)].map(([, kind = "", name = ""]) => ({ kind, name }));
}
