import type { OptionSpecs, OptionValues } from "../../server/contract.ts";
import { objectOptionSpecs } from "../../server/objects/options.ts";

export const optionSpecs = {
  bucket: { kind: "string", required: true, doc: "The bucket; it must be there." },
  region: {
    kind: "string",
    doc: "The bucket's region; default AWS_REGION or the profile's, and us-east-1 where an endpoint is given.",
  },
  endpoint: { kind: "string", doc: "Where a server other than AWS answers: https://s3.example.com." },
  pathStyle: {
    kind: "boolean",
    doc: "https://host/bucket/key instead of https://bucket.host/key; default: where an endpoint is given.",
  },
  checksums: {
    kind: "string",
    choices: ["auto", "always", "required"],
    default: "auto",
    doc: "Whether requests carry the newer checksums (CRC32): always, only where S3 requires one, or auto: always at AWS, required elsewhere.",
  },
  alone: {
    kind: "boolean",
    default: false,
    doc: "For a server that does not compare and set: this is the only process that writes to the bucket, and you see to that.",
  },
  partSize: {
    kind: "bytes",
    doc: "Parts are at least so large; default 8MiB, and 16MiB where a blob's size is not told.",
  },
  accessKeyIdFile: { kind: "string", doc: "A file that holds the access key id; default: the SDK's usual places." },
  secretAccessKeyFile: { kind: "string", doc: "A file that holds the secret access key." },
  sessionTokenFile: {
    kind: "string",
    doc: "A file that holds the session token that goes with them, if there is one.",
  },
  signUrl: { kind: "boolean", default: true, doc: "Offer URLs at which clients read from the bucket (SIGN_URL)." },
  signEndpoint: { kind: "string", doc: "The endpoint as clients reach it, for those URLs; default: --endpoint." },
  requestTimeout: {
    kind: "duration",
    default: 15_000,
    doc: "How long the server may owe an answer, or the next bytes of one; at least 1s.",
  },
  ...objectOptionSpecs,
} as const satisfies OptionSpecs;

export type S3Options = OptionValues<typeof optionSpecs>;
