/**
 * A folder of numbered entries that several processes share. Entry n is made by link(2) of a file that is whole and synced
 * already, which fails where n exists: a compare-and-set that needs no lock, so that kill -9 leaves nothing behind, neither
 * half an entry nor a lock.
 */
import { randomUUID } from "node:crypto";
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface JournalOptions<Change> {
  readonly folder: string;
  /** Called with each change, in order, whoever made it. */
  readonly apply: (change: Change) => void;
  /** What of a change is written to the folder; the rest (in no honest driver) is known to this process only. */
  readonly written?: (change: Change) => Change;
}

/** What `decide` answers: the changes to make, all at one moment, and what the caller is told. */
export interface Decision<Change, Result> {
  readonly changes: readonly Change[];
  readonly result: Result;
}

export class Journal<Change> {
  readonly #options: JournalOptions<Change>;
  #entries = 0;

  constructor(options: JournalOptions<Change>) {
    this.#options = options;
  }

  static create(folder: string): void {
    mkdirSync(folder, { recursive: true });
  }

  /** Applies what was changed since, by any process. */
  catchUp(): void {
    for (let entry = this.#read(this.#entries + 1); entry !== undefined; entry = this.#read(this.#entries + 1)) {
      this.#entries++;
      for (const change of entry) this.#options.apply(change);
    }
  }

  /**
   * Makes changes on the newest state: `decide` is asked anew whenever another process was first.
   * @param decide given the entry's number, which no other entry ever has; what it throws is thrown, and nothing changes
   */
  change<Result>(decide: (entry: number) => Decision<Change, Result>): Result {
    for (;;) {
      this.catchUp();
      const { changes, result } = decide(this.#entries + 1);
      if (changes.length === 0) return result;
      const { written = (change: Change) => change } = this.#options;
      if (!this.#add(this.#entries + 1, changes.map(written))) continue;
      this.#entries++;
      for (const change of changes) this.#options.apply(change);
      return result;
    }
  }

  #path(entry: number): string {
    return join(this.#options.folder, String(entry).padStart(10, "0"));
  }

  #read(entry: number): Change[] | undefined {
    try {
      return JSON.parse(readFileSync(this.#path(entry), "utf8"));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** @returns whether this process was first */
  #add(entry: number, changes: readonly Change[]): boolean {
    const early = join(this.#options.folder, `.${randomUUID()}`);
    writeSynced(early, JSON.stringify(changes));
    try {
      linkSync(early, this.#path(entry));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    } finally {
      unlinkSync(early);
    }
    syncFolder(this.#options.folder);
    return true;
  }
}

function writeSynced(path: string, text: string): void {
  const file = openSync(path, "wx");
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** A name in a folder survives power loss once the folder is synced. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
