/** `outrigger` as it would be installed: this repository's. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { repository } from "../helpers/tools.ts";

/** Makes the command. @returns the folder it lies in, for PATH */
export function installed(home: string): string {
  const bin = join(home, "bin");
  mkdirSync(bin);
  const loader = fileURLToPath(import.meta.resolve("tsx"));
  const file = join(bin, "outrigger");
  writeFileSync(
    file,
    `#!/bin/sh\nexec '${process.execPath}' --import '${loader}' '${join(repository, "cli/main.ts")}' "$@"\n`,
  );
  chmodSync(file, 0o755);
  return bin;
}
