/**
 * Folders whose names are about to change. A process that is killed between a change and its sync leaves a change that
 * others see and a power loss undoes: the next start syncs these folders before it shows anything. Kept in the page cache
 * only, since after a power loss what is seen is what is durable.
 */
import { type Disk, type DiskFile, isErrno } from "./disk.ts";
import { INTENTS, parentOf } from "./layout.ts";

/** Begins again from the front beyond this, whenever nothing is under way. */
const WRAP_BYTES = 64 * 1024;

export class Intents {
  readonly #file: DiskFile;
  #atBytes = 0;
  #underWay = 0;

  private constructor(file: DiskFile) {
    this.#file = file;
  }

  /** Makes durable what an earlier process left undecided. */
  static async open(disk: Disk): Promise<Intents> {
    let file: DiskFile;
    try {
      file = await disk.open(INTENTS, "write");
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      return new Intents(await disk.open(INTENTS, "create"));
    }
    try {
      const text = Buffer.alloc((await file.facts()).sizeBytes);
      await file.read(text, 0);
      const folders = new Set<string>();
      for (const line of text.toString("latin1").split("\n")) {
        // Also the folders above: it may have been made or taken away itself.
        if (/^[A-Za-z0-9._/-]+$/.test(line)) for (let at = line; at !== ""; at = parentOf(at)) folders.add(at);
      }
      for (const folder of folders) {
        if ((await disk.facts(folder))?.kind === "folder") await disk.syncFolder(folder);
      }
      await file.truncate(0);
    } catch (error) {
      await file.close();
      throw error;
    }
    return new Intents(file);
  }

  /** Notes the folders, then changes them. */
  async during<Result>(folders: readonly string[], change: () => Promise<Result>): Promise<Result> {
    if (this.#underWay === 0 && this.#atBytes > WRAP_BYTES) this.#atBytes = 0;
    this.#underWay++;
    try {
      // It begins with a newline, since it may be written over a part of a longer line.
      const lines = Buffer.from(`\n${folders.join("\n")}\n`, "latin1");
      const at = this.#atBytes;
      this.#atBytes += lines.byteLength;
      await this.#file.write([lines], at);
      return await change();
    } finally {
      this.#underWay--;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
