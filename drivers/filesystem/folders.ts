/** Folders below the root: made durably before something is put into them, taken away once they are empty. */
import { SharedLock } from "./async.ts";
import { type Disk, isErrno } from "./disk.ts";
import { parentOf } from "./layout.ts";

/** What is remembered of folders, before it is forgotten and looked up anew. */
const MAX_REMEMBERED = 100_000;

export class Folders {
  readonly #disk: Disk;
  readonly #lock = new SharedLock();
  /** Folders whose name survives a power loss. One found by this process may be another's that was never synced. */
  readonly #durable = new Set<string>();
  readonly #making = new Map<string, Promise<void>>();
  /** Folders reached without a symbolic link. */
  readonly #plain = new Set<string>();

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** While `work` runs, no folder is taken away. */
  building<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#lock.shared(work);
  }

  /** Makes the folder and what it lies in, where absent, durably. Only within `building`. */
  async ensure(folder: string): Promise<void> {
    if (folder === "" || this.#durable.has(folder)) return;
    let making = this.#making.get(folder);
    if (making === undefined) {
      making = this.#make(folder).finally(() => this.#making.delete(folder));
      this.#making.set(folder, making);
    }
    await making;
  }

  async #make(folder: string): Promise<void> {
    const parent = parentOf(folder);
    await this.ensure(parent);
    try {
      await this.#disk.makeFolder(folder);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      const facts = await this.#disk.facts(folder);
      if (facts?.kind !== "folder") throw notAFolder(folder, facts?.kind === "symlink" ? "ELOOP" : "ENOTDIR");
    }
    await this.#disk.syncFolder(parent);
    this.#remember(this.#durable, folder);
    this.#remember(this.#plain, folder);
  }

  /** Takes the folder away if it is empty, and then those above it, up to but without `base`; durably, with what was taken out of it. */
  async clearAway(folder: string, base: string): Promise<void> {
    let left = await this.#lock.exclusive(() => this.removeEmptied(folder, base));
    for (;;) {
      try {
        await this.#disk.syncFolder(left);
        return;
      } catch (error) {
        // Taken away meanwhile by another one.
        if (!isErrno(error, "ENOENT") || left === "") throw error;
        left = parentOf(left);
      }
    }
  }

  /**
   * Like `clearAway`, for a caller that is alone in this part of the tree and syncs later. Answers the first folder that
   * stays: its entries are what changed.
   */
  async removeEmptied(folder: string, base: string): Promise<string> {
    let at = folder;
    while (at.length > base.length) {
      try {
        await this.#disk.removeFolder(at);
      } catch (error) {
        if (isErrno(error, "ENOTEMPTY", "EEXIST")) return at;
        if (!isErrno(error, "ENOENT")) throw error;
      }
      this.#durable.delete(at);
      this.#plain.delete(at);
      at = parentOf(at);
    }
    return at;
  }

  /** Whether the folder exists. @throws ELOOP when a symbolic link lies on the way */
  async isPlain(folder: string): Promise<boolean> {
    if (folder === "" || this.#plain.has(folder)) return true;
    if (!(await this.isPlain(parentOf(folder)))) return false;
    const facts = await this.#disk.facts(folder);
    if (facts === undefined) return false;
    if (facts.kind === "symlink") throw notAFolder(folder, "ELOOP");
    if (facts.kind !== "folder") return false;
    this.#remember(this.#plain, folder);
    return true;
  }

  #remember(set: Set<string>, folder: string): void {
    if (set.size >= MAX_REMEMBERED) set.clear();
    set.add(folder);
  }
}

function notAFolder(folder: string, code: string): Error {
  return Object.assign(new Error(`${folder} is not a folder`), { code });
}
