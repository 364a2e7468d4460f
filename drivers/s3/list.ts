/** Listings, in the bytewise order that S3 promises. */
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import type { Page, PageRequest } from "../../server/contract.ts";
import type { ObjectFacts } from "../../server/objects/contract.ts";
import { factsOf } from "./facts.ts";
import type { Requests } from "./requests.ts";

export async function listPage(
  requests: Requests,
  bucket: string,
  { prefix, startAfter, limit }: PageRequest,
  signal: AbortSignal,
): Promise<Page<ObjectFacts>> {
  const { output } = await requests.harmless({ signal }, (client, watched, options) =>
    client.send(
      watched(
        new ListObjectsV2Command({
          Bucket: bucket,
          MaxKeys: limit,
          ...(prefix === "" ? {} : { Prefix: prefix }),
          ...(startAfter === "" ? {} : { StartAfter: startAfter }),
          // Names of others may hold what XML cannot.
          EncodingType: "url",
        }),
      ),
      options,
    ),
  );
  const items = (output.Contents ?? []).map((one) => factsOf(decoded(one.Key ?? ""), one.Size ?? 0, one));
  return { items, more: output.IsTruncated === true };
}

export function decoded(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    return name;
  }
}
