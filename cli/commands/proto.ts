/** `outrigger proto export DIR`: the .proto files, for whoever writes a driver. */
import { copyFile, mkdir, readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { protoFolder } from "../../proto/load.ts";
import { protoFiles, scannerProtoFile } from "../../proto/options.ts";
import { Failure } from "../failure.ts";
import { print } from "../terminal.ts";

export function define(command: Command): void {
  command
    .command("export")
    .description("Copy the contract's .proto files into a folder that is new, empty, or holds an earlier export.")
    .argument("<dir>", "folder to write to")
    .action(exportTo);
}

async function exportTo(dir: string): Promise<void> {
  const folder = resolve(dir);
  const names = [...protoFiles, scannerProtoFile];
  const ours = new Set<string>(names);
  const other = (await filesBelow(folder)).find((name) => !ours.has(name));
  if (other !== undefined) throw new Failure(`${folder} holds other files (${other}): name a new or empty folder`);
  for (const name of names) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await copyFile(join(protoFolder, name), join(folder, name));
  }
  print(`${names.length} files in ${folder}`);
}

/** Names of all files below a folder, relative to it; none where it does not exist. */
async function filesBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    if (code === "ENOTDIR") throw new Failure(`${folder} is a file: name a folder`, { cause: error });
    throw error;
  }
}
