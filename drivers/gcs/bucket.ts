/** What the bucket's own settings mean to a registry, looked at once when the driver starts. */

import { OutriggerError } from "../../proto/errors.ts";
import type { GcsClient } from "./client.ts";
import { absentBucket } from "./failures.ts";
import { reading } from "./objects.ts";

/** [JSON API, Buckets resource] as far as it is asked for. */
interface Bucket {
  readonly versioning?: { readonly enabled?: boolean };
  readonly retentionPolicy?: { readonly retentionPeriod?: string };
  readonly defaultEventBasedHold?: boolean;
  readonly softDeletePolicy?: { readonly retentionDurationSeconds?: string };
  readonly storageClass?: string;
  readonly lifecycle?: { readonly rule?: readonly { readonly action?: { readonly type?: string } }[] };
}

/** @returns sentences for the operator. @throws BACKEND_DOWN where nothing can work */
export async function noticesOf(client: GcsClient, signal: AbortSignal): Promise<readonly string[]> {
  const answer = await client.json<Bucket>(
    {
      method: "GET",
      path: client.bucketPath,
      query: { fields: "versioning,retentionPolicy,defaultEventBasedHold,softDeletePolicy,storageClass,lifecycle" },
      repeatable: true,
      expect: [403, 404],
    },
    reading(signal),
  );
  const { bucket } = client.place;
  if (!answer.ok) {
    if (answer.problem.status === 404) throw new OutriggerError("BACKEND_DOWN", absentBucket(client.place));
    return [
      `the settings of bucket ${bucket} could not be looked at, for want of storage.buckets.get: that it has neither versioning, a retention policy, holds nor soft delete is for you to see`,
    ];
  }
  const { versioning, retentionPolicy, defaultEventBasedHold, softDeletePolicy, storageClass, lifecycle } = answer.body;
  if (Number(retentionPolicy?.retentionPeriod ?? 0) > 0) {
    throw new OutriggerError(
      "BACKEND_DOWN",
      `bucket ${bucket} has a retention policy: uploads need to replace and delete objects, remove it (gcloud storage buckets update gs://${bucket} --clear-retention-period) or set --bucket to another`,
    );
  }
  if (defaultEventBasedHold === true) {
    throw new OutriggerError(
      "BACKEND_DOWN",
      `bucket ${bucket} holds every new object: uploads need to replace and delete objects, switch it off (gcloud storage buckets update gs://${bucket} --no-default-event-based-hold) or set --bucket to another`,
    );
  }
  const notices: string[] = [];
  if (versioning?.enabled === true) {
    notices.push(
      `bucket ${bucket} has versioning on: deleted blobs and every saved state of an upload stay and are billed (gcloud storage buckets update gs://${bucket} --no-versioning)`,
    );
  }
  const softDeleteSeconds = Number(softDeletePolicy?.retentionDurationSeconds ?? 0);
  if (softDeleteSeconds > 0) {
    notices.push(
      `bucket ${bucket} keeps what is deleted for ${days(softDeleteSeconds)} (soft delete): the parts of every upload are billed for as long again (gcloud storage buckets update gs://${bucket} --clear-soft-delete)`,
    );
  }
  if (storageClass !== undefined && storageClass !== "STANDARD") {
    notices.push(
      `bucket ${bucket} is of class ${storageClass}: the parts of every upload are deleted at once and billed for the class's least time; let its default class be STANDARD, and a lifecycle rule change it`,
    );
  }
  if (lifecycle?.rule?.some(({ action }) => action?.type === "Delete") === true) {
    notices.push(
      `bucket ${bucket} has a lifecycle rule that deletes objects: the registry does not know of what it takes away`,
    );
  }
  return notices;
}

function days(seconds: number): string {
  const whole = seconds / 86_400;
  return Number.isInteger(whole) ? `${whole} days` : `${seconds} s`;
}
