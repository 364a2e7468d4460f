/** `outrigger config check FILE` and `outrigger config print`. */
import type { Command } from "commander";
import { stringify } from "yaml";
import { type Config, loadConfig } from "../../registry/config.ts";
import { checkFiles } from "../../registry/materials.ts";
import { connectOptions, sectionsOf } from "../../registry/targets.ts";
import { addConfigOptions, type ConfigOptions, configSources } from "../config-options.ts";
import { Failure } from "../failure.ts";
import { print } from "../terminal.ts";

export function define(command: Command): void {
  command
    .command("check")
    .description("Check a configuration and the files it names, then connect to its drivers as the registry would.")
    .argument("<file>", "the YAML file")
    .option("--no-connect", "look at this file only")
    .action(check);
  addConfigOptions(
    command
      .command("print")
      .description(
        "Print the configuration that file, environment and flags add up to, defaults filled in, secrets left out.",
      ),
  ).action(async (options: ConfigOptions) => {
    const config = await loadConfig(configSources(options));
    print(stringify(redact(config)).trimEnd());
  });
}

async function check(file: string, { connect }: { readonly connect: boolean }): Promise<void> {
  const config = await loadConfig({ file, env: process.env });
  print(`${file} is well formed`);
  if (!connect) return;
  await checkFiles(config);
  await checkStores(config);
}

/** Loaded only here: looking at a file needs no gRPC. */
async function checkStores(config: Config): Promise<void> {
  const { checkPairOnly } = await import("../pair.ts");
  const owners = new Map<string, string>();
  for (const section of sectionsOf(config)) {
    const { blob, meta, beside } = await checkPairOnly(connectOptions(config, undefined, section));
    const stores = { blob, meta, ...(beside === undefined ? {} : { "new blob": beside }) };
    for (const [kind, facts] of Object.entries(stores)) {
      const owner = owners.get(facts.id);
      if (owner !== undefined && owner !== section.path) {
        throw new Failure(
          `${section.path} and ${owner} lead to the same store, ${facts.id}: give each a store of its own`,
        );
      }
      owners.set(facts.id, section.path);
      const of = section.prefix === "" ? "" : ` of ${section.prefix}/`;
      print(`${kind} store${of} ${facts.id}: ${facts.driver} ${facts.driverVersion} at ${facts.address}`);
    }
  }
}

const SECRET = /secret|password|token|credential/i;

/** Values of keys that sound secret; the path of a file that holds a secret is none. */
function redact(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => redact(item, key));
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, redact(inner, name)]));
  return SECRET.test(key) && !/file$/i.test(key) && typeof value === "string" ? "(left out)" : value;
}
