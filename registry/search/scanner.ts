/** What searches ask of a vulnerability scanner. It stands behind an address of its own; without one there is none. */
import type { RequestContext } from "../repository/contract.ts";

export type Severity = "UNKNOWN" | "LOW" | "MEDIUM" | "HIGH" | "CRITICAL";

export interface CvePackage {
  readonly name: string;
  /** Empty: not known. */
  readonly path: string;
  readonly installedVersion: string;
  /** Empty: there is none yet. */
  readonly fixedVersion: string;
}

export interface Cve {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  /** A URL. */
  readonly reference: string;
  readonly severity: Severity;
  readonly packages: readonly CvePackage[];
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
