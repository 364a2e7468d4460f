/** What has to be right about a root before anything is served from it, each with a sentence that says what to change. */
import { OutriggerError } from "../../proto/errors.ts";
import { type Disk, type DiskFile, type DiskLock, DiskLocked, isErrno } from "./disk.ts";
import type { Folders } from "./folders.ts";
import { BLOBS, IDS, LOCK, LOG, OWN, ownFolders, parentOf, REPOSITORIES, TEMPORARY } from "./layout.ts";

export interface StoreIds {
  readonly blob: string;
  readonly meta: string;
}

/** Kept by distribution below its root: a root that has it holds data. */
const DISTRIBUTION = parentOf(BLOBS);

/** @throws NOT_INITIALISED; STORED_CORRUPT where a symbolic link lies in place of a folder */
export async function assertServable(disk: Disk, folders: Folders, root: string): Promise<void> {
  await assertPlain(folders, root);
  if ((await disk.facts(IDS))?.kind === "file") return;
  if ((await disk.facts(DISTRIBUTION))?.kind === "folder") return;
  if ((await disk.facts(LOG))?.kind === "folder" && (await disk.entries(LOG)).length > 0) return;
  // Its own folder may be there without anything in it: an --init that did not come to its end.
  const entries = await disk.entries("");
  const foreign = entries.find(({ name, kind }) => kind !== "other" && name !== OWN && name !== "lost+found");
  throw new OutriggerError(
    "NOT_INITIALISED",
    foreign === undefined
      ? `${root} is empty: if it is the right folder (and mounted), run the driver once with --init`
      : `${root} holds other things (${JSON.stringify(foreign.name)}) and no registry: name the right folder, or run the driver once with --init to begin a registry beside them`,
  );
}

async function assertPlain(folders: Folders, root: string): Promise<void> {
  for (const folder of [...ownFolders, BLOBS, REPOSITORIES]) {
    try {
      await folders.isPlain(folder);
    } catch (error) {
      if (!isErrno(error, "ELOOP")) throw error;
      throw new OutriggerError(
        "STORED_CORRUPT",
        `${root}/${folder} is, or lies behind, a symbolic link: links below the root are not followed; mount the other folder there instead`,
        { cause: error },
      );
    }
  }
}

/** @throws BACKEND_DOWN while another process has the root */
export async function lockRoot(
  disk: Disk,
  folders: Folders,
  root: string,
  waitMs: number,
  signal?: AbortSignal,
): Promise<DiskLock> {
  await folders.building(async () => {
    for (const folder of ownFolders) await folders.ensure(folder);
  });
  try {
    return await disk.lock(LOCK, waitMs, signal);
  } catch (error) {
    if (!(error instanceof DiskLocked)) throw error;
    throw new OutriggerError(
      "BACKEND_DOWN",
      `${root} is in use by another driver (${error.message}): stop that one first, or wait for it with --lock-wait`,
      { cause: error },
    );
  }
}

/** A folder that takes "a" and "A" for one name would mix tags. @throws BACKEND_DOWN */
export async function assertCaseMatters(disk: Disk, root: string): Promise<void> {
  const probe = `${TEMPORARY}/case-probe`;
  const file = await openFresh(disk, probe);
  await file.close();
  const folded = await disk.facts(`${TEMPORARY}/CASE-PROBE`);
  await disk.remove(probe);
  if (folded !== undefined) {
    throw new OutriggerError(
      "BACKEND_DOWN",
      `${root} takes "a" and "A" for one name, which would mix tags: use a file system that tells them apart`,
    );
  }
}

/** Reads the store ids, or gives a root its own. @throws STORED_CORRUPT */
export async function storeIds(disk: Disk, root: string, randomUuid: () => string): Promise<StoreIds> {
  const known = await readIds(disk, root);
  if (known !== undefined) return known;
  const ids: StoreIds = { blob: randomUuid(), meta: randomUuid() };
  const temporary = `${TEMPORARY}/ids`;
  const file = await openFresh(disk, temporary);
  try {
    await file.write([Buffer.from(`${JSON.stringify(ids)}\n`)], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, IDS);
  await disk.syncFolder(parentOf(IDS));
  return ids;
}

async function readIds(disk: Disk, root: string): Promise<StoreIds | undefined> {
  let file: DiskFile;
  try {
    file = await disk.open(IDS, "read");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  try {
    const bytes = Buffer.alloc((await file.facts()).sizeBytes);
    await file.read(bytes, 0);
    const ids: unknown = JSON.parse(bytes.toString("utf8"));
    if (typeof ids === "object" && ids !== null && "blob" in ids && "meta" in ids) {
      const { blob, meta } = ids;
      if (isUuid(blob) && isUuid(meta)) return { blob, meta };
    }
    throw new SyntaxError("no two UUIDs in it");
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new OutriggerError("STORED_CORRUPT", `${root}/${IDS} cannot be read: restore it from a copy`, {
      cause: error,
    });
  } finally {
    await file.close();
  }
}

function isUuid(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value);
}

/** A new file, also where a process that was killed left one. */
async function openFresh(disk: Disk, path: string): Promise<DiskFile> {
  try {
    return await disk.open(path, "create");
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    await disk.remove(path);
    return disk.open(path, "create");
  }
}
