/** The SDK's client as the driver needs it: sockets, credentials, and who may repeat a request. */
import { readFile } from "node:fs/promises";
import { Agent } from "node:http";
import { Agent as TlsAgent } from "node:https";
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { invalidField } from "../../proto/keys.ts";
import type { S3Options } from "./options.ts";

/** Uploads, and small calls. Reads have no bound: a client that stalls must not stop the others. */
const SOCKETS = 256;
const CONNECT_MS = 5_000;
/** Of what is harmless to repeat, the first one included. */
const ATTEMPTS = 5;
/** Files are read again after so long, so that keys can be changed under a running driver. */
const CREDENTIALS_MS = 5 * 60_000;

export interface Clients {
  /** Repeats, with back-off, what failed in passing. */
  readonly patient: S3Client;
  /** Sends once. */
  readonly once: S3Client;
  /** Reads of bytes. */
  readonly reading: S3Client;
  /** Makes URLs for clients. */
  readonly signing: S3Client;
  /** For messages. */
  readonly place: string;
  close(): void;
}

/** @throws INVALID_FIELD with a sentence that names the option */
export function createClients(options: S3Options): Clients {
  // The SDK's release is this package's to choose, and its advice about node is no line of a log.
  process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
  const { bucket, endpoint, signEndpoint, requestTimeout } = options;
  if (!/^[A-Za-z0-9][A-Za-z0-9.:_/-]{1,254}$/.test(bucket)) throw invalidField("bucket", "is not a bucket's name");
  if (requestTimeout < 1000) throw invalidField("requestTimeout", "must be at least 1s");
  if (endpoint !== undefined) assertUrl("endpoint", endpoint);
  if (signEndpoint !== undefined) assertUrl("signEndpoint", signEndpoint);
  const bounded = handler(requestTimeout, SOCKETS);
  const unbounded = handler(requestTimeout, Number.POSITIVE_INFINITY);
  const always = options.checksums === "always" || (options.checksums === "auto" && endpoint === undefined);
  const credentials = credentialsOf(options);
  const region = options.region ?? (endpoint === undefined ? undefined : (process.env["AWS_REGION"] ?? "us-east-1"));
  const config: S3ClientConfig = {
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    forcePathStyle: options.pathStyle ?? endpoint !== undefined,
    requestChecksumCalculation: always ? "WHEN_SUPPORTED" : "WHEN_REQUIRED",
    // What is read is proved by its digest, end to end.
    responseChecksumValidation: "WHEN_REQUIRED",
    ...(credentials === undefined ? {} : { credentials }),
    // Else a bucket in another region would be found by luck, and every request go there twice.
    followRegionRedirects: false,
  };
  const patient = new S3Client({ ...config, requestHandler: bounded, maxAttempts: ATTEMPTS });
  const once = new S3Client({ ...config, requestHandler: bounded, maxAttempts: 1 });
  const reading = new S3Client({ ...config, requestHandler: unbounded, maxAttempts: ATTEMPTS });
  const signing = new S3Client({ ...config, ...(signEndpoint === undefined ? {} : { endpoint: signEndpoint }) });
  return {
    patient,
    once,
    reading,
    signing,
    place: `bucket ${bucket} at ${endpoint ?? "AWS"}`,
    close() {
      for (const client of [patient, once, reading, signing]) client.destroy();
    },
  };
}

function handler(requestTimeoutMs: number, maxSockets: number): NonNullable<S3ClientConfig["requestHandler"]> {
  return {
    connectionTimeout: CONNECT_MS,
    requestTimeout: requestTimeoutMs,
    throwOnRequestTimeout: true,
    // 0: a socket whose reader is slow is not idle; the body's reader has a timer of its own.
    socketTimeout: 0,
    // Uploads wait for each other in their own bound; the SDK would write to the console.
    socketAcquisitionWarningTimeout: 2 ** 31 - 1,
    httpAgent: new Agent({ keepAlive: true, maxSockets }),
    httpsAgent: new TlsAgent({ keepAlive: true, maxSockets }),
  };
}

function assertUrl(field: string, text: string): void {
  if (!/^https?:\/\/[^/?#]+\/?$/.test(text)) throw invalidField(field, "must be a URL such as https://s3.example.com");
}

function credentialsOf(options: S3Options): S3ClientConfig["credentials"] {
  const { accessKeyIdFile, secretAccessKeyFile, sessionTokenFile } = options;
  if (accessKeyIdFile === undefined && secretAccessKeyFile === undefined) {
    if (sessionTokenFile !== undefined)
      throw invalidField("sessionTokenFile", "needs accessKeyIdFile and secretAccessKeyFile");
    return undefined;
  }
  if (accessKeyIdFile === undefined || secretAccessKeyFile === undefined) {
    throw invalidField(
      accessKeyIdFile === undefined ? "accessKeyIdFile" : "secretAccessKeyFile",
      "is missing: the two belong together",
    );
  }
  return async () => ({
    accessKeyId: await fileText("accessKeyIdFile", accessKeyIdFile),
    secretAccessKey: await fileText("secretAccessKeyFile", secretAccessKeyFile),
    ...(sessionTokenFile === undefined ? {} : { sessionToken: await fileText("sessionTokenFile", sessionTokenFile) }),
    expiration: new Date(Date.now() + CREDENTIALS_MS),
  });
}

async function fileText(field: string, path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    throw invalidField(field, `cannot be read: ${(error as Error).message}`);
  }
}
