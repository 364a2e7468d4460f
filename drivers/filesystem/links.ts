/** Links as files: written, taken away, made durable later, and read at start. */
import { mapLimited } from "./async.ts";
import { type Disk, errno, type FileFacts, isErrno } from "./disk.ts";
import type { Folders } from "./folders.ts";
import { join, parentOf, REPOSITORIES, TEMPORARY } from "./layout.ts";
import type { LinkFacts, LinkState } from "./records.ts";

const PARALLEL = 8;
const SYNCS_PARALLEL = 4;
/** Larger ones are no links. */
const MAX_LINK_BYTES = 256 * 1024;

export class LinkFiles {
  readonly #disk: Disk;
  readonly #folders: Folders;
  #files = new Set<string>();
  #changedFolders = new Set<string>();
  #temporary = 0;

  constructor(disk: Disk, folders: Folders) {
    this.#disk = disk;
    this.#folders = folders;
  }

  /** Files changed since the last `settle`. */
  get unsettled(): number {
    return this.#files.size + this.#changedFolders.size;
  }

  /** A file that an earlier process changed and perhaps did not make durable. */
  touch(key: string): void {
    this.#files.add(key);
    for (let at = parentOf(key); ; at = parentOf(at)) {
      this.#changedFolders.add(at);
      if (at === "") return;
    }
  }

  /** Whole or not at all, not yet durable. Answers what the file looks like. */
  async put(key: string, value: Uint8Array): Promise<LinkFacts> {
    const temporary = `${TEMPORARY}/link.${++this.#temporary}`;
    const file = await this.#disk.open(temporary, "create");
    let facts: FileFacts;
    try {
      await file.write([value], 0);
      facts = await file.facts();
    } catch (error) {
      await file.close().catch(() => {});
      await this.#disk.remove(temporary).catch(() => {});
      throw error;
    }
    await file.close();
    try {
      await this.#ensure(parentOf(key));
      await this.#disk.rename(temporary, key);
    } catch (error) {
      await this.#disk.remove(temporary).catch(() => {});
      throw error;
    }
    this.#files.add(key);
    this.#changedFolders.add(parentOf(key));
    return linkFacts(facts);
  }

  /** Not durable before `settle`, which makes the folders of new folders durable too. */
  async #ensure(folder: string): Promise<void> {
    if (await this.#folders.isPlain(folder)) return;
    const parent = parentOf(folder);
    await this.#ensure(parent);
    // Before and after: another link may use the folder at once, and a settle may come between.
    this.#changedFolders.add(parent);
    try {
      await this.#disk.makeFolder(folder);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    this.#changedFolders.add(parent);
  }

  /** Not beside `put`: folders left empty go as well. */
  async remove(key: string): Promise<void> {
    const folder = parentOf(key);
    if (!(await this.#folders.isPlain(folder))) return;
    try {
      await this.#disk.remove(key);
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    }
    this.#files.delete(key);
    this.#changedFolders.add(await this.#folders.removeEmptied(folder, REPOSITORIES));
  }

  /** Makes durable what was put and removed before. On failure all of it stays unsettled. */
  async settle(): Promise<void> {
    const files = this.#files;
    const folders = this.#changedFolders;
    this.#files = new Set();
    this.#changedFolders = new Set();
    try {
      await mapLimited([...files], SYNCS_PARALLEL, async (key) => {
        const file = await this.#disk.open(key, "read").catch(absent);
        if (file === undefined) return;
        try {
          await file.sync();
        } finally {
          await file.close();
        }
      });
      await mapLimited([...folders], SYNCS_PARALLEL, (folder) => this.#disk.syncFolder(folder).catch(absent));
    } catch (error) {
      for (const key of files) this.#files.add(key);
      for (const folder of folders) this.#changedFolders.add(folder);
      throw error;
    }
  }

  /** Every link below the root. `passedBy` is told of what looks like one and is not read. */
  async survey(passedBy: (path: string, why: string) => void): Promise<Map<string, LinkFacts>> {
    const found = new Map<string, LinkFacts>();
    const left = [REPOSITORIES];
    while (left.length > 0) {
      const folders = left.splice(-256);
      const surveys = await mapLimited(folders, PARALLEL, (folder) =>
        this.#disk.survey(folder).catch((error) => absent(error) ?? []),
      );
      for (const [index, entries] of surveys.entries()) {
        const folder = folders[index] ?? "";
        for (const { name, kind, facts } of entries) {
          const path = join(folder, name);
          if (kind === "folder") left.push(path);
          else if (kind === "symlink") passedBy(path, "a symbolic link is not followed");
          else if (name === "link" && facts !== undefined) {
            if (facts.sizeBytes > MAX_LINK_BYTES) passedBy(path, "it is too large for a link");
            else found.set(path, linkFacts(facts));
          }
        }
      }
    }
    return found;
  }

  /** A link's text; undefined: gone. */
  async read(key: string): Promise<Buffer | undefined> {
    const file = await this.#disk.open(key, "read").catch(absent);
    if (file === undefined) return undefined;
    try {
      const value = Buffer.alloc((await file.facts()).sizeBytes);
      return value.subarray(0, await file.read(value, 0));
    } finally {
      await file.close();
    }
  }

  /** How the file looks now. */
  async state(key: string): Promise<LinkState> {
    const facts = await this.#disk.facts(key);
    return facts?.kind === "file" ? linkFacts(facts) : "absent";
  }
}

export function sameState(a: LinkState | undefined, b: LinkState | undefined): boolean {
  if (a === undefined || b === undefined || a === "absent" || b === "absent") return a === b;
  return a.mtimeNs === b.mtimeNs && a.sizeBytes === b.sizeBytes && a.inode === b.inode;
}

function linkFacts({ mtimeNs, sizeBytes, inode }: FileFacts): LinkFacts {
  return { mtimeNs, sizeBytes, inode };
}

function absent(error: unknown): undefined {
  if (["ENOENT", "ENOTDIR"].includes(errno(error))) return undefined;
  throw error;
}
