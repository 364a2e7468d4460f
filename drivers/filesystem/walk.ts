/**
 * Keys of a tree in bytewise order, one folder in memory at a time. Order of names is not order of keys: `1.0-alpine/x`
 * sorts before `1.0/x`, so a folder takes its place by its name with the slash.
 */
import { type Disk, type Entry, isErrno } from "./disk.ts";
import { join } from "./layout.ts";

/** Folders read ahead of the one that is walked. */
const AHEAD = 16;

export interface WalkRange {
  readonly prefix: string;
  /** Exclusive. */
  readonly startAfter: string;
}

/**
 * @param folder where the tree lies
 * @param head what every key of the tree begins with: "" or "a/b/"
 * @returns keys of files within the range, ascending; symbolic links are passed by
 */
export async function* walk(disk: Disk, folder: string, head: string, range: WalkRange): AsyncGenerator<string> {
  yield* visit(disk, head, range, read(disk, folder), folder);
}

async function* visit(
  disk: Disk,
  head: string,
  range: WalkRange,
  entries: Promise<readonly Entry[]>,
  folder: string,
): AsyncGenerator<string> {
  const wanted: { readonly key: string; readonly entry: Entry }[] = [];
  for (const entry of await entries) {
    const key = entry.kind === "folder" ? `${head}${entry.name}/` : `${head}${entry.name}`;
    if (entry.kind === "folder" ? mayHold(key, range) : entry.kind === "file" && holds(key, range)) {
      wanted.push({ key, entry });
    }
  }
  wanted.sort((a, b) => (a.key < b.key ? -1 : 1));
  const ahead = new Map<number, Promise<readonly Entry[]>>();
  for (const [index, { key, entry }] of wanted.entries()) {
    if (entry.kind === "file") {
      yield key;
      continue;
    }
    for (let next = index; next < Math.min(wanted.length, index + AHEAD); next++) {
      const item = wanted[next];
      if (item?.entry.kind === "folder" && !ahead.has(next)) {
        ahead.set(next, read(disk, join(folder, item.entry.name)));
      }
    }
    const children = ahead.get(index) ?? read(disk, join(folder, entry.name));
    ahead.delete(index);
    yield* visit(disk, key, range, children, join(folder, entry.name));
  }
}

function read(disk: Disk, folder: string): Promise<readonly Entry[]> {
  const reading = disk.entries(folder).catch((error: unknown) => {
    // Taken away meanwhile.
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  });
  // Read ahead and perhaps never awaited.
  reading.catch(() => {});
  return reading;
}

function holds(key: string, range: WalkRange): boolean {
  return key.startsWith(range.prefix) && key > range.startAfter;
}

/** Whether a key that begins with `head` may be in the range. */
function mayHold(head: string, range: WalkRange): boolean {
  if (!head.startsWith(range.prefix) && !range.prefix.startsWith(head)) return false;
  return head > range.startAfter || range.startAfter.startsWith(head);
}

/** Two ascending sequences as one. */
export async function* merge(a: AsyncGenerator<string>, b: AsyncGenerator<string>): AsyncGenerator<string> {
  try {
    let [left, right] = await Promise.all([a.next(), b.next()]);
    while (!left.done || !right.done) {
      if (right.done || (!left.done && left.value < right.value)) {
        yield left.value as string;
        left = await a.next();
      } else {
        yield right.value;
        right = await b.next();
      }
    }
  } finally {
    await Promise.all([a.return(undefined), b.return(undefined)]);
  }
}
