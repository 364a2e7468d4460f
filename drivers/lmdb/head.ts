/**
 * The two head pages of data.mdb, read before LMDB maps the file: lmdb 3.5 ends the process (SIGSEGV) where it refuses one
 * while opening it, and a page that lies beyond the file's end is a SIGBUS to whoever reads it.
 * Layout: MDB_page_header and MDB_meta of lmdb's mdb.c, data version 2.
 */
import { type FileHandle, open } from "node:fs/promises";
import { OutriggerError } from "../../proto/errors.ts";

const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const HEAD_BYTES = 160;
const AT = { magic: 24, version: 28, pageBytes: 48, freeRoot: 88, mainRoot: 136, lastPage: 144, txid: 152 } as const;
/** A tree without pages. */
const NO_PAGE = 2n ** 64n - 1n;

interface Head {
  readonly txid: bigint;
  readonly pageBytes: number;
  readonly lastPage: bigint;
  readonly roots: readonly bigint[];
}

/**
 * Makes sure that LMDB can open and map the file, and that everything written to it is on the disk: what a killed process
 * committed and did not sync is seen from now on, and so must last. An absent file is fine.
 * @throws STORED_CORRUPT
 */
export async function prepareFile(file: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(file, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    if (size === 0) return;
    const head = await newestHead(handle, file);
    const pages = BigInt(Math.floor(size / head.pageBytes));
    if (head.roots.some((root) => root !== NO_PAGE && root >= pages)) throw damaged(file, "it is cut off");
    // Pages at the end that nothing refers to may never have been written; any other that is absent is read as zeros, and
    // told from a value by its checksum.
    if (head.lastPage >= pages) await handle.truncate((Number(head.lastPage) + 1) * head.pageBytes);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

async function newestHead(handle: FileHandle, file: string): Promise<Head> {
  const first = await headAt(handle, file, 0);
  const second = await headAt(handle, file, first.pageBytes);
  return second.txid > first.txid ? second : first;
}

async function headAt(handle: FileHandle, file: string, offset: number): Promise<Head> {
  const bytes = Buffer.alloc(HEAD_BYTES);
  const { bytesRead } = await handle.read(bytes, 0, HEAD_BYTES, offset);
  if (bytesRead < HEAD_BYTES || bytes.readUInt32LE(AT.magic) !== MAGIC) {
    // LMDB's own releases keep it 8 bytes earlier.
    const plain = bytes.readUInt32LE(AT.magic - 8) === MAGIC;
    throw damaged(
      file,
      plain ? "it is of another LMDB than this driver's" : "it is no LMDB file, or its head is damaged",
    );
  }
  const pageBytes = bytes.readUInt32LE(AT.pageBytes);
  if ((bytes.readUInt32LE(AT.version) & 0xffff) !== DATA_VERSION || pageBytes < 256 || pageBytes > 65_536) {
    throw damaged(file, "it is of another LMDB than this driver's");
  }
  return {
    txid: bytes.readBigUInt64LE(AT.txid),
    pageBytes,
    lastPage: bytes.readBigUInt64LE(AT.lastPage),
    roots: [bytes.readBigUInt64LE(AT.freeRoot), bytes.readBigUInt64LE(AT.mainRoot)],
  };
}

function damaged(file: string, why: string): OutriggerError {
  return new OutriggerError(
    "STORED_CORRUPT",
    `${file} cannot be opened: ${why}; name the folder that --init made, or put back a copy`,
  );
}
