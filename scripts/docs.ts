/**
 * Writes the pages of docs/reference/ whose source is code, and the README's table of drivers; with `--check` it writes nothing and fails when a page
 * differs from what it would write.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { capabilitiesPage } from "./docs/capabilities-page.ts";
import { cliPage } from "./docs/cli-page.ts";
import { conformancePage } from "./docs/conformance-page.ts";
import { withDriverTable } from "./docs/driver-table.ts";
import { driversPage } from "./docs/drivers-page.ts";
import { errorsPage } from "./docs/errors-page.ts";
import { limitsPage } from "./docs/limits-page.ts";
import { protocolPage } from "./docs/protocol-page.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const check = process.argv.includes("--check");

const pages: Readonly<Record<string, () => string | Promise<string>>> = {
  "docs/reference/errors.md": errorsPage,
  "docs/reference/protocol.md": protocolPage,
  "docs/reference/limits.md": limitsPage,
  "docs/reference/capabilities.md": capabilitiesPage,
  "docs/reference/cli.md": cliPage,
  "docs/reference/drivers.md": driversPage,
  "docs/reference/conformance.md": conformancePage,
  "README.md": () => withDriverTable(read(join(root, "README.md")) ?? ""),
};

for (const [name, page] of Object.entries(pages)) {
  const path = join(root, name);
  const text = await page();
  if (!check) writeFileSync(path, text);
  else if (read(path) !== text) {
    process.stderr.write(`${name} differs from its source: run npm run docs and commit the result\n`);
    process.exitCode = 1;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
