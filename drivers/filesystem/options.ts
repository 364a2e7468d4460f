import type { OptionSpecs, OptionValues } from "../../server/contract.ts";

export const optionSpecs = {
  root: {
    kind: "string",
    required: true,
    doc: "The folder that holds everything; a root of distribution or docker-registry is served in place.",
  },
  persistStep: {
    kind: "bytes",
    default: 32 * 1024 * 1024,
    doc: "An upload is synced to the disk at least this often; a core keeps as much to send again.",
  },
  uploadTtl: {
    kind: "duration",
    default: 7 * 24 * 60 * 60 * 1000,
    doc: "Uploads that nobody used for so long are taken away; at least 24h.",
  },
} as const satisfies OptionSpecs;

export type FilesystemOptions = OptionValues<typeof optionSpecs>;
