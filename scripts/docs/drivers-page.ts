/** docs/reference/drivers.md: the options of every driver of this package, and of the host that they share. */
import { drivers } from "../../cli/drivers.ts";
import { formatBytes, formatMs } from "../../cli/terminal.ts";
import type { OptionSpec, OptionSpecs } from "../../server/contract.ts";
import { environmentOf, flagOf } from "../../server/option-values.ts";
import { hostOptions } from "../../server/options.ts";
import { generated, markdownTable } from "./markdown.ts";

export async function driversPage(): Promise<string> {
  const sections: string[] = [];
  for (const load of Object.values(drivers)) {
    const { name, summary, options } = await load();
    sections.push(`## ${name}\n${summary}\n\n${optionTable(options)}\n`);
  }
  return `${generated("drivers/*/index.ts and server/options.ts")}
# Drivers
\`outrigger driver NAME --listen ADDR …\`. Each option is a flag, an \`OUTRIGGER_*\` variable, or a key of the YAML file of
\`--config\` by its camelCase name; flags stand over variables, and those over the file. Unknown flags and keys are errors.

## Of every driver
${optionTable(hostOptions)}

${sections.join("\n")}`;
}

function optionTable(specs: OptionSpecs): string {
  return markdownTable(
    ["flag", "variable", "value", "default", "meaning"],
    Object.entries(specs).map(([name, spec]) => [
      `\`${flagOf(name)}\``,
      `\`${environmentOf(name)}\``,
      spec.choices === undefined ? spec.kind : spec.choices.join(", "),
      spec.required ? "(needed)" : shownDefault(spec),
      spec.doc,
    ]),
  );
}

function shownDefault({ kind, default: value }: OptionSpec): string {
  if (value === undefined) return "";
  if (kind === "bytes") return formatBytes(Number(value));
  return kind === "duration" ? formatMs(Number(value)) : String(value);
}
