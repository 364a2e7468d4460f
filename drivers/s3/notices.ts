/** What of the bucket an operator should know at the start. What may not be looked at is not told. */
import { GetBucketVersioningCommand, GetObjectLockConfigurationCommand } from "@aws-sdk/client-s3";
import type { Requests } from "./requests.ts";

export async function bucketNotices(requests: Requests, bucket: string, signal: AbortSignal): Promise<string[]> {
  const notices: string[] = [];
  if (await hasObjectLock(requests, bucket, signal)) {
    notices.push(
      `bucket ${bucket} has an object lock: what is deleted or overwritten stays as an older version for as long as the lock holds, and is paid for`,
    );
  } else if (await isVersioned(requests, bucket, signal)) {
    notices.push(
      `bucket ${bucket} keeps versions: what is deleted or overwritten stays, uploads' private objects too: add a lifecycle rule that takes noncurrent versions away`,
    );
  }
  return notices;
}

async function isVersioned(requests: Requests, bucket: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { output } = await requests.once({ signal }, (client, watched, options) =>
      client.send(watched(new GetBucketVersioningCommand({ Bucket: bucket })), options),
    );
    return output.Status === "Enabled" || output.Status === "Suspended";
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

async function hasObjectLock(requests: Requests, bucket: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { output } = await requests.once({ signal }, (client, watched, options) =>
      client.send(watched(new GetObjectLockConfigurationCommand({ Bucket: bucket })), options),
    );
    return output.ObjectLockConfiguration?.ObjectLockEnabled === "Enabled";
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
