/**
 * What lies under a key: version (1 byte), etag (16 random bytes), CRC-32 (4, big-endian) of key, etag and value, then the
 * value. LMDB itself has no checksums: a page that the disk damaged would be served as it is.
 */
import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import { OutriggerError } from "../../proto/errors.ts";

const VERSION = 1;
const ETAG_AT = 1;
const SUM_AT = 17;
const VALUE_AT = 21;

export interface StoredValue {
  readonly value: Uint8Array;
  readonly etag: string;
}

/** With an etag that no key ever had: 128 random bits [meta.etag.01]. */
export function encodeRecord(key: string, value: Uint8Array): { readonly record: Buffer; readonly etag: string } {
  const record = Buffer.alloc(VALUE_AT + value.byteLength);
  const etag = randomBytes(SUM_AT - ETAG_AT);
  record[0] = VERSION;
  record.set(etag, ETAG_AT);
  record.set(value, VALUE_AT);
  record.writeUInt32BE(sumOf(key, record), SUM_AT);
  return { record, etag: etag.toString("hex") };
}

/** @throws STORED_CORRUPT */
export function decodeRecord(key: string, record: Buffer): StoredValue {
  if (record.length < VALUE_AT || record[0] !== VERSION || record.readUInt32BE(SUM_AT) !== sumOf(key, record)) {
    throw new OutriggerError(
      "STORED_CORRUPT",
      `the value of ${key} is damaged on the disk: put back a copy of the folder, or write the key anew`,
    );
  }
  return { value: record.subarray(VALUE_AT), etag: record.toString("hex", ETAG_AT, SUM_AT) };
}

function sumOf(key: string, record: Buffer): number {
  return crc32(record.subarray(VALUE_AT), crc32(record.subarray(ETAG_AT, SUM_AT), crc32(key)));
}
