/** Folders below the root: made durably before something is put into them, taken away once they are empty. */
import { SharedLock } from "./async.ts";
import { type Disk, isErrno } from "./disk.ts";
import { parentOf } from "./layout.ts";

/** What is remembered of folders, before it is forgotten and looked up anew. */
const MAX_REMEMBERED = 100_000;

interface Making {
  /** Resolves once the name is there, with those above that are not durable yet. */
  readonly named: Promise<Making[]>;
  readonly durable: Promise<void>;
}

export class Folders {
  readonly #disk: Disk;
  readonly #lock = new SharedLock();
  /** Folders whose name survives a power loss. One found by this process may be another's that was never synced. */
  readonly #durable = new Set<string>();
  readonly #making = new Map<string, Making>();
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
    // All names first, then all syncs at once: what counts is that every one is durable in the end.
    const made = await this.#named(folder);
    const outcomes = await Promise.allSettled(made.map(({ durable }) => durable));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  /** The folder is there, by its name; answers what is still under way until it, and those above, are durable. */
  async #named(folder: string): Promise<Making[]> {
    if (folder === "" || this.#durable.has(folder)) return [];
    let making = this.#making.get(folder);
    if (making === undefined) {
      const named = this.#make(folder);
      const durable = named.then((above) => this.#sync(folder, above));
      making = { named, durable };
      this.#making.set(folder, making);
      const forget = () => this.#making.delete(folder);
      durable.then(forget, forget);
    }
    const above = await making.named;
    return [...above, making];
  }

  /** Answers those above that are not durable yet. */
  async #make(folder: string): Promise<Making[]> {
    const above = await this.#named(parentOf(folder));
    try {
      await this.#disk.makeFolder(folder);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      const facts = await this.#disk.facts(folder);
      if (facts?.kind !== "folder") throw notAFolder(folder, facts?.kind === "symlink" ? "ELOOP" : "ENOTDIR");
    }
    return above;
  }

  /** Remembered as durable only with all above it. */
  async #sync(folder: string, above: readonly Making[]): Promise<void> {
    const outcomes = await Promise.allSettled([
      this.#disk.syncFolder(parentOf(folder)),
      ...above.map(({ durable }) => durable),
    ]);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
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
