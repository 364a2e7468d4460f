/**
 * What lies in the table. `p` is the partition key: the store's id, so that a List is one Query and whatever is found under it
 * is this store's; `k` the sort key: the key as it is, in DynamoDB's bytewise order of strings; `v` the value; `e` the etag,
 * 128 random bits. An item without `e` holds a place and is absent to everybody (writes.ts).
 *
 * `p` = "outrigger": that the table is a store's, several times, since transactions that look at one item stand in each
 * other's way.
 */
import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { OutriggerError } from "../../proto/errors.ts";
import type { MetaItem } from "../../server/contract.ts";

export type Attributes = Record<string, AttributeValue>;

export const MARKER_PARTITION = "outrigger";
export const MARKERS = 16;
/** The layout of what lies in the table. */
export const LAYOUT = "1";
/** DynamoDB's bound of a sort key, which is also the protocol's of a key. */
export const MOST_KEY_BYTES = 1024;

export function keyOf(storeId: string, key: string): Attributes {
  return { p: { S: storeId }, k: { S: key } };
}

export function markerKey(number: number): Attributes {
  return keyOf(MARKER_PARTITION, `store/${String(number).padStart(2, "0")}`);
}

export const anyMarker = () => Math.floor(Math.random() * MARKERS);

/** @returns undefined where the item is absent, or only holds a place. @throws STORED_CORRUPT */
export function metaItem(key: string, item: Attributes | undefined): MetaItem | undefined {
  if (item === undefined || item["e"] === undefined) return undefined;
  const value = item["v"]?.B;
  const etag = item["e"].S;
  if (value === undefined || etag === undefined) {
    throw new OutriggerError(
      "STORED_CORRUPT",
      `the item of ${key} has not the attributes that this driver writes (v: binary, e: string): restore it, or write the key anew`,
    );
  }
  return { key, value, etag };
}
