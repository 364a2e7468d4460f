/** The dynamodb driver: the meta store in one DynamoDB table, for any number of processes. See README.md. */
import { defineDriver } from "../../server/contract.ts";
import { withSdk } from "../../server/sdk.ts";
import { optionSpecs } from "./options.ts";

const load = () => withSdk("dynamodb", ["@aws-sdk/client-dynamodb"], () => import("./open.ts"));

export const driverModule = defineDriver({
  name: "dynamodb",
  summary: "Metadata in a table of Amazon DynamoDB, for any number of processes.",
  options: optionSpecs,
  init: async (options, context) => (await load()).initDynamodb(options, context),
  open: async (options, context) => (await load()).openDynamodbDriver(options, context),
});
