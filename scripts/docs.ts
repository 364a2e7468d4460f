/**
 * Writes the pages of docs/reference/ whose source is code; with `--check` it writes nothing and fails when a page
 * differs from what it would write.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { cliPage } from "./docs/cli-page.ts";
import { conformancePage } from "./docs/conformance-page.ts";
import { driversPage } from "./docs/drivers-page.ts";
import { errorsPage } from "./docs/errors-page.ts";
import { limitsPage } from "./docs/limits-page.ts";
import { protocolPage } from "./docs/protocol-page.ts";

const reference = fileURLToPath(new URL("../docs/reference/", import.meta.url));
const check = process.argv.includes("--check");

const pages: Readonly<Record<string, () => string | Promise<string>>> = {
  "errors.md": errorsPage,
  "protocol.md": protocolPage,
  "limits.md": limitsPage,
  "cli.md": cliPage,
  "drivers.md": driversPage,
  "conformance.md": conformancePage,
};

for (const [name, page] of Object.entries(pages)) {
  const path = `${reference}${name}`;
  const text = await page();
  if (!check) writeFileSync(path, text);
  else if (read(path) !== text) {
    process.stderr.write(`docs/reference/${name} differs from its source: run npm run docs and commit the result\n`);
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
