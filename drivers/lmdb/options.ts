import type { OptionSpecs, OptionValues } from "../../server/contract.ts";

export const optionSpecs = {
  folder: {
    kind: "string",
    required: true,
    doc: "The folder that is the store: data.mdb, lock.mdb and this driver's lock, nothing else.",
  },
  mapSize: {
    kind: "bytes",
    default: 1024 * 1024 * 1024,
    doc: "Address space taken at the start; a store that outgrows it gets more by itself, with a short pause each time.",
  },
} as const satisfies OptionSpecs;

export type LmdbOptions = OptionValues<typeof optionSpecs>;
