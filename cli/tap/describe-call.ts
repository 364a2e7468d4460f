/** What a call was about, in few words, from the messages that went by: keys, ids, counts, persisted progress. */
import type protobuf from "protobufjs";
import type { Method } from "../rpc/schema.ts";
import { formatBytes } from "../terminal.ts";

type Plain = Record<string, unknown>;

/** Fields as numbers and texts; bytes as they lie in the message. */
export function plain(type: protobuf.Type, data: Uint8Array): Plain {
  return type.toObject(type.decode(data), { longs: Number, enums: String });
}

/** Of one call; `request` and `answer` are given every message that could be decoded. */
export class CallWords {
  readonly #method: Method;
  #about = "";
  #told = "";
  #chunks = 0;
  #chunkBytes = 0;
  #answers = 0;
  #answeredBytes = 0;
  #opened: number | undefined;
  #persisted = 0;

  constructor(method: Method) {
    this.#method = method;
  }

  request(data: Uint8Array): void {
    const message = plain(this.#method.request, data);
    if (!this.#method.requestStream) this.#about = aboutOf(message);
    const { open, chunk, commit } = message as { open?: Plain; chunk?: { data?: Uint8Array }; commit?: Plain };
    if (open) this.#about = `upload ${open["uploadId"]} attempt ${open["attempt"] ?? 0}`;
    if (commit) this.#about += ` commit ${commit["key"]}`;
    if (chunk) {
      this.#chunks += 1;
      this.#chunkBytes += chunk.data?.length ?? 0;
    }
  }

  answer(data: Uint8Array): void {
    const message = plain(this.#method.response, data);
    this.#answers += 1;
    if (!this.#method.responseStream) this.#told = toldOf(message);
    const { opened, progress, committed, start, chunk, info } = message as Record<string, Plain | undefined>;
    if (opened) this.#opened = Number(opened["persisted"] ?? 0);
    if (opened) this.#persisted = this.#opened ?? 0;
    if (progress) this.#persisted = Number(progress["persisted"] ?? 0);
    if (committed) this.#told = `committed ${committed["digest"] ?? ""}`;
    if (start) this.#told = `${formatBytes(Number(start["length"] ?? 0))} from ${start["start"] ?? 0}`;
    if (chunk) this.#answeredBytes += (chunk["data"] as Uint8Array | undefined)?.length ?? 0;
    if (info && this.#method.responseStream) this.#told = `moved ${formatBytes(Number(info["size"] ?? 0))}`;
  }

  /** "upload 17 attempt 1: 12 MiB in 48 chunks, persisted 0 B to 12 MiB, committed sha256:…" */
  toString(): string {
    const parts: string[] = [];
    if (this.#chunks > 0) parts.push(`${formatBytes(this.#chunkBytes)} in ${this.#chunks} chunks`);
    if (this.#opened !== undefined)
      parts.push(`persisted ${formatBytes(this.#opened)} to ${formatBytes(this.#persisted)}`);
    if (this.#answeredBytes > 0) parts.push(`${formatBytes(this.#answeredBytes)} in ${this.#answers - 1} chunks`);
    if (this.#told !== "") parts.push(this.#told);
    return [this.#about, parts.join(", ")].filter((words) => words !== "").join(": ");
  }
}

/** What was asked for. */
function aboutOf(message: Plain): string {
  const { keys, key, operations, prefix, uploadId, source, destination, startAfter } = message;
  if (Array.isArray(keys)) return listed(keys as string[], "keys");
  if (Array.isArray(operations)) return operationsOf(operations as Plain[]);
  if (source !== undefined) return `${source} to ${destination}`;
  if (key !== undefined) {
    const data = message["data"] as Uint8Array | undefined;
    return data === undefined ? `${key}${rangeOf(message)}` : `${key} (${formatBytes(data.length)})`;
  }
  if (uploadId !== undefined) return `upload ${uploadId}`;
  const from = startAfter === undefined || startAfter === "" ? "" : ` after ${startAfter}`;
  return prefix === undefined ? from.trim() : `below ${prefix}${from}`;
}

function rangeOf({ offset, limit }: Plain): string {
  if (offset === undefined && limit === undefined) return "";
  return limit === undefined ? ` from ${offset ?? 0}` : ` from ${offset ?? 0}, ${formatBytes(Number(limit))}`;
}

function operationsOf(operations: readonly Plain[]): string {
  const count = (what: string) => operations.filter((one) => one[what] !== undefined).length;
  const kinds = ["put", "delete", "check"].filter((what) => count(what) > 0).map((what) => `${count(what)} ${what}`);
  const [first] = operations;
  return `${kinds.join(", ")}: ${first?.["key"] ?? ""}${operations.length > 1 ? ", …" : ""}`;
}

/** What was answered. */
function toldOf(message: Plain): string {
  const { results, items, uploads, count, more } = message;
  if (Array.isArray(results)) {
    const absent = (results as Plain[]).filter((one) => "key" in one && Object.keys(one).length === 1).length;
    return absent === 0 ? "" : `${absent} of ${results.length} absent`;
  }
  const page = items ?? uploads;
  if (Array.isArray(page)) return `${page.length} items${more === true ? " and more" : ""}`;
  if (count !== undefined) return `${count}`;
  return "";
}

function listed(keys: readonly string[], what: string): string {
  return keys.length === 1 ? (keys[0] ?? "") : `${keys.length} ${what}${keys.length > 0 ? `: ${keys[0]}, …` : ""}`;
}
