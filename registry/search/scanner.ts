/** What searches ask of a vulnerability scanner. It stands behind an address of its own; without one there is none. */
import type { Severity, Vulnerability } from "../../client/scanner.ts";
import type { RequestContext } from "../repository/contract.ts";

export type { Severity };

export type Cve = Vulnerability;

/** The least bad first. */
export const SEVERITIES: readonly Severity[] = ["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"];

export function isSeverity(text: unknown): text is Severity {
  return SEVERITIES.some((severity) => severity === text);
}

/** One manifest, not an index. */
export interface Scannable {
  readonly name: string;
  readonly digest: string;
  readonly mediaType: string;
}

export type Scan =
  /** Each vulnerability once. */
  { readonly cves: readonly Cve[] } | { readonly unscannable: string };

/** Everything rejects with an Error whose message is for whoever asked. */
export interface Scanner {
  /** Scans, where that was not done yet. */
  scan(image: Scannable, context: RequestContext): Promise<Scan>;
  /** What is known already, by digest; never scans. What was not scanned is missing. */
  known(images: readonly Scannable[], context: RequestContext): Promise<ReadonlyMap<string, Scan>>;
  /** Digests of the manifests that are known to have the vulnerability. */
  imagesWith(id: string, context: RequestContext): Promise<readonly string[]>;
}
