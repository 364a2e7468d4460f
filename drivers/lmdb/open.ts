/** Opens a folder: looks what lies in it, takes its lock, reads its id, and only then serves. */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { OutriggerError } from "../../proto/errors.ts";
import { invalidField } from "../../proto/keys.ts";
import { limits } from "../../proto/limits.ts";
import type { Driver, OpenContext, StoreFacts } from "../../server/contract.ts";
import { type FolderLock, FolderLocked, isNetworkFolder, lockFolder } from "../../server/folder-lock.ts";
import { release } from "../../server/release.ts";
import { Environment, lastTransaction, type Tables } from "./environment.ts";
import { lmdbError } from "./errors.ts";
import { MetaStore } from "./meta-store.ts";
import type { LmdbOptions } from "./options.ts";
import { TXID, Writer } from "./writer.ts";

const FORMAT = Buffer.from("format");
const ID = Buffer.from("id");
const OUTSIDE = Buffer.from("outside");
/** The layout of what lies in the folder. */
const LAYOUT = "1";

const MIN_MAP_BYTES = 1024 * 1024;
const MAX_MAP_BYTES = 64 * 1024 ** 4;

interface Identity {
  readonly id: string;
  readonly outside: number;
}

/** @throws NOT_INITIALISED, or another error whose message is one sentence that says what to change */
export async function openLmdbDriver(options: LmdbOptions, context: OpenContext): Promise<Driver> {
  return opening(options, context, false, async (environment, lock) => {
    const { id, outside } = identityOf(environment.tables(), environment.folder);
    const facts: StoreFacts = {
      id,
      capabilities: ["DURABLE"],
      limits: { maxValueBytes: limits.valueBytes },
      outside,
    };
    const writer = new Writer(environment, context.log);
    let closing: Promise<void> | undefined;
    const close = async () => {
      try {
        await writer.close();
        await environment.close();
      } finally {
        await lock.release();
      }
    };
    return {
      name: "io.outrigger.lmdb",
      version: release(),
      notices: await noticesOf(environment.folder),
      meta: new MetaStore(facts, environment, writer),
      close: () => {
        closing ??= close();
        return closing;
      },
    };
  });
}

/** Makes the folder where it is absent, and gives it a store id where it has none. */
export async function initLmdb(options: LmdbOptions, context: OpenContext): Promise<void> {
  await opening(options, context, true, async (environment, lock) => {
    const { root, own } = environment.tables();
    if (own.get(ID) === undefined) {
      root.transactionSync(() => {
        own.putSync(FORMAT, Buffer.from(LAYOUT));
        own.putSync(ID, Buffer.from(randomUUID()));
        own.putSync(OUTSIDE, Buffer.from("0"));
        own.putSync(TXID, Buffer.from(String(root.getWriteTxnId())));
      });
    }
    identityOf(environment.tables(), environment.folder);
    await environment.close();
    // The names of the files, and of the folder.
    await syncFolder(environment.folder);
    await syncFolder(path.dirname(environment.folder));
    await lock.release();
  });
}

/** What is opened is closed again when `work` fails. */
async function opening<Result>(
  options: LmdbOptions,
  context: OpenContext,
  make: boolean,
  work: (environment: Environment, lock: FolderLock) => Promise<Result>,
): Promise<Result> {
  const { mapSize } = options;
  if (mapSize < MIN_MAP_BYTES || mapSize > MAX_MAP_BYTES) throw invalidField("mapSize", "must be 1MiB to 64TiB");
  const folder = await usableFolder(path.resolve(options.folder), make);
  await assertServable(folder, make);
  const lock = await lockStore(folder, context);
  try {
    const environment = await Environment.open(folder, mapSize);
    try {
      return await work(environment, lock);
    } catch (error) {
      await environment.close();
      throw error;
    }
  } catch (error) {
    await lock.release();
    throw await lmdbError(error, folder, "opening the store");
  }
}

async function usableFolder(folder: string, make: boolean): Promise<string> {
  try {
    if (make) await fs.mkdir(folder, { recursive: true });
    const real = await fs.realpath(folder);
    if (!(await fs.stat(real)).isDirectory()) throw Object.assign(new Error(folder), { code: "ENOTDIR" });
    await fs.access(real, constants.R_OK | constants.W_OK | constants.X_OK);
    return real;
  } catch (error) {
    const sentence = sentences[(error as NodeJS.ErrnoException).code ?? ""];
    if (sentence === undefined) throw error;
    throw new OutriggerError("BACKEND_DOWN", `the folder ${folder} ${sentence}`, { cause: error });
  }
}

const sentences: Readonly<Record<string, string>> = {
  ENOENT: "does not exist: make it, mount it, or run the driver once with --init",
  ENOTDIR: "is not a folder: name one with --folder",
  EEXIST: "is not a folder: name one with --folder",
  EACCES: "may not be read and written by this process: change its owner or mode",
  EPERM: "may not be read and written by this process: change its owner or mode",
  EROFS: "is mounted read-only: remount it",
  ENOSPC: "cannot be made: the disk is full",
};

/** Besides data.mdb: what LMDB, this driver's lock, and mkfs put into a folder. */
const HARMLESS = /^(?:lock\.mdb|lock\.\d+|taking\..*|lost\+found)$/;

/** @throws NOT_INITIALISED */
async function assertServable(folder: string, make: boolean): Promise<void> {
  const names = await fs.readdir(folder);
  if (names.includes("data.mdb") && ((await fs.stat(path.join(folder, "data.mdb"))).size > 0 || make)) return;
  const foreign = names.find((name) => name !== "data.mdb" && !HARMLESS.test(name));
  if (foreign !== undefined) {
    throw new OutriggerError(
      "NOT_INITIALISED",
      `${folder} holds other things (${JSON.stringify(foreign)}) and no store: name the right folder, or an empty one with --init`,
    );
  }
  if (make) return;
  throw new OutriggerError(
    "NOT_INITIALISED",
    `${folder} is empty: if it is the right folder (and mounted), run the driver once with --init`,
  );
}

async function lockStore(folder: string, { lockWaitMs, clock, signal }: OpenContext): Promise<FolderLock> {
  try {
    return await lockFolder(folder, lockWaitMs, clock, signal);
  } catch (error) {
    if (!(error instanceof FolderLocked)) throw error;
    throw new OutriggerError(
      "BACKEND_DOWN",
      `${folder} is in use by another driver (${error.message}): stop that one first, or wait for it with --lock-wait`,
      { cause: error },
    );
  }
}

/** Reads what the store is; a change that this driver did not make is counted. */
function identityOf(tables: Tables, folder: string): Identity {
  const { root, own } = tables;
  const text = (key: Buffer) => own.get(key)?.toString();
  const id = text(ID);
  if (id === undefined) {
    throw new OutriggerError("NOT_INITIALISED", `${folder} has no store id: run the driver once with --init`);
  }
  if (text(FORMAT) !== LAYOUT) {
    throw new OutriggerError(
      "STORED_CORRUPT",
      `${folder} has layout ${text(FORMAT)}, and this release knows only ${LAYOUT}: start the release that wrote it`,
    );
  }
  let outside = Number(text(OUTSIDE));
  if (text(TXID) !== String(lastTransaction(tables))) {
    outside++;
    root.transactionSync(() => {
      own.putSync(OUTSIDE, Buffer.from(String(outside)));
      own.putSync(TXID, Buffer.from(String(root.getWriteTxnId())));
    });
  }
  return { id, outside };
}

async function noticesOf(folder: string): Promise<string[]> {
  if (!(await isNetworkFolder(folder))) return [];
  return [
    `${folder} is a network folder: neither LMDB nor the driver's lock holds against other machines there, use a local disk`,
  ];
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await fs.open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
