/** What the operator may say of every driver over an object store, in the same words. */
import { invalidField } from "../../proto/keys.ts";
import { limits } from "../../proto/limits.ts";
import type { OptionSpecs, OptionValues } from "../contract.ts";

const MIB = 1024 * 1024;

export const objectOptionSpecs = {
  prefix: {
    kind: "string",
    default: "",
    doc: "Serve only what lies under this path: several stores in one place. What lies under it is the store's alone.",
  },
  uploadMemory: {
    kind: "bytes",
    default: 256 * MIB,
    doc: "What all uploads of this process may hold in memory together; at least 64MiB.",
  },
  uploadTtl: {
    kind: "duration",
    default: 7 * 24 * 60 * 60 * 1000,
    doc: "Uploads that nobody used for so long are taken away; at least 24h.",
  },
} as const satisfies OptionSpecs;

export type ObjectOptions = OptionValues<typeof objectOptionSpecs>;

export interface ObjectSizes {
  /** "" or ends with a slash. */
  readonly prefix: string;
  readonly uploadMemoryBytes: number;
  readonly uploadTtlMs: number;
}

/** @throws INVALID_FIELD with a sentence that names the option */
export function objectSizes({ prefix, uploadMemory, uploadTtl }: ObjectOptions): ObjectSizes {
  if (uploadMemory < 64 * MIB) throw invalidField("uploadMemory", "must be at least 64MiB");
  if (uploadTtl < limits.uploadTtlMs) throw invalidField("uploadTtl", "must be at least 24h");
  return { prefix: prefixOf(prefix), uploadMemoryBytes: uploadMemory, uploadTtlMs: uploadTtl };
}

/** "a/b", "/a/b/" and "a/b/" are one path. @throws INVALID_FIELD */
function prefixOf(text: string): string {
  const path = text.replace(/^\/+|\/+$/g, "");
  if (path === "") return "";
  if (!/^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/.test(path) || path.length > 512) {
    throw invalidField("prefix", "must be a path of [A-Za-z0-9._-] components joined by single slashes");
  }
  return `${path}/`;
}
