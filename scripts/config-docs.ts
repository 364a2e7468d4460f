/**
 * Writes docs/reference/config.md and docs/reference/config.schema.json from the registry's configuration schema; with
 * `--check` it writes nothing and fails when one of them differs from what it would write.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { configJsonSchema, configKeys, type Key } from "../registry/config/keys.ts";
import { markdownTable } from "./docs/markdown.ts";

const reference = fileURLToPath(new URL("../docs/reference/", import.meta.url));

const pages: Readonly<Record<string, string>> = {
  "config.md": configPage(),
  "config.schema.json": `${JSON.stringify({ title: "Outrigger registry", ...configJsonSchema() }, undefined, 2)}\n`,
};

for (const [name, text] of Object.entries(pages)) {
  const path = `${reference}${name}`;
  if (!process.argv.includes("--check")) writeFileSync(path, text);
  else if (read(path) !== text) {
    process.stderr.write(
      `docs/reference/${name} differs from its source: run node --import tsx scripts/config-docs.ts\n`,
    );
    process.exitCode = 1;
  }
}

function configPage(): string {
  const keys = configKeys();
  return `<!-- Written by scripts/config-docs.ts from registry/config/schema.ts; change that and run it again. -->
# Configuration of the registry
One YAML file (\`outrigger registry --config FILE\`). Environment variables stand over it, flags over both. A key that is
not in this table is an error. \`outrigger config check FILE\` looks at a file and connects to its drivers;
\`config.schema.json\` beside this page is the same for editors. SIGHUP reads the file again: \`stores\`, \`auth\`,
\`readOnly\`, \`redirect\`, \`log\`, \`cluster\` and certificates change while requests go on, the others need a restart.

\`\`\`yaml
http:
  listen: :5000
auth:
  htpasswd: { file: /etc/outrigger/htpasswd }
  anonymous: pull
stores:
  blobs: { address: "unix:///run/outrigger/driver.sock" }
\`\`\`

${markdownTable(["key", "value", "default", "meaning"], keys.map(row))}

## Environment
\`OUTRIGGER_\` and the key's path in upper case, its parts and words joined by \`_\`; lists are joined by commas.

${markdownTable(
  ["variable", "key"],
  keys.flatMap(({ variable, path }) => (variable === undefined ? [] : [[`\`${variable}\``, `\`${path.join(".")}\``]])),
)}
`;
}

function row({ path, schema, required }: Key): string[] {
  const value = schema.enum ? schema.enum.join(", ") : typeName(schema.type);
  const range = schema.minimum === undefined ? "" : `, ${schema.minimum} to ${schema.maximum}`;
  const fallback =
    schema.default === undefined ? (required ? "(needed)" : "") : `\`${JSON.stringify(schema.default)}\``;
  return [`\`${path.join(".")}\``, `${value}${range}`, fallback, schema.description ?? ""];
}

function typeName(type: string | undefined): string {
  return type === "array" ? "list of texts" : type === "object" ? "section" : (type ?? "");
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
