/** What the log says, in memory: items and links in order, and a few numbers. */
import sorted from "sorted-btree";
import { bytewise } from "../../proto/keys.ts";
import { isLink } from "./layout.ts";
import type { LinkEntry, LogRecord, Scalars } from "./records.ts";

const BTree = sorted.default;
type Tree<Value> = InstanceType<typeof BTree<string, Value>>;

export interface Item {
  readonly value: Buffer;
  readonly etag: number;
}

export class State {
  readonly items: Tree<Item> = new BTree<string, Item>(undefined, bytewise);
  /** Of every link, and of those taken away that are not settled yet. */
  readonly links: Tree<LinkEntry> = new BTree<string, LinkEntry>(undefined, bytewise);
  /** While the log is read: values that a link was given since its file was last known. */
  replayed: Map<string, Buffer[]> | undefined = new Map();
  seq = 0;
  nextEtag: number;
  settledSeq = 0;
  markMicros = 0;
  outside = 0;
  bootId: string;

  /** @param firstEtag above those of a log that was lost */
  constructor(firstEtag: number, bootId: string) {
    this.nextEtag = firstEtag;
    this.bootId = bootId;
  }

  apply(record: LogRecord): void {
    switch (record.kind) {
      case "write": {
        let etag = record.firstEtag;
        this.seq = Math.max(this.seq, record.seq);
        for (const { key, value } of record.changes) {
          if (value === undefined) this.items.delete(key);
          else this.items.set(key, { value, etag: etag++ });
          if (isLink(key)) this.#changeLink(key, record.seq, record.timeMs, value);
        }
        this.nextEtag = Math.max(this.nextEtag, etag);
        break;
      }
      case "facts":
        for (const { key, seq, known } of record.links) {
          const entry = this.links.get(key);
          if (entry?.seq === seq) {
            this.links.set(key, { ...entry, known });
            this.replayed?.delete(key);
          } else if (entry !== undefined && entry.known === undefined) {
            // Changed again before its file showed this: so it looks before the newer change.
            this.links.set(key, { ...entry, before: known });
          }
        }
        break;
      case "settled":
        this.settledSeq = Math.max(this.settledSeq, record.seq);
        break;
      case "mark":
        this.markMicros = Math.max(this.markMicros, record.micros);
        break;
      case "boot":
        this.bootId = record.bootId;
        break;
      case "clean":
        this.markMicros = record.markMicros;
        break;
      case "scalars":
        this.seq = record.seq;
        this.nextEtag = record.nextEtag;
        this.settledSeq = record.settledSeq;
        this.markMicros = record.markMicros;
        this.outside = record.outside;
        this.bootId = record.bootId;
        break;
      case "item":
        this.items.set(record.key, { value: record.value, etag: record.etag });
        break;
      case "link": {
        const { key, seq, timeMs, known, before } = record;
        this.links.set(key, { seq, timeMs, known, before });
        break;
      }
      case "end":
        break;
    }
  }

  #changeLink(key: string, seq: number, timeMs: number, value: Buffer | undefined): void {
    if (this.replayed !== undefined && value !== undefined) {
      const values = this.replayed.get(key);
      if (values === undefined) this.replayed.set(key, [value]);
      else values.push(value);
    }
    const last = this.links.get(key);
    this.links.set(key, { seq, timeMs, known: undefined, before: last?.known ?? last?.before ?? "absent" });
  }

  isSettled(entry: LinkEntry): boolean {
    return entry.seq <= this.settledSeq && entry.known !== undefined;
  }

  /** As of now, however long it takes to be read. */
  snapshot(): Iterable<LogRecord> {
    const { seq, nextEtag, settledSeq, markMicros, outside, bootId } = this;
    const scalars: Scalars = { seq, nextEtag, settledSeq, markMicros, outside, bootId };
    return snapshotOf(scalars, this.items.clone(), this.links.clone());
  }

  /** Keys that begin with a prefix, from `from` on. */
  *range(prefix: string, startAfter: string): Generator<[string, Item]> {
    const from = startAfter > prefix ? startAfter : prefix;
    for (const [key, item] of this.items.entries(from)) {
      if (!key.startsWith(prefix)) return;
      if (key > startAfter) yield [key, item];
    }
  }
}

function* snapshotOf(scalars: Scalars, items: Tree<Item>, links: Tree<LinkEntry>): Generator<LogRecord> {
  yield { kind: "scalars", ...scalars };
  for (const [key, { value, etag }] of items.entries()) yield { kind: "item", key, etag, value };
  for (const [key, entry] of links.entries()) {
    // A link that is gone for good needs no memory.
    const gone = entry.known === "absent" && entry.seq <= scalars.settledSeq && !items.has(key);
    if (!gone) yield { kind: "link", key, ...entry };
  }
  yield { kind: "end" };
}
