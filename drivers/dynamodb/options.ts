import type { OptionSpecs, OptionValues } from "../../server/contract.ts";

export const optionSpecs = {
  table: {
    kind: "string",
    required: true,
    doc: "The table that is the store; --init makes it where it is absent.",
  },
  region: {
    kind: "string",
    doc: "The table's region; else AWS_REGION, or what the profile says.",
  },
  endpoint: {
    kind: "string",
    doc: "http(s)://host:port of DynamoDB Local or of a VPC endpoint, instead of the region's own.",
  },
  requestTimeout: {
    kind: "duration",
    default: 3_000,
    doc: "How long one request to DynamoDB may take before it is given up and perhaps sent again.",
  },
} as const satisfies OptionSpecs;

export type DynamodbOptions = OptionValues<typeof optionSpecs>;
