/** The two stores make etags by themselves: a mark tells whose one is, so that none stands for two contents [blob.etag.01]. */
import { OutriggerError } from "../../proto/errors.ts";
import type { BlobInfo, Condition } from "../../server/contract.ts";

export type Side = "primary" | "secondary";

const marks = { primary: "p.", secondary: "s." } as const;

export function withSide(info: BlobInfo, side: Side): BlobInfo {
  return { ...info, etag: `${marks[side]}${info.etag}` };
}

/** The member's own etag. @throws ETAG_MISMATCH for one of the other side */
export function fromMember(key: string, etag: string, side: Side): string {
  if (etag.startsWith(marks[side])) return etag.slice(marks[side].length);
  throw new OutriggerError("ETAG_MISMATCH", `key ${key} has another etag: it is read from the ${side} now`);
}

export function toPrimary(key: string, condition: Condition): Condition {
  return "ifAbsent" in condition ? condition : { ifEtag: fromMember(key, condition.ifEtag, "primary") };
}
