/**
 * A disk in memory that outlives the drivers that use it, deterministic by its seed: it can crash at any operation, by kill
 * (the page cache survives) or power loss (of what was not synced, any part survives), fill up, and fail.
 */
import {
  type Disk,
  type DiskFile,
  type DiskLock,
  DiskLocked,
  type Entry,
  type FileFacts,
  type OpenMode,
  type SurveyedEntry,
} from "../../drivers/filesystem/disk.ts";
import type { Random } from "../simulation/random.ts";

type Change = { readonly at: number; readonly data: Buffer } | { readonly cutTo: number };

interface FileNode {
  readonly kind: "file";
  readonly inode: bigint;
  data: Buffer;
  mtimeNs: bigint;
  synced: Buffer;
  unsynced: Change[];
}

interface FolderNode {
  readonly kind: "folder";
  readonly inode: bigint;
  readonly names: Map<string, Node>;
  synced: Map<string, Node>;
}

interface SymlinkNode {
  readonly kind: "symlink";
  readonly inode: bigint;
}

type Node = FileNode | FolderNode | SymlinkNode;

interface Place {
  readonly folder: FolderNode;
  readonly name: string;
}

/** One change of names; a rename is one change in two folders. */
interface NameChange {
  readonly node: Node;
  readonly from?: Place;
  readonly to?: Place;
}

export type CrashKind = "kill" | "power";

export interface Operation {
  /** "rename", "sync" … */
  readonly name: string;
  readonly path: string;
  /** Counts from 0 since the disk was made. */
  readonly index: number;
}

export class SimDisk {
  /** Operations so far. */
  operations = 0;
  /** Bytes that may still be written. */
  freeBytes = Number.POSITIVE_INFINITY;
  /** Called before each operation; what it throws is the operation's failure, and it may call `crash`. */
  before: (operation: Operation) => void = () => {};
  nowMs = 1_700_000_000_000;
  readonly #random: Random;
  #root: FolderNode;
  #changes: NameChange[] = [];
  #inodes = 1n;
  #boots = 1;
  #life = 0;
  #locked = new Set<string>();

  constructor(random: Random) {
    this.#random = random;
    this.#root = this.#newFolder();
  }

  /** The disk as one process sees it, up to the next crash. */
  mount(): Disk {
    return new Mounted(this, this.#life);
  }

  /** Ends the process that uses the disk; what it still asks for fails with ECRASHED and does nothing. */
  crash(kind: CrashKind): void {
    this.#life++;
    this.#locked = new Set();
    if (kind === "kill") return;
    this.#boots++;
    const inOrder = this.#random.chance(0.5);
    let kept = this.#random.below(this.#changes.length + 1);
    for (const change of this.#changes) {
      if (inOrder ? kept-- > 0 : this.#random.chance(0.5)) rename(change, (folder) => folder.synced);
    }
    this.#changes = [];
    const seen = new Set<Node>();
    const restore = (node: Node) => {
      if (seen.has(node)) return;
      seen.add(node);
      if (node.kind === "file") this.#tear(node);
      if (node.kind !== "folder") return;
      node.names.clear();
      for (const [name, child] of node.synced) {
        node.names.set(name, child);
        restore(child);
      }
    };
    restore(this.#root);
  }

  /** Of each write that was not synced: nothing, all, a part, or its length in zeros. */
  #tear(file: FileNode): void {
    let data = file.synced;
    for (const change of file.unsynced) {
      const dice = this.#random.below(4);
      if (dice === 0) continue;
      if (dice === 1 || "cutTo" in change) data = changed(data, change);
      else if (dice === 2) {
        const part = change.data.subarray(0, this.#random.below(change.data.length + 1));
        data = changed(data, { at: change.at, data: part });
      } else data = changed(data, { at: change.at, data: Buffer.alloc(change.data.length) });
    }
    file.data = data;
    file.synced = data;
    file.unsynced = [];
  }

  /** Files as another program would see and write them, synced at once. */
  readonly outside = {
    write: (path: string, text: string | Uint8Array): void => {
      const { folder, name } = this.place(this.#folder(path));
      const file = this.newFile();
      file.data = Buffer.from(text);
      file.synced = file.data;
      folder.names.set(name, file);
      folder.synced.set(name, file);
    },
    symlink: (path: string): void => {
      const { folder, name } = this.place(this.#folder(path));
      const node: SymlinkNode = { kind: "symlink", inode: this.#inodes++ };
      folder.names.set(name, node);
      folder.synced.set(name, node);
    },
    remove: (path: string): void => {
      const { folder, name } = this.place(path);
      folder.names.delete(name);
      folder.synced.delete(name);
    },
    read: (path: string): Buffer | undefined => {
      const node = this.find(path);
      return node?.kind === "file" ? node.data : undefined;
    },
    /** Every file, by path. */
    files: (): Map<string, Buffer> => {
      const found = new Map<string, Buffer>();
      const visit = (folder: FolderNode, head: string) => {
        for (const [name, node] of folder.names) {
          if (node.kind === "file") found.set(head + name, node.data);
          else if (node.kind === "folder") visit(node, `${head}${name}/`);
        }
      };
      visit(this.#root, "");
      return found;
    },
    /** Folders with nothing in them. */
    emptyFolders: (): string[] => {
      const found: string[] = [];
      const visit = (folder: FolderNode, path: string) => {
        if (folder.names.size === 0) found.push(path);
        for (const [name, node] of folder.names) if (node.kind === "folder") visit(node, `${path}/${name}`);
      };
      visit(this.#root, "");
      return found;
    },
  };

  #folder(path: string): string {
    let folder = this.#root;
    for (const name of path.split("/").slice(0, -1)) {
      let next = folder.names.get(name);
      if (next === undefined) {
        next = this.#newFolder();
        folder.names.set(name, next);
        folder.synced.set(name, next);
      }
      if (next.kind !== "folder") throw fault("ENOTDIR", path);
      folder = next;
    }
    return path;
  }

  // What follows is for the mounted disk.

  async step(name: string, path: string, life: number): Promise<void> {
    for (let turns = this.#random.below(3); turns >= 0; turns--) await Promise.resolve();
    this.assertAlive(life, path);
    this.before({ name, path, index: this.operations++ });
    this.assertAlive(life, path);
    this.nowMs += this.#random.below(3);
  }

  assertAlive(life: number, path: string): void {
    if (life !== this.#life) throw fault("ECRASHED", path);
  }

  find(path: string): Node | undefined {
    let node: Node = this.#root;
    for (const name of path === "" ? [] : path.split("/")) {
      if (node.kind !== "folder") return undefined;
      const next = node.names.get(name);
      if (next === undefined) return undefined;
      node = next;
    }
    return node;
  }

  folder(path: string): FolderNode {
    const node = this.find(path);
    if (node === undefined) throw fault("ENOENT", path);
    if (node.kind !== "folder") throw fault("ENOTDIR", path);
    return node;
  }

  place(path: string): Place {
    const slash = path.lastIndexOf("/");
    return { folder: this.folder(slash < 0 ? "" : path.slice(0, slash)), name: path.slice(slash + 1) };
  }

  newFile(): FileNode {
    const data = Buffer.alloc(0);
    return { kind: "file", inode: this.#inodes++, data, mtimeNs: this.nowNs(), synced: data, unsynced: [] };
  }

  #newFolder(): FolderNode {
    return { kind: "folder", inode: this.#inodes++, names: new Map(), synced: new Map() };
  }

  nowNs(): bigint {
    return BigInt(Math.floor(this.nowMs * 1e6));
  }

  makeFolder(to: Place): void {
    this.change({ node: this.#newFolder(), to });
  }

  change(change: NameChange): void {
    rename(change, (folder) => folder.names);
    this.#changes.push(change);
  }

  syncFolder(folder: FolderNode): void {
    const touched = (change: NameChange) => change.from?.folder === folder || change.to?.folder === folder;
    const last = this.#changes.findLastIndex(touched);
    const nodes = new Set(this.#changes.filter(touched).map(({ node }) => node));
    // Earlier changes of the same files go before: a file is not in two folders at once.
    this.#changes = this.#changes.filter((change, index) => {
      if (index > last || !(touched(change) || nodes.has(change.node))) return true;
      rename(change, (at) => at.synced);
      return false;
    });
  }

  lock(path: string): DiskLock {
    if (this.#locked.has(path)) throw new DiskLocked("a process of the test");
    const locked = this.#locked;
    locked.add(path);
    return {
      release: async () => {
        locked.delete(path);
      },
    };
  }

  get boot(): string {
    return `boot-${this.#boots}`;
  }
}

class Mounted implements Disk {
  readonly #disk: SimDisk;
  readonly #life: number;

  constructor(disk: SimDisk, life: number) {
    this.#disk = disk;
    this.#life = life;
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    await this.#disk.step(`open ${mode}`, path, this.#life);
    this.#disk.assertAlive(this.#life, path);
    const place = this.#disk.place(path);
    let node = place.folder.names.get(place.name);
    if (mode === "create") {
      if (node !== undefined) throw fault("EEXIST", path);
      node = this.#disk.newFile();
      this.#disk.change({ node, to: place });
    }
    if (node === undefined) throw fault("ENOENT", path);
    if (node.kind === "folder") throw fault("EISDIR", path);
    if (node.kind === "symlink") throw fault("ELOOP", path);
    return new OpenFile(this.#disk, this.#life, node, path);
  }

  async facts(path: string): Promise<FileFacts | undefined> {
    await this.#disk.step("facts", path, this.#life);
    this.#disk.assertAlive(this.#life, path);
    const node = this.#disk.find(path);
    return node && factsOf(node);
  }

  async entries(path: string): Promise<readonly Entry[]> {
    await this.#disk.step("entries", path, this.#life);
    this.#disk.assertAlive(this.#life, path);
    return [...this.#disk.folder(path).names].map(([name, { kind }]) => ({ name, kind }));
  }

  async survey(path: string): Promise<readonly SurveyedEntry[]> {
    await this.#disk.step("survey", path, this.#life);
    this.#disk.assertAlive(this.#life, path);
    return [...this.#disk.folder(path).names].map(([name, node]) =>
      node.kind === "file" ? { name, kind: node.kind, facts: factsOf(node) } : { name, kind: node.kind },
    );
  }

  async makeFolder(path: string): Promise<void> {
    await this.#disk.step("makeFolder", path, this.#life);
    this.#disk.assertAlive(this.#life, path);
    const place = this.#disk.place(path);
    if (place.folder.names.has(place.name)) throw fault("EEXIST", path);
    this.#disk.makeFolder(place);
  }

  async removeFolder(path: string): Promise<void> {
    await this.#disk.step("removeFolder", path, this.#life);
    this.#disk.assertAlive(this.#life, path);
    const from = this.#disk.place(path);
    const node = this.#disk.folder(path);
    if (node.names.size > 0) throw fault("ENOTEMPTY", path);
    this.#disk.change({ node, from });
  }

  async remove(path: string): Promise<void> {
    await this.#disk.step("remove", path, this.#life);
    this.#disk.assertAlive(this.#life, path);
    const from = this.#disk.place(path);
    const node = from.folder.names.get(from.name);
    if (node === undefined) throw fault("ENOENT", path);
    if (node.kind === "folder") throw fault("EISDIR", path);
    this.#disk.change({ node, from });
  }

  async rename(fromPath: string, toPath: string): Promise<void> {
    await this.#disk.step("rename", toPath, this.#life);
    this.#disk.assertAlive(this.#life, toPath);
    const from = this.#disk.place(fromPath);
    const to = this.#disk.place(toPath);
    const node = from.folder.names.get(from.name);
    if (node === undefined) throw fault("ENOENT", fromPath);
    if (to.folder.names.get(to.name)?.kind === "folder") throw fault("EISDIR", toPath);
    this.#disk.change({ node, from, to });
  }

  async syncFolder(path: string): Promise<void> {
    await this.#disk.step("syncFolder", path, this.#life);
    this.#disk.assertAlive(this.#life, path);
    this.#disk.syncFolder(this.#disk.folder(path));
  }

  async lock(path: string): Promise<DiskLock> {
    await this.#disk.step("lock", path, this.#life);
    this.#disk.assertAlive(this.#life, path);
    return this.#disk.lock(path);
  }

  async bootId(): Promise<string> {
    await this.#disk.step("bootId", "", this.#life);
    this.#disk.assertAlive(this.#life, "");
    return this.#disk.boot;
  }
}

class OpenFile implements DiskFile {
  readonly #disk: SimDisk;
  readonly #life: number;
  readonly #node: FileNode;
  readonly #path: string;
  #closed = false;

  constructor(disk: SimDisk, life: number, node: FileNode, path: string) {
    this.#disk = disk;
    this.#life = life;
    this.#node = node;
    this.#path = path;
  }

  async #step(name: string): Promise<void> {
    this.#assertUsable();
    await this.#disk.step(name, this.#path, this.#life);
  }

  /** At the moment of the effect: the crash may have come while the operation waited. */
  #assertUsable(): void {
    if (this.#closed) throw fault("EBADF", this.#path);
    this.#disk.assertAlive(this.#life, this.#path);
  }

  async read(into: Uint8Array, positionBytes: number): Promise<number> {
    await this.#step("read");
    this.#assertUsable();
    const part = this.#node.data.subarray(positionBytes, positionBytes + into.byteLength);
    into.set(part);
    return part.byteLength;
  }

  async write(pieces: readonly Uint8Array[], positionBytes: number): Promise<void> {
    await this.#step("write");
    this.#assertUsable();
    const data = Buffer.concat(pieces);
    const end = positionBytes + data.byteLength;
    const grown = Math.max(0, end - this.#node.data.byteLength);
    const missing = Math.max(0, grown - this.#disk.freeBytes);
    // A full disk takes what fits.
    this.#apply({ at: positionBytes, data: data.subarray(0, data.byteLength - missing) });
    if (missing > 0) throw fault("ENOSPC", this.#path);
  }

  #apply(change: Change): void {
    const before = this.#node.data.byteLength;
    this.#node.data = changed(this.#node.data, change);
    this.#disk.freeBytes -= this.#node.data.byteLength - before;
    this.#node.unsynced.push(change);
    this.#node.mtimeNs = this.#disk.nowNs();
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#step("truncate");
    this.#assertUsable();
    this.#apply({ cutTo: sizeBytes });
  }

  async setModified(micros: number): Promise<void> {
    await this.#step("setModified");
    this.#assertUsable();
    this.#node.mtimeNs = BigInt(Math.floor(micros)) * 1000n;
  }

  async sync(): Promise<void> {
    await this.#step("sync");
    this.#assertUsable();
    this.#node.synced = this.#node.data;
    this.#node.unsynced = [];
  }

  syncData(): Promise<void> {
    return this.sync();
  }

  async facts(): Promise<FileFacts> {
    await this.#step("facts of open");
    this.#assertUsable();
    return factsOf(this.#node);
  }

  async close(): Promise<void> {
    if (this.#closed) throw fault("EBADF", this.#path);
    this.#closed = true;
  }
}

function factsOf(node: Node): FileFacts {
  if (node.kind !== "file") return { kind: node.kind, sizeBytes: 0, mtimeNs: 0n, inode: node.inode };
  return { kind: "file", sizeBytes: node.data.byteLength, mtimeNs: node.mtimeNs, inode: node.inode };
}

function rename({ node, from, to }: NameChange, names: (folder: FolderNode) => Map<string, Node>): void {
  if (from !== undefined && names(from.folder).get(from.name) === node) names(from.folder).delete(from.name);
  if (to !== undefined) names(to.folder).set(to.name, node);
}

function changed(data: Buffer, change: Change): Buffer {
  if ("cutTo" in change) {
    return Buffer.concat([data.subarray(0, change.cutTo), Buffer.alloc(Math.max(0, change.cutTo - data.length))]);
  }
  const next = Buffer.alloc(
    Math.max(data.byteLength, change.data.length === 0 ? 0 : change.at + change.data.byteLength),
  );
  data.copy(next);
  change.data.copy(next, change.at);
  return next;
}

/** A failure as node:fs has it. */
export function fault(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
