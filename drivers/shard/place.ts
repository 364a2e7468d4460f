/** Which shard a key, or an upload, belongs to: rendezvous hashing, so that the names alone decide. */
import { createHash } from "node:crypto";

/** The name of the highest weight, SHA-256 of "name NUL what"; the same on every machine and in every release. */
export function placeOf(names: readonly string[], what: string): string {
  let best = "";
  let highest = "";
  for (const name of names) {
    const weight = createHash("sha256").update(`${name}\0${what}`).digest("hex");
    if (weight > highest) {
      highest = weight;
      best = name;
    }
  }
  return best;
}
