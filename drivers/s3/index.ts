/** The s3 driver: blobs in a bucket of S3, or of what speaks its language. See README.md. */
import { defineDriver } from "../../server/contract.ts";
import { withSdk } from "../../server/sdk.ts";
import { optionSpecs } from "./options.ts";

const load = () => withSdk("s3", ["@aws-sdk/client-s3", "@aws-sdk/s3-request-presigner"], () => import("./open.ts"));

export const driverModule = defineDriver({
  name: "s3",
  summary: "blobs in a bucket of S3, or of a server that speaks its language",
  options: optionSpecs,
  init: async (options, context) => (await load()).initS3(options, context),
  open: async (options, context) => (await load()).openS3Driver(options, context),
});
