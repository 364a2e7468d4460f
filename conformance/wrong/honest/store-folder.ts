/** A store's folder: its id, its journal, and room for files. */
import { randomUUID } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OutriggerError } from "../../../proto/errors.ts";
import { syncFolder } from "./journal.ts";

export type StoreName = "blob" | "meta";

export const journalOf = (folder: string) => join(folder, "journal");
/** Committed bytes, each file under a name of its own, never written again. */
export const filesOf = (folder: string) => join(folder, "files");
/** Bytes of uploads, one file for each stream that wrote some. */
export const partsOf = (folder: string) => join(folder, "parts");
const idOf = (folder: string) => join(folder, "id");

/** [process.init.01] Writes the store's id, unless it is there: of several processes at once one wins. */
export function initStore(root: string, store: StoreName): void {
  const folder = join(root, store);
  for (const inner of [journalOf(folder), filesOf(folder), partsOf(folder)]) mkdirSync(inner, { recursive: true });
  const early = join(folder, `.${randomUUID()}`);
  writeFileSync(early, randomUUID(), { flush: true });
  try {
    linkSync(early, idOf(folder));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    unlinkSync(early);
  }
  syncFolder(folder);
}

/** So that --init writes others, as in no honest driver. */
export function forgetIds(root: string): void {
  for (const store of ["blob", "meta"]) rmSync(idOf(join(root, store)), { force: true });
}

/**
 * The store's id; a folder with data but no id is given one.
 * @throws NOT_INITIALISED where there is neither
 */
export function openStore(root: string, store: StoreName): { folder: string; id: string } {
  const folder = join(root, store);
  if (!existsSync(idOf(folder))) {
    const hasData = existsSync(journalOf(folder)) && readdirSync(journalOf(folder)).length > 0;
    if (!hasData) {
      throw new OutriggerError("NOT_INITIALISED", `there is no ${store} store in ${root}: start once with --init`);
    }
    initStore(root, store);
  }
  return { folder, id: readFileSync(idOf(folder), "utf8") };
}
