import type { OptionSpecs, OptionValues } from "../../server/contract.ts";
import { memberOptions } from "../composed/options.ts";

export const optionSpecs = {
  primary: {
    kind: "string",
    required: true,
    doc: "Address of the blob driver that decides: what it holds is what is there.",
  },
  secondary: { kind: "string", required: true, doc: "Address of the blob driver that holds the copy." },
  secondaryWrites: {
    kind: "string",
    default: "sync",
    choices: ["sync", "behind"],
    doc: "sync: a change is acknowledged once both stores have it; behind: once the primary has it, and the secondary follows.",
  },
  diffEvery: {
    kind: "duration",
    default: 24 * 60 * 60 * 1000,
    doc: "Both listings are compared this often, besides at the start, on a member's return, and on SIGUSR2.",
  },
  compare: {
    kind: "string",
    default: "size",
    choices: ["size", "content"],
    doc: "How a diff compares blobs of which no digest is known on both sides: by size, or by reading both.",
  },
  maxPending: {
    kind: "integer",
    default: 200_000,
    doc: "So many keys may wait for the secondary, each held in memory; further changes are refused.",
  },
  ...memberOptions,
} as const satisfies OptionSpecs;

export type MirrorOptions = OptionValues<typeof optionSpecs>;
