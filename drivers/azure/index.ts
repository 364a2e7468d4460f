/** The azure driver: blobs in a container of Azure Blob Storage. See README.md. */
import { defineDriver } from "../../server/contract.ts";
import { withSdk } from "../../server/sdk.ts";
import { optionSpecs } from "./options.ts";

const load = () => withSdk("azure", ["@azure/storage-blob", "@azure/identity"], () => import("./open.ts"));

export const driverModule = defineDriver({
  name: "azure",
  summary: "blobs in a container of Azure Blob Storage",
  options: optionSpecs,
  init: async (options, context) => (await load()).initAzure(options, context),
  open: async (options, context) => (await load()).openAzureDriver(options, context),
});
