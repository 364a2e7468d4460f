/** The mirror driver: one blob store kept twice, behind two other drivers. See README.md. */
import { defineDriver } from "../../server/contract.ts";
import { initMirror, openMirror } from "./open.ts";
import { optionSpecs } from "./options.ts";

export const driverModule = defineDriver({
  name: "mirror",
  summary: "blobs kept twice, in a primary and a secondary blob driver",
  options: optionSpecs,
  init: initMirror,
  open: openMirror,
});
