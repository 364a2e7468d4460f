/** Etags that no key ever had before: a random name for this process's life, and a counter. */
import { randomBytes } from "node:crypto";

export type NextEtag = () => string;

export function createEtags(life = randomBytes(16).toString("hex")): NextEtag {
  let count = 0;
  return () => `${life}-${++count}`;
}
