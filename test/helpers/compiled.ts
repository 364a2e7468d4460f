/** The command as it is shipped: it starts in half of the time that the sources take, which tells where it starts often. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Scope } from "./processes.ts";
import { command, repository } from "./tools.ts";

/** Compiles into a folder inside the repository, for its node_modules. @returns cli/main.js */
export async function compiledCommand(scope: Scope): Promise<string> {
  const cache = join(repository, ".cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "compiled-"));
  scope.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  await command(process.execPath, [join(repository, "scripts/build.mjs"), "--out", join(folder, "dist")], {
    cwd: repository,
  });
  return join(folder, "dist/cli/main.js");
}
