/** docs/reference/drivers.md: the options of every driver of this package, and of the host that they share. */
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { drivers } from "../../cli/drivers.ts";
import { formatBytes, formatMs } from "../../cli/terminal.ts";
import type { OptionSpec, OptionSpecs } from "../../server/contract.ts";
import { environmentOf, flagOf } from "../../server/option-values.ts";
import { hostOptions } from "../../server/options.ts";
import { generated, markdownTable } from "./markdown.ts";

/** One page a driver: what it promises, what it costs, what it needs. Written by hand. */
const pages = fileURLToPath(new URL("../../docs/reference/drivers/", import.meta.url));

export async function driversPage(): Promise<string> {
  const sections: string[] = [];
  for (const load of Object.values(drivers)) {
    const { name, summary, options } = await load();
    const page = existsSync(`${pages}${name}.md`) ? ` [More](drivers/${name}.md).` : "";
    sections.push(`## ${name}\n${sentence(summary)}${page}\n\n${optionTable(options)}\n`);
  }
  return `${generated("drivers/*/index.ts and server/options.ts")}
# Drivers
\`outrigger driver NAME --listen ADDR …\`. Each option is a flag, an \`OUTRIGGER_*\` variable, or a key of the YAML file of
\`--config\` by its camelCase name; flags stand over variables, and those over the file. Unknown flags and keys are errors.

Capabilities, guarantees, costs and permissions, a page each: ${readdirSync(pages)
    .map((file) => file.replace(/\.md$/, ""))
    .sort()
    .map((name) => `[${name}](drivers/${name}.md)`)
    .join(" · ")}.

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

function sentence(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}
