/** `outrigger` as it would be installed: this repository's. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { repository } from "../helpers/tools.ts";

/**
 * Makes the command.
 * @param compiled cli/main.js; default: the sources
 * @returns the folder it lies in, for PATH
 */
export function installed(home: string, compiled?: string): string {
  const bin = join(home, "bin");
  mkdirSync(bin);
  const sources = `--import '${fileURLToPath(import.meta.resolve("tsx"))}' '${join(repository, "cli/main.ts")}'`;
  const file = join(bin, "outrigger");
  writeFileSync(
    file,
    `#!/bin/sh\nexec '${process.execPath}' ${compiled === undefined ? sources : `'${compiled}'`} "$@"\n`,
  );
  chmodSync(file, 0o755);
  return bin;
}
