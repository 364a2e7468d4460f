/** What a scanner knows of images, as answers sum it up (type ImageVulnerabilitySummary). */
import type { RequestContext } from "../repository/contract.ts";
import type { Asking } from "./asking.ts";
import { QueryError } from "./errors.ts";
import { type Cve, type Scan, type Scannable, type Scanner, SEVERITIES, type Severity } from "./scanner.ts";

export interface VulnerabilitySummary {
  readonly MaxSeverity: string;
  readonly Count: number;
  readonly UnknownCount: number;
  readonly LowCount: number;
  readonly MediumCount: number;
  readonly HighCount: number;
  readonly CriticalCount: number;
}

const NOT_SCANNED = summaryOf([], "");

/** Of several images (of an index): what any of them has, each vulnerability once. Never scans: it is asked for by lists. */
export async function severitiesOf(
  asking: Asking,
  name: string,
  images: readonly { readonly digest: string; readonly mediaType: string }[],
): Promise<VulnerabilitySummary> {
  if (asking.scans === undefined || images.length === 0) return NOT_SCANNED;
  const scans = await asking.scans.known(images.map(({ digest, mediaType }) => ({ name, digest, mediaType })));
  return scans.some((scan) => "cves" in scan) ? summaryOf(cvesOf(scans)) : NOT_SCANNED;
}

/** Asks a scanner of all images of a page at once, though each field asks by itself. */
export class KnownScans {
  readonly #scanner: Scanner;
  readonly #context: RequestContext;
  #waiting: Scannable[] = [];
  #answer: Promise<ReadonlyMap<string, Scan>> | undefined;

  constructor(scanner: Scanner, context: RequestContext) {
    this.#scanner = scanner;
    this.#context = context;
  }

  /** What is not known is left out. */
  async known(images: readonly Scannable[]): Promise<Scan[]> {
    this.#waiting.push(...images);
    // Fields of one page are resolved in one turn: by the next one all of them wait.
    this.#answer ??= Promise.resolve().then(() => {
      const waiting = this.#waiting;
      this.#waiting = [];
      this.#answer = undefined;
      return asScanned(this.#scanner.known(waiting, this.#context));
    });
    const scans = await this.#answer;
    return images.flatMap(({ digest }) => scans.get(digest) ?? []);
  }
}

/** What a scanner says is for whoever asked. */
export async function asScanned<Answer>(answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    throw new QueryError(`the scanner failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Each once; of an id that is told several times, the worst. */
export function cvesOf(scans: readonly Scan[]): Cve[] {
  const found = new Map<string, Cve>();
  for (const scan of scans) {
    if (!("cves" in scan)) continue;
    for (const cve of scan.cves) {
      const other = found.get(cve.id);
      if (other === undefined || worse(cve.severity, other.severity) < 0) found.set(cve.id, cve);
    }
  }
  return [...found.values()];
}

export function summaryOf(cves: readonly Pick<Cve, "severity">[], whenNone = "NONE"): VulnerabilitySummary {
  const count = (severity: Severity) => cves.filter((cve) => cve.severity === severity).length;
  const worst = cves.map(({ severity }) => severity).sort(worse)[0];
  return {
    MaxSeverity: worst ?? whenNone,
    Count: cves.length,
    UnknownCount: count("UNKNOWN"),
    LowCount: count("LOW"),
    MediumCount: count("MEDIUM"),
    HighCount: count("HIGH"),
    CriticalCount: count("CRITICAL"),
  };
}

/** Negative: `a` is the worse. */
export function worse(a: Severity, b: Severity): number {
  return SEVERITIES.indexOf(b) - SEVERITIES.indexOf(a);
}
