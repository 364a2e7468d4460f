/** The redis driver: the meta store in Redis or Valkey. See README.md. */
import { defineDriver } from "../../server/contract.ts";
import { withSdk } from "../../server/sdk.ts";
import { optionSpecs, settingsOf } from "./options.ts";

const load = () => withSdk("redis", ["ioredis"], () => import("./open.ts"));

export const driverModule = defineDriver({
  name: "redis",
  summary: "metadata in Redis or Valkey, for any number of driver processes; blobs lie elsewhere",
  options: optionSpecs,
  async init(options, context) {
    const settings = settingsOf(options);
    await (await load()).initRedis(settings, context);
  },
  async open(options, context) {
    const settings = settingsOf(options);
    return (await load()).openRedisDriver(settings, context);
  },
});
