/** A new folder: there with all its files, or not at all. */
import { chmod, mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Failure } from "../failure.ts";
import type { MadeFile } from "./templates.ts";

/** @throws Failure unless the folder is absent or empty */
export async function assertEmpty(folder: string): Promise<void> {
  try {
    const [first] = await readdir(folder);
    if (first !== undefined) {
      throw new Failure(`${folder} is not empty (it holds ${first}): name a new or empty folder with --dir`);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTDIR") throw new Failure(`${folder} is a file: name a new or empty folder`, { cause: error });
    if (code !== "ENOENT") throw error;
  }
}

/** Written beside its place first where it is new. @throws Failure unless the folder is absent or empty */
export async function writeFolder(folder: string, files: readonly MadeFile[]): Promise<void> {
  await assertEmpty(folder);
  // One that is there may be a mount, or the current one of a shell: it stays the same folder.
  if (await isThere(folder)) return writeAll(folder, files, () => emptied(folder));
  const staged = `${folder}.${process.pid}.new`;
  const undo = () => rm(staged, { recursive: true, force: true });
  await writeAll(staged, files, undo);
  try {
    await rename(staged, folder);
  } catch (error) {
    await undo();
    throw error;
  }
}

async function writeAll(folder: string, files: readonly MadeFile[], undo: () => Promise<void>): Promise<void> {
  try {
    for (const { path, content, executable } of files) {
      const file = join(folder, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, content, { flag: "wx" });
      if (executable) await chmod(file, 0o755);
    }
  } catch (error) {
    await undo();
    throw error;
  }
}

async function emptied(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true, force: true });
}

async function isThere(folder: string): Promise<boolean> {
  try {
    return (await stat(folder)).isDirectory();
  } catch {
    return false;
  }
}
