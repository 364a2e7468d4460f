/** The gcs driver: blobs in a bucket of Google Cloud Storage. See README.md. */
import { defineDriver } from "../../server/contract.ts";
import { withSdk } from "../../server/sdk.ts";
import { optionSpecs } from "./options.ts";

const load = () => withSdk("gcs", ["@google-cloud/storage"], () => import("./open.ts"));

export const driverModule = defineDriver({
  name: "gcs",
  summary: "blobs in a bucket of Google Cloud Storage",
  options: optionSpecs,
  init: async (options, context) => (await load()).initGcs(options, context),
  open: async (options, context) => (await load()).openGcsDriver(options, context),
});
