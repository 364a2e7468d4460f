/** Opens a root: checks it, takes its lock, reads the log, meets the files, and only then serves. */
import { randomUUID } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import type { Logger } from "pino";
import { type Clock, systemClock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { invalidField } from "../../proto/keys.ts";
import { limits } from "../../proto/limits.ts";
import type { Driver, StoreFacts } from "../../server/contract.ts";
import { isNetworkFolder } from "../../server/folder-lock.ts";
import { release } from "../../server/release.ts";
import { BlobStore } from "./blob-store.ts";
import { type Disk, type DiskLock, errno, isErrno } from "./disk.ts";
import { diskError } from "./errors.ts";
import { Folders } from "./folders.ts";
import { Intents } from "./intents.ts";
import { Journal, readLog } from "./journal.ts";
import { join, TEMPORARY } from "./layout.ts";
import { LinkFiles } from "./links.ts";
import { Marks } from "./marks.ts";
import { Meta, MetaStore } from "./meta-store.ts";
import { nodeDisk } from "./node-disk.ts";
import { optionSpecs } from "./options.ts";
import { recoverLinks } from "./recover.ts";
import { assertCaseMatters, assertServable, lockRoot, type StoreIds, storeIds } from "./root.ts";
import { State } from "./state.ts";

export interface FilesystemSettings {
  /** The folder that holds everything. */
  readonly root: string;
  readonly persistStepBytes?: number;
  readonly uploadTtlMs?: number;
  /** Test knob: how far the log grows before it is written anew. */
  readonly compactBytes?: number;
}

export interface FilesystemDeps {
  readonly log: Logger;
  readonly clock?: Clock;
  /** How long to wait for the lock of another process; 0: fail at once. */
  readonly lockWaitMs?: number;
  readonly signal?: AbortSignal;
  /** Instead of the real disk; `root` is then only a name. */
  readonly disk?: Disk;
  readonly randomUuid?: () => string;
}

const NAME = "io.outrigger.filesystem";
const COMPACT_BYTES = 16 * 1024 * 1024;

/** @throws NOT_INITIALISED, or another error whose message is one sentence that says what to change */
export async function openFilesystemDriver(settings: FilesystemSettings, deps: FilesystemDeps): Promise<Driver> {
  const uploadTtlMs = settings.uploadTtlMs ?? optionSpecs.uploadTtl.default;
  if (uploadTtlMs < limits.uploadTtlMs) throw invalidField("uploadTtl", "must be at least 24h");
  const persistStepBytes = settings.persistStepBytes ?? optionSpecs.persistStep.default;
  if (persistStepBytes < 1) throw invalidField("persistStep", "must be at least 1 byte");
  return opening(settings.root, async () => {
    const { disk, root, folders, notices } = await prepare(settings.root, deps);
    await assertServable(disk, folders, root);
    const lock = await lockRoot(disk, folders, root, deps.lockWaitMs ?? 0, deps.signal);
    return holding(lock, async () => {
      const ids = await prepareRoot(disk, root, deps);
      return serve(
        { disk, folders, lock, ids, notices, clock: deps.clock ?? systemClock, log: deps.log },
        { persistStepBytes, uploadTtlMs, compactBytes: settings.compactBytes ?? COMPACT_BYTES },
      );
    });
  });
}

/** Makes the root where it is absent, and gives it store ids where it has none. */
export async function initFilesystem(settings: Pick<FilesystemSettings, "root">, deps: FilesystemDeps): Promise<void> {
  await opening(settings.root, async () => {
    if (deps.disk === undefined) await fs.mkdir(path.resolve(settings.root), { recursive: true });
    const { disk, root, folders } = await prepare(settings.root, deps);
    const lock = await lockRoot(disk, folders, root, deps.lockWaitMs ?? 0, deps.signal);
    await holding(lock, () => prepareRoot(disk, root, deps));
    await lock.release();
  });
}

/** The lock is given up when opening fails behind it. */
async function holding<Result>(lock: DiskLock, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function opening<Result>(root: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw diskError(error, `opening ${root}`);
  }
}

async function prepare(
  wanted: string,
  deps: FilesystemDeps,
): Promise<{ readonly disk: Disk; readonly root: string; readonly folders: Folders; readonly notices: string[] }> {
  if (deps.disk !== undefined) return { disk: deps.disk, root: wanted, folders: new Folders(deps.disk), notices: [] };
  const root = path.resolve(wanted);
  let real: string;
  try {
    real = await fs.realpath(root);
    if (!(await fs.stat(real)).isDirectory()) throw Object.assign(new Error(root), { code: "ENOTDIR" });
    await fs.access(real, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    const sentence = rootSentences[errno(error)];
    if (sentence === undefined) throw error;
    throw new OutriggerError("BACKEND_DOWN", `the root ${root} ${sentence}`, { cause: error });
  }
  const disk = nodeDisk(real, deps.clock ?? systemClock);
  const notices = (await isNetworkFolder(real))
    ? [`${root} is a network folder: its lock does not hold against drivers on other machines, run exactly one`]
    : [];
  return { disk, root, folders: new Folders(disk), notices };
}

const rootSentences: Readonly<Record<string, string>> = {
  ENOENT: "does not exist: make it, mount it, or run the driver once with --init",
  ENOTDIR: "is not a folder: name one",
  EACCES: "may not be read and written by this process: change its owner or mode",
  EPERM: "may not be read and written by this process: change its owner or mode",
  EROFS: "is mounted read-only: remount it",
  ELOOP: "is a symbolic link that leads to itself",
};

async function prepareRoot(disk: Disk, root: string, deps: FilesystemDeps): Promise<StoreIds> {
  await assertCaseMatters(disk, root);
  return storeIds(disk, root, deps.randomUuid ?? randomUUID);
}

interface Opened {
  readonly disk: Disk;
  readonly folders: Folders;
  readonly lock: DiskLock;
  readonly ids: StoreIds;
  readonly notices: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

interface Sizes {
  readonly persistStepBytes: number;
  readonly uploadTtlMs: number;
  readonly compactBytes: number;
}

async function serve(opened: Opened, sizes: Sizes): Promise<Driver> {
  const { disk, folders, clock, log } = opened;
  const intents = await Intents.open(disk);
  const meta = await openMeta(opened, sizes.compactBytes);
  const marks = new Marks(clock, meta.state.markMicros, (micros) => meta.reserveMark(micros));
  const { outside } = meta.state;
  const capabilities = ["DURABLE"];
  const blobFacts: StoreFacts = {
    id: opened.ids.blob,
    capabilities: [...capabilities, "LOCAL_FILE"],
    limits: { persistStepBytes: sizes.persistStepBytes, uploadTtlMs: sizes.uploadTtlMs },
    outside,
  };
  const metaFacts: StoreFacts = {
    id: opened.ids.meta,
    capabilities,
    limits: { maxValueBytes: limits.valueBytes },
    outside,
  };
  const blob = new BlobStore({
    disk,
    clock,
    folders,
    intents,
    marks,
    facts: blobFacts,
    persistStepBytes: sizes.persistStepBytes,
  });
  await blob.sweep();
  log.info({ keys: meta.state.items.size, outside }, "the root is open");
  let closing: Promise<void> | undefined;
  const close = async () => {
    try {
      await blob.close();
      await meta.close(marks.last);
      await intents.close();
    } finally {
      await opened.lock.release();
    }
  };
  return {
    name: NAME,
    version: release(),
    notices: opened.notices,
    blob,
    meta: new MetaStore(meta, metaFacts),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

async function openMeta({ disk, folders, clock, log }: Opened, compactBytes: number): Promise<Meta> {
  const bootId = await disk.bootId();
  // Microseconds: above every etag of a log that was lost, unless the clock was set back.
  const state = new State(Math.max(1, Math.floor(clock.now() * 1000)), bootId);
  const read = await readLog(disk, (record) => state.apply(record));
  const rebooted = state.bootId !== bootId;
  const links = new LinkFiles(disk, folders);
  // Names of links half written by a process that was killed are taken again.
  await emptyTemporary(disk);
  const { redo, outside } = await recoverLinks(state, links, rebooted, log);
  const options = Meta.journalOptions(state, log, compactBytes);
  const fresh = read === undefined || outside;
  const journal = fresh
    ? await Journal.begin(disk, options, read?.generation ?? 0)
    : await Journal.resume(disk, options, read);
  const meta = new Meta({ clock, log, links, state }, journal);
  await meta.redo(redo);
  // Not before: whoever is killed while it redoes must meet files that may be anything again at its next start.
  if (rebooted) await meta.noteBoot(bootId);
  return meta;
}

async function emptyTemporary(disk: Disk): Promise<void> {
  for (const { name, kind } of await disk.entries(TEMPORARY)) {
    if (kind === "file") {
      await disk.remove(join(TEMPORARY, name)).catch((error: unknown) => {
        if (!isErrno(error, "ENOENT")) throw error;
      });
    }
  }
}
