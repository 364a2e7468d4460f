/**
 * The LMDB environment: opened, looked at, and opened anew after a commit that failed.
 *
 * Without lmdb's overlapping sync: there a put resolves once it is committed and visible, and its flush comes after. Here a
 * commit is pages, fdatasync, then the head page through a descriptor that writes through (LMDB's own order), and a
 * transaction resolves behind all of it: nothing is read, and nothing acknowledged, that a power loss could take back.
 */
import { statSync } from "node:fs";
import path from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { OutriggerError } from "../../proto/errors.ts";
import { lmdbError } from "./errors.ts";
import { prepareFile } from "./head.ts";

/** Bytes by bytes: LMDB's own order, which is what the protocol asks for. */
export type Table = Database<Buffer, Buffer>;

export interface Tables {
  readonly root: RootDatabase<Buffer, Buffer>;
  /** About the store itself: format, id, outside, txid. */
  readonly own: Table;
  readonly meta: Table;
}

const DATA = "data.mdb";
const OWN = "outrigger";
const META = "meta";
const binary = { encoding: "binary", keyEncoding: "binary" } as const;

export class Environment {
  readonly folder: string;
  readonly #mapSizeBytes: number;
  #tables: Tables | undefined;
  #inode = 0;
  #broken: OutriggerError | undefined;

  private constructor(folder: string, mapSizeBytes: number) {
    this.folder = folder;
    this.#mapSizeBytes = mapSizeBytes;
  }

  /** @throws STORED_CORRUPT for what is not this driver's, before anything in it is changed */
  static async open(folder: string, mapSizeBytes: number): Promise<Environment> {
    const environment = new Environment(folder, mapSizeBytes);
    await environment.#open();
    return environment;
  }

  /** @throws BACKEND_DOWN while the environment is closed, or its file is another one than was opened */
  tables(): Tables {
    if (this.#tables === undefined) throw this.#broken ?? new OutriggerError("DRAINING", "the driver is about to stop");
    return this.#tables;
  }

  /** The tables as of now: until the turn's end, every read sees this one moment. */
  snapshot(): Tables {
    const tables = this.tables();
    tables.root.resetReadTxn();
    return tables;
  }

  /**
   * One transaction; resolves when it is on the disk. When `work` throws, or answers ABORT, nothing has happened: as a
   * child, because only a child's puts are taken back.
   */
  async transact<Result>(work: (tables: Tables) => Result): Promise<Result> {
    const tables = this.tables();
    try {
      return await tables.root.childTransaction(() => work(tables));
    } catch (error) {
      // lmdb rejects a promise of its own beside this one, and nobody else would await it.
      const heard = () => {};
      void tables.root.committed.then(heard, heard);
      throw error;
    }
  }

  /** What is written to a file that has lost its name is gone with the process. @throws BACKEND_DOWN */
  assertInPlace(): void {
    const inode = statSync(path.join(this.folder, DATA), { throwIfNoEntry: false })?.ino;
    if (inode === this.#inode) return;
    throw new OutriggerError(
      "BACKEND_DOWN",
      `${path.join(this.folder, DATA)} was ${inode === undefined ? "taken away" : "replaced"} while the driver ran: put it back, or start the driver anew`,
    );
  }

  /**
   * After a failed commit LMDB may refuse everything until it is opened anew, and what the file says has to be looked up.
   * @throws BACKEND_DOWN; nothing is served until it succeeds
   */
  async renew(): Promise<void> {
    try {
      await this.close();
      // Else an empty store would be made in its place.
      this.assertInPlace();
      await this.#open();
      this.#broken = undefined;
    } catch (error) {
      this.#broken = await lmdbError(error, this.folder, "opening the store anew");
      throw this.#broken;
    }
  }

  async close(): Promise<void> {
    const tables = this.#tables;
    this.#tables = undefined;
    await tables?.root.close();
  }

  async #open(): Promise<void> {
    const data = path.join(this.folder, DATA);
    await prepareFile(data);
    const root = open<Buffer, Buffer>({
      ...binary,
      path: this.folder,
      // A folder named "a.b" would be taken for a file.
      noSubdir: false,
      overlappingSync: false,
      maxDbs: 4,
      mapSize: this.#mapSizeBytes,
    });
    try {
      assertOwn(root, this.folder);
      const table = (name: string) => root.openDB<Buffer, Buffer>({ ...binary, name });
      this.#tables = { root, own: table(OWN), meta: table(META) };
      this.#inode = statSync(data).ino;
    } catch (error) {
      this.#tables = undefined;
      await root.close();
      throw error;
    }
  }
}

/** Of the newest transaction in the file, whoever made it. */
export function lastTransaction({ root }: Tables): number {
  const { lastTxnId } = root.getStats() as { readonly lastTxnId?: unknown };
  if (typeof lastTxnId !== "number") throw new Error("lmdb does not tell the last transaction");
  return lastTxnId;
}

/** The names in an environment's first table are those of its other tables. @throws STORED_CORRUPT */
function assertOwn(root: RootDatabase<Buffer, Buffer>, folder: string): void {
  for (const key of root.getKeys({ limit: 8 })) {
    const name = Buffer.from(key).toString("latin1").replace(/\0$/, "");
    if (name === OWN || name === META) continue;
    throw new OutriggerError(
      "STORED_CORRUPT",
      `${folder} holds another program's LMDB data (${JSON.stringify(name)}): name a folder of this driver's own`,
    );
  }
}
