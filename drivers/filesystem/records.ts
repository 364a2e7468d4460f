/** What the log holds, as bytes. Numbers are little-endian; keys are ASCII of at most 1024 bytes. */
import { kept } from "./values.ts";

/** How a link's file looked when it was last known. */
export interface LinkFacts {
  readonly mtimeNs: bigint;
  readonly sizeBytes: number;
  readonly inode: bigint;
}

export type LinkState = LinkFacts | "absent";

/** What is known of a link's file, beside the value that the store holds for it. */
export interface LinkEntry {
  /** Of the Write that changed it last. */
  readonly seq: number;
  /** Unix ms of that Write. */
  readonly timeMs: number;
  /** The file once that Write was applied to it; undefined: perhaps not applied. */
  readonly known: LinkState | undefined;
  /** The file before. */
  readonly before: LinkState;
}

export interface Scalars {
  readonly seq: number;
  readonly nextEtag: number;
  /** Links changed by Writes up to this one survive a power loss as files too. */
  readonly settledSeq: number;
  readonly markMicros: number;
  readonly outside: number;
  readonly bootId: string;
}

export type LogRecord =
  | {
      readonly kind: "write";
      readonly seq: number;
      readonly timeMs: number;
      /** Of the first put; each further one has the next. */
      readonly firstEtag: number;
      /** Without value: taken away. */
      readonly changes: readonly { readonly key: string; readonly value?: Buffer }[];
    }
  | {
      readonly kind: "facts";
      readonly links: readonly { readonly key: string; readonly seq: number; readonly known: LinkState }[];
    }
  | { readonly kind: "settled"; readonly seq: number }
  | { readonly kind: "mark"; readonly micros: number }
  | { readonly kind: "boot"; readonly bootId: string }
  /** A process has ended in order; no modification time above this one was given. */
  | { readonly kind: "clean"; readonly markMicros: number }
  // A snapshot: scalars, items and links, end.
  | ({ readonly kind: "scalars" } & Scalars)
  | { readonly kind: "item"; readonly key: string; readonly etag: number; readonly value: Buffer }
  | ({ readonly kind: "link"; readonly key: string } & LinkEntry)
  | { readonly kind: "end" };

const kinds = ["write", "facts", "settled", "mark", "boot", "scalars", "item", "link", "end", "clean"] as const;

export function encodeRecord(record: LogRecord): Buffer {
  const out = new Packer();
  out.u8(kinds.indexOf(record.kind));
  switch (record.kind) {
    case "write":
      out.number(record.seq).number(record.timeMs).number(record.firstEtag).u32(record.changes.length);
      for (const { key, value } of record.changes) {
        out.text(key).u8(value === undefined ? 0 : 1);
        if (value !== undefined) out.bytes(value);
      }
      break;
    case "facts":
      out.u32(record.links.length);
      for (const { key, seq, known } of record.links) out.text(key).number(seq).state(known);
      break;
    case "settled":
      out.number(record.seq);
      break;
    case "mark":
      out.number(record.micros);
      break;
    case "boot":
      out.text(record.bootId);
      break;
    case "clean":
      out.number(record.markMicros);
      break;
    case "scalars":
      out.number(record.seq).number(record.nextEtag).number(record.settledSeq).number(record.markMicros);
      out.number(record.outside).text(record.bootId);
      break;
    case "item":
      out.text(record.key).number(record.etag).bytes(record.value);
      break;
    case "link":
      out.text(record.key).number(record.seq).number(record.timeMs).state(record.known).state(record.before);
      break;
    case "end":
      break;
  }
  return out.done();
}

/** @throws RangeError on bytes that no encodeRecord made */
export function decodeRecord(payload: Buffer): LogRecord {
  const from = new Unpacker(payload);
  const kind = kinds[from.u8()];
  if (kind === undefined) throw new RangeError("a record of an unknown kind: written by a newer release?");
  switch (kind) {
    case "write": {
      const head = { kind, seq: from.number(), timeMs: from.number(), firstEtag: from.number() } as const;
      const changes = from.times(() => {
        const key = from.text();
        return from.u8() === 0 ? { key } : { key, value: from.bytes() };
      });
      return { ...head, changes };
    }
    case "facts":
      return {
        kind,
        links: from.times(() => ({ key: from.text(), seq: from.number(), known: from.state() ?? "absent" })),
      };
    case "settled":
      return { kind, seq: from.number() };
    case "mark":
      return { kind, micros: from.number() };
    case "boot":
      return { kind, bootId: from.text() };
    case "clean":
      return { kind, markMicros: from.number() };
    case "scalars":
      return {
        kind,
        seq: from.number(),
        nextEtag: from.number(),
        settledSeq: from.number(),
        markMicros: from.number(),
        outside: from.number(),
        bootId: from.text(),
      };
    case "item":
      return { kind, key: from.text(), etag: from.number(), value: from.bytes() };
    case "link":
      return {
        kind,
        key: from.text(),
        seq: from.number(),
        timeMs: from.number(),
        known: from.state(),
        before: from.state() ?? "absent",
      };
    case "end":
      return { kind };
  }
}

class Packer {
  #buffer = Buffer.allocUnsafe(512);
  #length = 0;

  #room(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#buffer.byteLength) {
      const larger = Buffer.allocUnsafe(Math.max(this.#length, 2 * this.#buffer.byteLength));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    return at;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#buffer.writeUInt8(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#buffer.writeUInt32LE(value, at);
    return this;
  }

  number(value: number): this {
    const at = this.#room(8);
    this.#buffer.writeDoubleLE(value, at);
    return this;
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, "latin1"));
  }

  bytes(value: Uint8Array): this {
    this.u32(value.byteLength);
    const at = this.#room(value.byteLength);
    this.#buffer.set(value, at);
    return this;
  }

  state(value: LinkState | undefined): this {
    this.u8(value === undefined ? 0 : value === "absent" ? 1 : 2);
    if (value === undefined || value === "absent") return this;
    const at = this.#room(16);
    this.#buffer.writeBigInt64LE(value.mtimeNs, at);
    this.#buffer.writeBigUInt64LE(value.inode, at + 8);
    return this.number(value.sizeBytes);
  }

  done(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }
}

class Unpacker {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  #step(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    return at;
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#step(1));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#step(4));
  }

  number(): number {
    return this.#buffer.readDoubleLE(this.#step(8));
  }

  text(): string {
    return this.#slice().toString("latin1");
  }

  /** A copy: the buffer that it was read from is large. */
  bytes(): Buffer {
    return kept(this.#slice());
  }

  #slice(): Buffer {
    const length = this.u32();
    const at = this.#step(length);
    if (this.#at > this.#buffer.byteLength) throw new RangeError("a record ends before its value");
    return this.#buffer.subarray(at, at + length);
  }

  state(): LinkState | undefined {
    const kind = this.u8();
    if (kind === 0) return undefined;
    if (kind === 1) return "absent";
    const at = this.#step(16);
    return {
      mtimeNs: this.#buffer.readBigInt64LE(at),
      inode: this.#buffer.readBigUInt64LE(at + 8),
      sizeBytes: this.number(),
    };
  }

  times<Item>(read: () => Item): Item[] {
    return Array.from({ length: this.u32() }, read);
  }
}
