/** `outrigger` as it would be installed: this repository's. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shellCommand } from "../helpers/compiled.ts";

/** Makes the command. @param compiled cli/main.js; default: as the runner has it @returns its folder, for PATH */
export function installed(home: string, compiled?: string): string {
  const bin = join(home, "bin");
  mkdirSync(bin);
  const file = join(bin, "outrigger");
  const words = compiled === undefined ? shellCommand() : `'${process.execPath}' '${compiled}'`;
  writeFileSync(file, `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(file, 0o755);
  return bin;
}
