/** The scanner of searches, over one behind an address (outrigger.scan.v1): what it said is kept for minutes. */
import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import type { ScannerClient, ScanOutcome } from "../../client/scanner.ts";
import type { RequestContext } from "../repository/contract.ts";
import type { Cve, Scan, Scannable, Scanner } from "./scanner.ts";

const KEPT_MS = 5 * 60_000;
/** An image that is known to be clean takes as much as its key. */
const MAX_KEPT_BYTES = 32 * 1024 * 1024;
const AT_ONCE = 8;

export function createRemoteScanner(client: ScannerClient, log: Logger): Scanner {
  return new RemoteScanner(client, log);
}

class RemoteScanner implements Scanner {
  readonly #client: ScannerClient;
  readonly #log: Logger;
  readonly #kept = new LRUCache<string, { readonly scan: Scan }>({
    ttl: KEPT_MS,
    maxSize: MAX_KEPT_BYTES,
    sizeCalculation: ({ scan }) => 256 + ("cves" in scan ? sizeOf(scan.cves) : 0),
  });

  constructor(client: ScannerClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  async scan(image: Scannable, context: RequestContext): Promise<Scan> {
    const kept = this.#kept.get(image.digest);
    if (kept !== undefined) return kept.scan;
    const outcome = await this.#client.scan(wire(image), callOf(context));
    if (outcome.state === "pending") throw new Error("the image was not scanned yet: ask again in a moment");
    // One that failed may not fail the next time.
    if (outcome.state === "failed") return { unscannable: outcome.message || "the scan failed" };
    return this.#keep(image.digest, outcome);
  }

  /** Never rejects but with the context's signal: a list is shown without what cannot be asked. */
  async known(images: readonly Scannable[], context: RequestContext): Promise<ReadonlyMap<string, Scan>> {
    const found = new Map<string, Scan>();
    const asked = new Map<string, Scannable>();
    for (const image of images) {
      const kept = this.#kept.get(image.digest);
      if (kept === undefined) asked.set(image.digest, image);
      else found.set(image.digest, kept.scan);
    }
    const left = [...asked.values()];
    await Promise.all(
      Array.from({ length: Math.min(AT_ONCE, left.length) }, async () => {
        for (let image = left.pop(); image !== undefined; image = left.pop()) {
          try {
            const outcome = await this.#client.scan(wire(image), { ...callOf(context), knownOnly: true });
            if (outcome.state === "scanned" || outcome.state === "unsupported")
              found.set(image.digest, this.#keep(image.digest, outcome));
          } catch (error) {
            context.signal.throwIfAborted();
            this.#log.warn({ err: error, digest: image.digest }, "the scanner could not be asked");
            // Of those that are left it would not say more.
            left.length = 0;
          }
        }
      }),
    );
    return found;
  }

  imagesWith(id: string, context: RequestContext): Promise<readonly string[]> {
    return this.#client.affected(id, callOf(context));
  }

  #keep(digest: string, outcome: ScanOutcome): Scan {
    const scan: Scan =
      outcome.state === "scanned"
        ? { cves: outcome.vulnerabilities }
        : { unscannable: outcome.message || "this kind of image cannot be scanned" };
    this.#kept.set(digest, { scan });
    return scan;
  }
}

function wire({ name, digest, mediaType }: Scannable) {
  return { repository: name, digest, mediaType };
}

function callOf({ signal, requestId }: RequestContext) {
  return { signal, requestId };
}

function sizeOf(cves: readonly Cve[]): number {
  let bytes = 0;
  for (const { id, title, description, reference, packages } of cves) {
    bytes += 200 + id.length + title.length + description.length + reference.length;
    for (const { name, path, installedVersion, fixedVersion } of packages)
      bytes += 100 + name.length + path.length + installedVersion.length + fixedVersion.length;
  }
  return bytes;
}
