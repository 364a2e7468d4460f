/**
 * A machine's disk: what the page cache shows, and what a power loss leaves. A killed process loses nothing that it
 * wrote; a power loss keeps what was synced, and of the rest any part.
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
import type { Random } from "./random.ts";
import { EPOCH_MS, type Life, type World } from "./world.ts";

interface Write {
  readonly positionBytes: number;
  readonly data: Buffer;
  /** A truncation, to positionBytes. */
  readonly cut: boolean;
}

class FileNode {
  readonly kind = "file";
  data: Buffer = Buffer.alloc(0);
  mtimeNs = 0n;
  readonly inode: bigint;
  /** As a power loss leaves it at least. */
  synced: Buffer = Buffer.alloc(0);
  unsynced: Write[] = [];
  /** Writes that were made, ever. */
  writes = 0;

  constructor(inode: bigint) {
    this.inode = inode;
  }

  write(write: Write): void {
    this.data = written(this.data, write);
    this.unsynced.push(write);
    this.writes++;
  }

  /** @param upTo writes made when the sync was asked: only those are safe after it */
  sync(upTo = this.writes): void {
    const left = Math.min(this.unsynced.length, this.writes - upTo);
    const safe = this.unsynced.splice(0, this.unsynced.length - left);
    if (left === 0) this.synced = this.data;
    else for (const write of safe) this.synced = written(this.synced, write);
  }
}

class FolderNode {
  readonly kind = "folder";
  readonly names = new Map<string, Node>();
  synced = new Map<string, Node>();
  readonly inode: bigint;

  constructor(inode: bigint) {
    this.inode = inode;
  }
}

type Node = FileNode | FolderNode;

/** A change of names that no syncFolder has made safe. */
interface NameChange {
  readonly from?: { readonly folder: FolderNode; readonly name: string };
  readonly to?: { readonly folder: FolderNode; readonly name: string };
  readonly node: Node;
}

export interface DiskFaults {
  /** Chance that an operation takes long. */
  slow: number;
  /** Bytes that may still be written; Infinity: enough. */
  freeBytes: number;
}

/** Outlives the processes that use it. */
export class SimDisk {
  /** The driver was run once with --init. */
  initialised = false;
  readonly faults: DiskFaults = { slow: 0, freeBytes: Number.POSITIVE_INFINITY };
  readonly #world: World;
  readonly #random: Random;
  #root: FolderNode;
  #changes: NameChange[] = [];
  #inodes = 1n;
  #boots = 1;
  readonly #locks = new Map<string, { readonly life: Life }>();
  /** Operations that the kernel has and has not done yet. */
  readonly #underWay = new Map<Life, number>();

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    this.#root = new FolderNode(this.#inodes++);
  }

  /** The disk as one process uses it. */
  mountedBy(life: Life): Disk {
    return new Mounted(this, life);
  }

  /** The processes on the machine are dead already. */
  losePower(): void {
    this.#boots++;
    this.#underWay.clear();
    this.#locks.clear();
    const random = this.#random;
    const inOrder = random.chance(0.5);
    let kept = random.below(this.#changes.length + 1);
    for (const change of this.#changes) {
      const keep = inOrder ? kept-- > 0 : random.chance(0.5);
      if (keep) applyTo(change, (folder) => folder.synced);
      else this.#world.coverage.count("fault name not synced lost");
    }
    this.#changes = [];
    const seen = new Set<Node>();
    const restore = (node: Node) => {
      if (seen.has(node)) return;
      seen.add(node);
      if (node instanceof FileNode) {
        this.#tear(node);
        return;
      }
      node.names.clear();
      for (const [name, child] of node.synced) {
        node.names.set(name, child);
        restore(child);
      }
    };
    restore(this.#root);
  }

  /** Of what was not synced each write may be there, not be there, or be there in part. */
  #tear(file: FileNode): void {
    let data = file.synced;
    for (const write of file.unsynced) {
      const dice = this.#random.fraction();
      if (dice < 0.4) {
        this.#world.coverage.count("fault write not synced lost");
        continue;
      }
      if (dice < 0.7 || write.cut || write.data.length < 2) {
        data = written(data, write);
        continue;
      }
      this.#world.coverage.count("fault write torn");
      const part = write.data.subarray(0, this.#random.between(1, write.data.length - 1));
      data = written(data, { ...write, data: part });
      // The file's size may be there without the bytes.
      if (this.#random.chance(0.3)) {
        const end = write.positionBytes + write.data.length;
        if (end > data.length) data = Buffer.concat([data, Buffer.alloc(end - data.length)]);
      }
    }
    file.data = data;
    file.sync();
  }

  /** @internal Runs the effect when the disk gets to it, and goes on in the process if it still lives. */
  perform<Result>(life: Life, cost: "memory" | "disk" | "sync", effect: () => Result): Promise<Result> {
    const random = this.#random;
    if (!life.alive) return new Promise(() => undefined);
    let delayMs = 0;
    if (random.chance(this.faults.slow)) {
      this.#world.coverage.count("fault disk slow");
      delayMs = random.fraction() * 1500;
    } else if (cost === "sync") {
      delayMs = random.fraction() * 3;
    } else if (random.chance(cost === "memory" ? 0.1 : 0.5)) {
      delayMs = random.fraction() * 0.5;
    }
    if (delayMs === 0) {
      try {
        return Promise.resolve(effect());
      } catch (error) {
        return Promise.reject(error);
      }
    }
    const boots = this.#boots;
    this.#underWay.set(life, (this.#underWay.get(life) ?? 0) + 1);
    return new Promise((resolve, reject) => {
      this.#world.after(delayMs, () => {
        this.#underWay.set(life, (this.#underWay.get(life) ?? 1) - 1);
        if (boots !== this.#boots) return;
        // What a killed process had asked for may still happen.
        if (!life.alive && random.chance(0.5)) return;
        let result: Result;
        try {
          result = effect();
        } catch (error) {
          life.enter(() => reject(error));
          return;
        }
        life.enter(() => resolve(result));
      });
    });
  }

  /** @internal */
  mtimeNs(): bigint {
    // As coarse as a kernel's clock tick.
    return BigInt(Math.floor((EPOCH_MS + this.#world.nowMs) / 4)) * 4_000_000n;
  }

  /** @internal */
  find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    if (path === "") return node;
    for (const name of path.split("/")) {
      if (!(node instanceof FolderNode)) return undefined;
      node = node.names.get(name);
    }
    return node;
  }

  /** @internal */
  folder(path: string): FolderNode {
    const node = this.find(path);
    if (node === undefined) throw failure("ENOENT", path);
    if (!(node instanceof FolderNode)) throw failure("ENOTDIR", path);
    return node;
  }

  /** @internal */
  file(path: string): FileNode {
    const node = this.find(path);
    if (node === undefined) throw failure("ENOENT", path);
    if (!(node instanceof FileNode)) throw failure("EISDIR", path);
    return node;
  }

  /** @internal */
  create(path: string, kind: "file" | "folder"): Node {
    const { folder, name } = this.#split(path);
    if (folder.names.has(name)) throw failure("EEXIST", path);
    this.#spend(0, path);
    const node = kind === "file" ? new FileNode(this.#inodes++) : new FolderNode(this.#inodes++);
    if (node instanceof FileNode) node.mtimeNs = this.mtimeNs();
    this.#change({ to: { folder, name }, node });
    return node;
  }

  /** @internal */
  remove(path: string, kind: "file" | "folder"): void {
    const { folder, name } = this.#split(path);
    const node = folder.names.get(name);
    if (node === undefined) throw failure("ENOENT", path);
    if (kind === "file" && node instanceof FolderNode) throw failure("EISDIR", path);
    if (kind === "folder" && node instanceof FileNode) throw failure("ENOTDIR", path);
    if (node instanceof FolderNode && node.names.size > 0) throw failure("ENOTEMPTY", path);
    this.#change({ from: { folder, name }, node });
  }

  /** @internal */
  rename(from: string, to: string): void {
    const source = this.#split(from);
    const destination = this.#split(to);
    const node = source.folder.names.get(source.name);
    if (node === undefined) throw failure("ENOENT", from);
    const there = destination.folder.names.get(destination.name);
    if (there === node) return;
    if (there instanceof FolderNode) throw failure("EISDIR", to);
    this.#change({ from: source, to: destination, node });
  }

  /** @internal */
  syncFolder(path: string): void {
    const folder = this.folder(path);
    const touched = (change: NameChange) => change.from?.folder === folder || change.to?.folder === folder;
    // What is safe of a node stands on what happened to it before: no second name of it may come back.
    const last = new Map<Node, NameChange>();
    for (const change of this.#changes) if (touched(change)) last.set(change.node, change);
    this.#changes = this.#changes.filter((change) => {
      const upTo = last.get(change.node);
      if (upTo === undefined) return true;
      if (upTo === change) last.delete(change.node);
      applyTo(change, (of) => of.synced);
      return false;
    });
  }

  /** @internal */
  write(file: FileNode, pieces: readonly Uint8Array[], positionBytes: number): void {
    let data = Buffer.concat(pieces);
    const grows = Math.max(0, positionBytes + data.length - file.data.length);
    const free = this.faults.freeBytes;
    let full = false;
    if (grows > free) {
      // As much as fits is there.
      data = data.subarray(0, Math.max(0, data.length - (grows - free)));
      full = true;
    }
    this.faults.freeBytes -= Math.max(0, positionBytes + data.length - file.data.length);
    if (data.length > 0) file.write({ positionBytes, data, cut: false });
    file.mtimeNs = this.mtimeNs();
    if (full) {
      this.#world.coverage.count("fault disk full");
      throw failure("ENOSPC", "write");
    }
  }

  /** @internal */
  bootId(): string {
    return `boot-${this.#boots}`;
  }

  /** @internal */
  async lock(life: Life, path: string, waitMs: number, signal?: AbortSignal): Promise<DiskLock> {
    const deadlineMs = this.#world.nowMs + waitMs;
    for (;;) {
      signal?.throwIfAborted();
      const held = this.#locks.get(path);
      // A killed process ends, and gives its locks up, once the kernel is through with what it had asked for.
      if (held === undefined || (!held.life.alive && (this.#underWay.get(held.life) ?? 0) === 0)) break;
      if (this.#world.nowMs >= deadlineMs) throw new DiskLocked(`${path} is locked by ${held.life.name}`);
      await new Promise<void>((resolve) => {
        life.after(50, resolve);
      });
    }
    const mine = { life };
    this.#locks.set(path, mine);
    return {
      release: async () => {
        if (this.#locks.get(path) === mine) this.#locks.delete(path);
      },
    };
  }

  #spend(bytes: number, path: string): void {
    if (this.faults.freeBytes <= bytes) {
      this.#world.coverage.count("fault disk full");
      throw failure("ENOSPC", path);
    }
  }

  #change(change: NameChange): void {
    this.#world.note(() => `disk: ${change.from?.name ?? "nothing"} becomes ${change.to?.name ?? "nothing"}`);
    applyTo(change, (folder) => folder.names);
    this.#changes.push(change);
  }

  #split(path: string): { folder: FolderNode; name: string } {
    const slash = path.lastIndexOf("/");
    return { folder: this.folder(slash < 0 ? "" : path.slice(0, slash)), name: path.slice(slash + 1) };
  }
}

class Mounted implements Disk {
  readonly #disk: SimDisk;
  readonly #life: Life;

  constructor(disk: SimDisk, life: Life) {
    this.#disk = disk;
    this.#life = life;
  }

  open(path: string, mode: OpenMode): Promise<DiskFile> {
    return this.#disk.perform(this.#life, "memory", () => {
      const node = mode === "create" ? (this.#disk.create(path, "file") as FileNode) : this.#disk.file(path);
      return new Opened(this.#disk, this.#life, node);
    });
  }

  facts(path: string): Promise<FileFacts | undefined> {
    return this.#disk.perform(this.#life, "memory", () => {
      const node = this.#disk.find(path);
      return node === undefined ? undefined : factsOf(node);
    });
  }

  entries(path: string): Promise<readonly Entry[]> {
    return this.#disk.perform(this.#life, "memory", () =>
      [...this.#disk.folder(path).names].map(([name, { kind }]) => ({ name, kind })),
    );
  }

  survey(path: string): Promise<readonly SurveyedEntry[]> {
    return this.#disk.perform(this.#life, "memory", () =>
      [...this.#disk.folder(path).names].map(([name, node]) => ({
        name,
        kind: node.kind,
        ...(node instanceof FileNode ? { facts: factsOf(node) } : {}),
      })),
    );
  }

  makeFolder(path: string): Promise<void> {
    return this.#disk.perform(this.#life, "memory", () => {
      this.#disk.create(path, "folder");
    });
  }

  removeFolder(path: string): Promise<void> {
    return this.#disk.perform(this.#life, "memory", () => this.#disk.remove(path, "folder"));
  }

  remove(path: string): Promise<void> {
    return this.#disk.perform(this.#life, "memory", () => this.#disk.remove(path, "file"));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#disk.perform(this.#life, "disk", () => this.#disk.rename(from, to));
  }

  syncFolder(path: string): Promise<void> {
    return this.#disk.perform(this.#life, "sync", () => this.#disk.syncFolder(path));
  }

  lock(path: string, waitMs: number, signal?: AbortSignal): Promise<DiskLock> {
    return this.#disk.lock(this.#life, path, waitMs, signal);
  }

  bootId(): Promise<string> {
    return Promise.resolve(this.#disk.bootId());
  }
}

class Opened implements DiskFile {
  readonly #disk: SimDisk;
  readonly #life: Life;
  readonly #node: FileNode;

  constructor(disk: SimDisk, life: Life, node: FileNode) {
    this.#disk = disk;
    this.#life = life;
    this.#node = node;
  }

  read(into: Uint8Array, positionBytes: number): Promise<number> {
    return this.#disk.perform(this.#life, "memory", () => {
      const part = this.#node.data.subarray(positionBytes, positionBytes + into.length);
      into.set(part);
      return part.length;
    });
  }

  write(pieces: readonly Uint8Array[], positionBytes: number): Promise<void> {
    return this.#disk.perform(this.#life, "disk", () => this.#disk.write(this.#node, pieces, positionBytes));
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#disk.perform(this.#life, "disk", () => {
      this.#node.write({ positionBytes: sizeBytes, data: Buffer.alloc(0), cut: true });
      this.#node.mtimeNs = this.#disk.mtimeNs();
    });
  }

  setModified(micros: number): Promise<void> {
    return this.#disk.perform(this.#life, "memory", () => {
      this.#node.mtimeNs = BigInt(Math.round(micros)) * 1000n;
    });
  }

  sync(): Promise<void> {
    const upTo = this.#node.writes;
    return this.#disk.perform(this.#life, "sync", () => this.#node.sync(upTo));
  }

  syncData(): Promise<void> {
    return this.sync();
  }

  facts(): Promise<FileFacts> {
    return this.#disk.perform(this.#life, "memory", () => factsOf(this.#node));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function written(data: Buffer, { positionBytes, data: added, cut }: Write): Buffer {
  if (cut) {
    return positionBytes <= data.length
      ? data.subarray(0, positionBytes)
      : Buffer.concat([data, Buffer.alloc(positionBytes - data.length)]);
  }
  const end = positionBytes + added.length;
  const result = Buffer.alloc(Math.max(data.length, end));
  result.set(data);
  result.set(added, positionBytes);
  return result;
}

function applyTo({ from, to, node }: NameChange, side: (folder: FolderNode) => Map<string, Node>): void {
  if (from !== undefined) {
    const names = side(from.folder);
    if (names.get(from.name) === node) names.delete(from.name);
  }
  if (to !== undefined) side(to.folder).set(to.name, node);
}

function factsOf(node: Node): FileFacts {
  return node instanceof FileNode
    ? { kind: "file", sizeBytes: node.data.length, mtimeNs: node.mtimeNs, inode: node.inode }
    : { kind: "folder", sizeBytes: 0, mtimeNs: 0n, inode: node.inode };
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`simulated ${code}: ${path}`), { code });
}
