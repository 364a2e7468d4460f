/** The s3 driver as a process, on versitygw. */
import { shellCommand } from "../../helpers/compiled.ts";
import type { Content } from "../../helpers/oci.ts";
import { type DriverOptions, type DriverProcess, runOutrigger, startDriver } from "../../helpers/outrigger.ts";
import type { Scope } from "../../helpers/processes.ts";
import type { RegistryClient } from "../../helpers/registry-client.ts";
import { accessKey, type S3Server, secretKey } from "../../helpers/s3-server.ts";

/** A bucket that the driver can be started on, any number of times. */
export interface S3Bucket {
  readonly bucket: string;
  readonly env: Readonly<Record<string, string>>;
}

let buckets = 0;

/** @param endpoint default: the server's own; else what stands before it */
export function bucketOf(server: S3Server, endpoint = server.endpoint): S3Bucket {
  const bucket = `bucket-${++buckets}`;
  server.makeBucket(bucket);
  return { bucket, env: environmentFor(bucket, endpoint) };
}

export function environmentFor(bucket: string, endpoint: string): Record<string, string> {
  return {
    OUTRIGGER_BUCKET: bucket,
    OUTRIGGER_ENDPOINT: endpoint,
    AWS_ACCESS_KEY_ID: accessKey,
    AWS_SECRET_ACCESS_KEY: secretKey,
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_CONFIG_FILE: "/nonexistent",
    AWS_SHARED_CREDENTIALS_FILE: "/nonexistent",
  };
}

export async function s3Store(server: S3Server, endpoint = server.endpoint): Promise<S3Bucket> {
  const store = bucketOf(server, endpoint);
  await runOutrigger(["driver", "s3", "--init"], { env: store.env });
  return store;
}

/** One shell command that starts the driver, for the kit's --start. */
export function startCommand(): string {
  return `exec ${shellCommand("driver", "s3")}`;
}

export function startS3(
  scope: Scope,
  store: S3Bucket,
  options: Pick<DriverOptions, "address" | "flags"> = {},
): Promise<DriverProcess> {
  return startDriver(scope, { driver: "s3", env: store.env, ...options });
}

/** As docker and most others push: POST, PATCH with the bytes, PUT with the digest. */
export async function pushByPatch(client: RegistryClient, repository: string, content: Content): Promise<void> {
  const patched = await client.expect(202, "PATCH", await client.startUpload(repository), {
    headers: { "content-type": "application/octet-stream" },
    body: content.read(),
  });
  const location = String(patched.headers["location"]);
  await client.expect(201, "PUT", `${location}${location.includes("?") ? "&" : "?"}digest=${content.digest}`);
}
