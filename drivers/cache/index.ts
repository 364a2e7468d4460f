/** The cache driver: a fast blob store before a slow one. See README.md. */
import { defineDriver } from "../../server/contract.ts";
import { initCache, openCache } from "./open.ts";
import { optionSpecs } from "./options.ts";

export const driverModule = defineDriver({
  name: "cache",
  summary: "a fast blob driver before a slow one, bounded in bytes, never stale",
  options: optionSpecs,
  init: initCache,
  open: openCache,
});
