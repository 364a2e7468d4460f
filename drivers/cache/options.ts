import type { OptionSpecs, OptionValues } from "../../server/contract.ts";
import { memberOptions } from "../composed/options.ts";

export const optionSpecs = {
  slow: {
    kind: "string",
    required: true,
    doc: "Address of the blob driver that holds everything: what it says is what is there.",
  },
  fast: {
    kind: "string",
    required: true,
    doc: "Address of the blob driver that holds copies of what was read; an empty store of its own.",
  },
  max: { kind: "bytes", required: true, doc: "Bytes that the fast store may hold, each blob counted with 4 KiB more." },
  maxBlob: {
    kind: "bytes",
    default: 2 * 1024 * 1024 * 1024,
    doc: "Larger blobs are read from the slow store each time; at most 8 GiB.",
  },
  ...memberOptions,
} as const satisfies OptionSpecs;

export type CacheOptions = OptionValues<typeof optionSpecs>;
