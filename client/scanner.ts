/** One scanner (outrigger.scan.v1): who knows the vulnerabilities of images. Asked by the search, never on a push or pull. */
import { type Logger, pino } from "pino";
import { type Clock, systemClock } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import type { AffectedResponse } from "../proto/gen/outrigger/scan/v1/AffectedResponse.ts";
import type { ScanResponse } from "../proto/gen/outrigger/scan/v1/ScanResponse.ts";
import type { Vulnerability as WireVulnerability } from "../proto/gen/outrigger/scan/v1/Vulnerability.ts";
import { isDigest } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";
import { loadScanService } from "../proto/load.ts";
import type { CallOptions, StoreTarget } from "./contract.ts";
import { grpcTransport } from "./grpc.ts";
import { GrpcChannels } from "./grpc-channels.ts";
import { type Codec, codecFrom, unaryCall } from "./grpc-unary.ts";
import { introduce } from "./handshake.ts";

export interface ScannedImage {
  readonly repository: string;
  /** Of an image's manifest, never of an index. */
  readonly digest: string;
  readonly mediaType: string;
}

export type Severity = "UNKNOWN" | "LOW" | "MEDIUM" | "HIGH" | "CRITICAL";

export interface Vulnerability {
  readonly id: string;
  readonly severity: Severity;
  readonly title: string;
  readonly description: string;
  /** A URL. */
  readonly reference: string;
  readonly packages: readonly {
    readonly name: string;
    /** Empty: not known. */
    readonly path: string;
    readonly installedVersion: string;
    /** Empty: there is none yet. */
    readonly fixedVersion: string;
  }[];
}

export type ScanOutcome =
  /** All that is known; ascending by id, bytewise. */
  | { readonly state: "scanned"; readonly vulnerabilities: readonly Vulnerability[] }
  | { readonly state: "pending" | "unsupported" | "failed"; readonly message: string };

/** Everything rejects with OutriggerError. */
export interface ScannerClient {
  /** `knownOnly`: nothing is scanned because it was asked for. */
  scan(image: ScannedImage, options?: CallOptions & { readonly knownOnly?: boolean }): Promise<ScanOutcome>;
  /** Digests of the images that are known to have it, ascending. Perhaps also of such as no registry of ours has. */
  affected(vulnerabilityId: string, options?: CallOptions): Promise<readonly string[]>;
  close(): void;
}

export interface ScannerParts {
  readonly log?: Logger;
  readonly clock?: Clock;
}

const API = "outrigger.scan";
/** Of one image: a scanner that never ends must not fill the memory. */
const MOST_VULNERABILITIES = 50_000;
/** Likewise of the images of one vulnerability. */
const MOST_DIGESTS = 1_000_000;
/** After a call that nobody answered, further ones fail at once for so long: a search asks for many images. */
const REST_MS = 2_000;
const ID = /^[\x21-\x7e]{1,128}$/;

/** Connects at the first question. @throws INVALID_FIELD for an address of no known form */
export function connectScanner(target: Pick<StoreTarget, "address" | "tls">, parts: ScannerParts = {}): ScannerClient {
  return new RemoteScanner(target, parts.log ?? pino({ level: "silent" }), parts.clock ?? systemClock);
}

class RemoteScanner implements ScannerClient {
  readonly #target: Pick<StoreTarget, "address" | "tls">;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #channels: GrpcChannels;
  /** Which contract was agreed on; asked again when another hash comes along, or nobody answered. */
  #agreed: { readonly contract: Promise<string> } | undefined;
  #resting: { readonly untilMs: number; readonly error: OutriggerError } | undefined;

  constructor(target: Pick<StoreTarget, "address" | "tls">, log: Logger, clock: Clock) {
    this.#target = target;
    this.#log = log;
    this.#clock = clock;
    this.#channels = new GrpcChannels(target, clock, log);
  }

  async scan(image: ScannedImage, options: CallOptions & { readonly knownOnly?: boolean } = {}): Promise<ScanOutcome> {
    const knownOnly = options.knownOnly === true;
    const found: Vulnerability[] = [];
    for (;;) {
      const startAfter = found.at(-1)?.id ?? "";
      const page = (await this.#call("Scan", { image, startAfter, limit: 0, knownOnly }, options)) as ScanResponse;
      if (page.digest !== image.digest)
        throw this.#violation(`asked for ${image.digest}, the answer is about ${JSON.stringify(page.digest)}`);
      const state = stateOf(page);
      if (state === undefined) throw this.#violation(`the state ${page.state} of ${image.digest} is not one`);
      if (state !== "scanned") return { state, message: page.message };
      let before = startAfter;
      for (const one of page.vulnerabilities) {
        if (!ID.test(one.id) || one.id <= before)
          throw this.#violation(`${JSON.stringify(one.id)} follows ${JSON.stringify(before)} in ${image.digest}`);
        before = one.id;
        found.push(vulnerabilityOf(one));
      }
      if (found.length > MOST_VULNERABILITIES)
        throw this.#violation(`${image.digest} has more than ${MOST_VULNERABILITIES} vulnerabilities`);
      if (!page.more) return { state: "scanned", vulnerabilities: found };
      if (page.vulnerabilities.length === 0) throw this.#violation("an empty page says that more follow");
    }
  }

  async affected(vulnerabilityId: string, options: CallOptions = {}): Promise<readonly string[]> {
    const digests: string[] = [];
    for (;;) {
      const request = { vulnerabilityId, startAfter: digests.at(-1) ?? "", limit: 0 };
      const page = (await this.#call("Affected", request, options)) as AffectedResponse;
      let before = request.startAfter;
      for (const digest of page.digests) {
        if (!isDigest(digest)) throw this.#violation(`${JSON.stringify(digest.slice(0, 200))} is no digest`);
        if (digest <= before) throw this.#violation(`${digest} follows ${before}`);
        before = digest;
        digests.push(digest);
      }
      if (digests.length > MOST_DIGESTS)
        throw this.#violation(`${vulnerabilityId} is in more than ${MOST_DIGESTS} images`);
      if (!page.more) return digests;
      if (page.digests.length === 0) throw this.#violation("an empty page says that more follow");
    }
  }

  close(): void {
    this.#channels.close();
  }

  async #call(name: "Scan" | "Affected", request: object, options: CallOptions): Promise<object> {
    if (this.#resting !== undefined && this.#clock.monotonic() < this.#resting.untilMs) throw this.#resting.error;
    try {
      const contract = await this.#agree();
      const answer = await unaryCall(
        this.#channels.small(),
        codecOf(name),
        request,
        {
          metadata: options.requestId === undefined ? {} : { requestId: options.requestId },
          deadlineMs: limits.unaryDeadlineMs,
          ...(options.signal === undefined ? {} : { signal: options.signal }),
        },
        `scan.${name} at ${this.#target.address}`,
      );
      if (answer.metadata.contract !== contract) this.#agreed = undefined;
      this.#resting = undefined;
      return answer.response;
    } catch (error) {
      if (hasReason(error, "UNREACHABLE", "TIMED_OUT", "NOT_A_DRIVER", "VERSION_UNSUPPORTED")) {
        this.#agreed = undefined;
        this.#resting = { untilMs: this.#clock.monotonic() + REST_MS, error };
      }
      throw error;
    }
  }

  /** Not with the signal of whoever asks first: others wait for the same answer. */
  #agree(): Promise<string> {
    if (this.#agreed === undefined) {
      const agreed = { contract: this.#handshake() };
      this.#agreed = agreed;
      // What was wrong may be right the next time.
      agreed.contract.catch(() => {
        if (this.#agreed === agreed) this.#agreed = undefined;
      });
    }
    return this.#agreed.contract;
  }

  async #handshake(): Promise<string> {
    const { address } = this.#target;
    const transport = grpcTransport(this.#target, { clock: this.#clock, log: this.#log });
    try {
      const core = { name: "outrigger", version: "" };
      const input = { transport, clock: this.#clock, address, core, compat: [] };
      const { decision, response, metadata } = await introduce(input, API);
      if (decision.log) this.#log[decision.log.level](decision.log.text);
      for (const notice of response.notices) this.#log.warn(`the scanner at ${address} says: ${notice}`);
      this.#log.info({ scanner: response.driver, version: response.version }, `the scanner at ${address} is used`);
      return metadata.contract ?? "";
    } finally {
      transport.close();
    }
  }

  #violation(what: string): OutriggerError {
    return new OutriggerError("PROTOCOL_VIOLATION", `the scanner at ${this.#target.address}: ${what}`, {
      side: "driver",
    });
  }
}

function stateOf({ state }: ScanResponse): ScanOutcome["state"] | undefined {
  switch (state) {
    case "SCAN_STATE_SCANNED":
      return "scanned";
    case "SCAN_STATE_PENDING":
      return "pending";
    case "SCAN_STATE_UNSUPPORTED":
      return "unsupported";
    case "SCAN_STATE_FAILED":
      return "failed";
    default:
      return undefined;
  }
}

function vulnerabilityOf(wire: WireVulnerability): Vulnerability {
  const { id, title, description, reference, packages } = wire;
  return { id, severity: severityOf(wire.severity), title, description, reference, packages };
}

/** One that this release does not know is UNKNOWN too. */
function severityOf(severity: WireVulnerability["severity"]): Severity {
  switch (severity) {
    case "SEVERITY_LOW":
      return "LOW";
    case "SEVERITY_MEDIUM":
      return "MEDIUM";
    case "SEVERITY_HIGH":
      return "HIGH";
    case "SEVERITY_CRITICAL":
      return "CRITICAL";
    default:
      return "UNKNOWN";
  }
}

let codecs: Readonly<Record<"Scan" | "Affected", Codec>> | undefined;

function codecOf(name: "Scan" | "Affected"): Codec {
  if (codecs === undefined) {
    const { service } = loadScanService();
    codecs = { Scan: codecFrom(service.Scan), Affected: codecFrom(service.Affected) };
  }
  return codecs[name];
}
