import type { OptionSpecs, OptionValues } from "../../server/contract.ts";
import { objectOptionSpecs } from "../../server/objects/options.ts";

export const optionSpecs = {
  bucket: {
    kind: "string",
    required: true,
    doc: "The bucket that holds the blobs. It must be there, without a retention policy.",
  },
  ...objectOptionSpecs,
  apiEndpoint: {
    kind: "string",
    default: "https://storage.googleapis.com",
    doc: "Where Cloud Storage answers: a private or regional endpoint, or an emulator.",
  },
  keyFile: {
    kind: "string",
    doc: "A service account's key in JSON; without it Application Default Credentials are used.",
  },
  anonymous: {
    kind: "boolean",
    default: false,
    doc: "Send no credentials: for emulators.",
  },
  userProject: {
    kind: "string",
    doc: "The project that is billed for requests, where the bucket has requester pays on.",
  },
} as const satisfies OptionSpecs;

export type GcsOptions = OptionValues<typeof optionSpecs>;
