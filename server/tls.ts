/** TLS of the listener: certificates reread when their files change, and the client names that may call. */
import { X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import type { ServerHttp2Session } from "node:http2";
import { createSecureContext, type SecureContextOptions, TLSSocket } from "node:tls";
import { ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { alternativeNames } from "../proto/certificates.ts";
import type { Clock } from "../proto/clock.ts";
import { UsageError } from "./option-values.ts";

export interface TlsOptions {
  /** PEM files. */
  readonly cert: string;
  readonly key: string;
  /** Clients must have a certificate signed by it. */
  readonly clientCa?: string;
  /** One of these names must be in a client's certificate: its common name, or a DNS, URI or e-mail subject name. */
  readonly allowClients?: readonly string[];
}

const LOOK_EVERY_MS = 5_000;

/** @throws UsageError when the files cannot be used */
export async function createTls(options: TlsOptions, clock: Clock, log: Logger): Promise<TlsCredentials> {
  if (options.allowClients !== undefined && options.clientCa === undefined) {
    throw new UsageError("--tls-allow-client needs --tls-client-ca: without it clients show no certificate");
  }
  const { context, mark } = await load(options).catch((cause) => {
    throw new UsageError(`the TLS files cannot be used: ${(cause as Error).message}`, { cause });
  });
  return new TlsCredentials(options, context, mark, clock, log);
}

export class TlsCredentials extends ServerCredentials {
  readonly #options: TlsOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  #mark: string;
  #cancel: () => void = () => {};

  constructor(options: TlsOptions, context: SecureContextOptions, mark: string, clock: Clock, log: Logger) {
    const mutual = options.clientCa !== undefined;
    super({ requestCert: mutual, rejectUnauthorized: mutual, minVersion: "TLSv1.2" }, context);
    this.#options = options;
    this.#mark = mark;
    this.#clock = clock;
    this.#log = log;
  }

  /** Looks at the files now and then, until `stopWatching`. */
  watch(): void {
    this.#cancel = this.#clock.after(LOOK_EVERY_MS, () => {
      void this.reload().finally(() => this.watch());
    });
  }

  stopWatching(): void {
    this.#cancel();
  }

  /** Uses the files as they are now; broken ones are logged and the last good ones stay. */
  async reload(): Promise<void> {
    try {
      const mark = await marks(this.#options);
      if (mark === this.#mark) return;
      const loaded = await load(this.#options);
      this.#mark = loaded.mark;
      this.updateSecureContextOptions(loaded.context);
      this.#log.info("the TLS certificate has changed and is in use");
    } catch (err) {
      this.#log.error({ err }, "the changed TLS files cannot be used: the last good ones stay");
    }
  }

  /** Whether the client's certificate has an allowed name. */
  allows(session: ServerHttp2Session): boolean {
    const { allowClients } = this.#options;
    if (allowClients === undefined) return true;
    const { socket } = session;
    if (!(socket instanceof TLSSocket) || !socket.authorized) return false;
    const names = namesOf(socket.getPeerCertificate());
    return names.some((name) => allowClients.includes(name));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** What `--tls-allow-client` is compared with: the common name and alternative names. */
export function namesOf(certificate: { subject?: { CN?: string | string[] }; subjectaltname?: string }): string[] {
  const common = certificate.subject?.CN ?? [];
  const alternative = alternativeNames(certificate.subjectaltname)
    .filter(({ kind }) => kind === "DNS" || kind === "URI" || kind === "email")
    .map(({ name }) => name);
  return [...(Array.isArray(common) ? common : [common]), ...alternative];
}

async function load({ cert, key, clientCa }: TlsOptions): Promise<{ context: SecureContextOptions; mark: string }> {
  const mark = await marks({ cert, key, ...(clientCa === undefined ? {} : { clientCa }) });
  const context: SecureContextOptions = {
    cert: await readFile(cert),
    key: await readFile(key),
    ...(clientCa === undefined ? {} : { ca: await readFile(clientCa) }),
  };
  // Throws unless key and certificate belong together: half a rotation is not taken.
  createSecureContext(context);
  const { validTo } = new X509Certificate(context.cert as Buffer);
  if (Date.parse(validTo) < Date.now()) throw new Error(`the certificate in ${cert} ended ${validTo}`);
  return { context, mark };
}

/** Changes when a file does, also behind the symbolic links that Kubernetes swaps. */
async function marks({ cert, key, clientCa }: TlsOptions): Promise<string> {
  const files = [cert, key, ...(clientCa === undefined ? [] : [clientCa])];
  const all = await Promise.all(files.map((path) => stat(path)));
  return all.map(({ ino, mtimeMs, size }) => `${ino}:${mtimeMs}:${size}`).join(" ");
}
