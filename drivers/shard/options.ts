import type { OptionSpecs, OptionValues } from "../../server/contract.ts";
import { memberOptions } from "../composed/options.ts";

export const optionSpecs = {
  shards: {
    kind: "string",
    required: true,
    doc: "The blob drivers, as a=ADDR,b=ADDR: keys go by the names, which stay; an address may change.",
  },
  ...memberOptions,
} as const satisfies OptionSpecs;

export type ShardOptions = OptionValues<typeof optionSpecs>;

const NAME = /^[a-z0-9][a-z0-9-]{0,31}$/;

/** @throws Error with one sentence */
export function readShards(text: string): { readonly name: string; readonly address: string }[] {
  const shards = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => {
      const at = part.indexOf("=");
      const [name, address] = [part.slice(0, Math.max(0, at)), part.slice(at + 1)];
      if (at < 1 || address === "" || !NAME.test(name))
        throw new Error(
          `--shards: ${JSON.stringify(part)} is not NAME=ADDR, with a name of [a-z0-9-] that begins with a letter or digit`,
        );
      return { name, address };
    });
  const twice = shards.find(({ name }, index) => shards.findIndex((other) => other.name === name) !== index);
  if (twice !== undefined) throw new Error(`--shards: the name ${twice.name} is given twice`);
  if (shards.length < 2) throw new Error("--shards: give at least two, as a=ADDR,b=ADDR");
  return shards.sort((one, other) => (one.name < other.name ? -1 : 1));
}
