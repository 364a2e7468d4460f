/** A scanner in this process, over gRPC: it knows what a test tells it, and breaks the rules where a test wants it to. */
import { Metadata, Server, ServerCredentials, type ServiceError, status, type UntypedHandleCall } from "@grpc/grpc-js";
import type { AffectedRequest } from "../../proto/gen/outrigger/scan/v1/AffectedRequest.ts";
import type { AffectedResponseInput } from "../../proto/gen/outrigger/scan/v1/AffectedResponse.ts";
import type { ScanRequest } from "../../proto/gen/outrigger/scan/v1/ScanRequest.ts";
import type { ScanResponseInput } from "../../proto/gen/outrigger/scan/v1/ScanResponse.ts";
import type { VulnerabilityInput } from "../../proto/gen/outrigger/scan/v1/Vulnerability.ts";
import { contract, loadScanService } from "../../proto/load.ts";
import type { Scope } from "./processes.ts";

const PAGE = 2;

export class FixtureScanner {
  address = "";
  /** By digest; an image that is not here is pending. Any order. */
  readonly known = new Map<string, readonly VulnerabilityInput[]>();
  versions: { major: number; minor: number }[] = [{ major: 1, minor: 0 }];
  contract = "c1";
  /** Its clock, beside ours. */
  skewMs = 0;
  /** Instead of what would be answered. */
  scan: ((request: ScanRequest, honest: ScanResponseInput) => ScanResponseInput | "never") | undefined;
  affected: ((request: AffectedRequest, honest: AffectedResponseInput) => AffectedResponseInput) | undefined;
  /** Images that were asked for to be scanned, by digest. */
  readonly asked: string[] = [];
  /** Calls answered, by name. */
  readonly calls: Record<string, number> = {};
  readonly #server = new Server();

  /** @param port 0: any */
  static async start(scope: Scope, port = 0): Promise<FixtureScanner> {
    const scanner = new FixtureScanner();
    await scanner.#listen(port);
    scope.defer(() => scanner.stop());
    return scanner;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  async #listen(port: number): Promise<void> {
    const api = () => ({ "outrigger.scan": { versions: this.versions } });
    const describe = () => ({ driver: "test.fixture-scanner", version: "1", apis: api(), stores: [], notices: [] });
    this.#server.addService(contract().handshake.service, {
      Version: this.#answer("Version", () => ({ api: api() })),
      Describe: this.#answer("Describe", describe),
    });
    this.#server.addService(loadScanService().service, {
      Scan: this.#answer("Scan", (request: ScanRequest) => {
        const honest = this.#page(request);
        return this.scan?.(request, honest) ?? honest;
      }),
      Affected: this.#answer("Affected", (request: AffectedRequest) => {
        const has = ([digest, found]: readonly [string, readonly VulnerabilityInput[]]) =>
          digest > request.startAfter && found.some(({ id }) => id === request.vulnerabilityId);
        const digests = [...this.known].filter(has).map(([digest]) => digest);
        const honest = { digests: digests.sort().slice(0, PAGE), more: digests.length > PAGE };
        return this.affected?.(request, honest) ?? honest;
      }),
    });
    const bound = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) =>
        error === null ? resolve(at) : reject(error),
      );
    });
    this.address = `127.0.0.1:${bound}`;
  }

  #page(request: ScanRequest): ScanResponseInput {
    const digest = request.image?.digest ?? "";
    const known = this.known.get(digest);
    if (!request.knownOnly) this.asked.push(digest);
    if (known === undefined) return { digest, state: "SCAN_STATE_PENDING" };
    const sorted = [...known].sort((a, b) => ((a.id ?? "") < (b.id ?? "") ? -1 : 1));
    const rest = sorted.filter(({ id }) => (id ?? "") > request.startAfter);
    return {
      digest,
      state: "SCAN_STATE_SCANNED",
      vulnerabilities: rest.slice(0, PAGE),
      more: rest.length > PAGE,
    };
  }

  #answer(name: string, work: (request: never) => object | "never"): UntypedHandleCall {
    return ((
      call: { request: never; sendMetadata(metadata: Metadata): void },
      callback: (error: Partial<ServiceError> | null, value?: object) => void,
    ) => {
      this.calls[name] = (this.calls[name] ?? 0) + 1;
      const metadata = new Metadata();
      metadata.set("outrigger-now", String(Date.now() + this.skewMs));
      metadata.set("outrigger-contract", this.contract);
      call.sendMetadata(metadata);
      try {
        const answer = work(call.request);
        if (answer !== "never") callback(null, answer);
      } catch (error) {
        callback({ code: status.INTERNAL, details: (error as Error).message });
      }
    }) as unknown as UntypedHandleCall;
  }
}
