/** The shard driver: one blob store spread over several other drivers. See README.md. */
import { defineDriver } from "../../server/contract.ts";
import { initShards, openShards } from "./open.ts";
import { optionSpecs } from "./options.ts";

export const driverModule = defineDriver({
  name: "shard",
  summary: "blobs spread over several blob drivers, each key on the one its hash names",
  options: optionSpecs,
  init: initShards,
  open: openShards,
});
