/** A scanner that knows what it is told. */
import type { Cve, Scan, Scannable, Scanner, Severity } from "../../../registry/search/scanner.ts";

export function cve(id: string, severity: Severity, title = `about ${id}`): Cve {
  const packages = [{ name: `lib-${id.slice(-1)}`, path: "", installedVersion: "1", fixedVersion: "" }];
  return { id, severity, title, description: `what ${id} is`, reference: `https://example.com/${id}`, packages };
}

export class FakeScanner implements Scanner {
  readonly scans = new Map<string, Scan>();
  /** Digests that were scanned; those of one question after what is known are one entry. */
  readonly scanned: string[] = [];
  readonly asked: string[][] = [];
  fault: Error | undefined;

  async scan({ digest }: Scannable): Promise<Scan> {
    if (this.fault !== undefined) throw this.fault;
    this.scanned.push(digest);
    return this.scans.get(digest) ?? { cves: [] };
  }

  async known(images: readonly Scannable[]): Promise<ReadonlyMap<string, Scan>> {
    if (this.fault !== undefined) throw this.fault;
    this.asked.push(images.map(({ digest }) => digest));
    return new Map(
      images.flatMap(({ digest }) => (this.scans.has(digest) ? [[digest, this.scans.get(digest) as Scan]] : [])),
    );
  }

  async imagesWith(id: string): Promise<readonly string[]> {
    if (this.fault !== undefined) throw this.fault;
    return [...this.scans].flatMap(([digest, scan]) =>
      "cves" in scan && scan.cves.some((each) => each.id === id) ? digest : [],
    );
  }
}
