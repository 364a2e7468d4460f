/** The lmdb driver: the meta store in one LMDB environment, a folder of one process. See README.md. */
import { defineDriver } from "../../server/contract.ts";
import { withSdk } from "../../server/sdk.ts";
import { optionSpecs } from "./options.ts";

const load = () => withSdk("lmdb", ["lmdb"], () => import("./open.ts"));

export const driverModule = defineDriver({
  name: "lmdb",
  summary: "Metadata in one LMDB folder, for one process; no server beside it.",
  options: optionSpecs,
  init: async (options, context) => (await load()).initLmdb(options, context),
  open: async (options, context) => (await load()).openLmdbDriver(options, context),
});
