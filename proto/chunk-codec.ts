/**
 * The two messages that carry bytes, AppendRequest{chunk} and ReadResponse{chunk}, written by hand, and a Read's chunk read
 * by hand: one copy of the data instead of two. On the wire they are what protobufjs makes of them (fuzzed in
 * test/client/codec.test.ts and test/server/codec.test.ts); everything else about these messages is left to it.
 */
import type { ReadResponse } from "./gen/outrigger/blob/v1/ReadResponse.ts";

/**
 * grpc-js asks a serialized message for its length and for one copy of it behind the frame's header, and for nothing
 * else (1.14.7): so the data is copied there straight from where it is held.
 */
type SelfCopying = Pick<Buffer, "byteLength" | "length" | "copy">;

/** In both messages chunk is field 2; in both chunks offset is field 1 and data is field 2. */
export function encodeChunk(offset: number, data: Uint8Array): Buffer {
  const inner = 1 + varintLength(offset) + 1 + varintLength(data.length) + data.length;
  const byteLength = 1 + varintLength(inner) + inner;
  const message: SelfCopying = {
    byteLength,
    length: byteLength,
    copy(target, start = 0) {
      let at = start;
      target[at++] = 0x12;
      at = writeVarint(target, at, inner);
      target[at++] = 0x08;
      at = writeVarint(target, at, offset);
      target[at++] = 0x12;
      at = writeVarint(target, at, data.length);
      target.set(data, at);
      return byteLength;
    },
  };
  return message as Buffer;
}

/**
 * ReadResponse{chunk{offset, data}} in the one form that writers use: offset (absent where 0), then data. `undefined`:
 * the message is another, or has another form. `data` shares the message's memory.
 */
export function decodeReadChunk(message: Buffer): ReadResponse | undefined {
  if (message[0] !== 0x12) return undefined;
  const inner = readVarint(message, 1);
  if (inner === undefined || inner.next + inner.value !== message.length) return undefined;
  let at = inner.next;
  let offset = 0;
  if (message[at] === 0x08) {
    const read = readVarint(message, at + 1);
    if (read === undefined) return undefined;
    offset = read.value;
    at = read.next;
  }
  if (message[at] !== 0x12) return undefined;
  const length = readVarint(message, at + 1);
  if (length === undefined || length.next + length.value !== message.length) return undefined;
  return { part: "chunk", chunk: { offset, data: message.subarray(length.next) } };
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

function writeVarint(into: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) into[at++] = (rest % 0x80) | 0x80;
  into[at++] = rest;
  return at;
}

/** Below 2^53; `undefined` for anything larger, or cut off. */
function readVarint(from: Buffer, start: number): { value: number; next: number } | undefined {
  let value = 0;
  let scale = 1;
  for (let at = start; at < start + 8; at++) {
    const byte = from[at];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return Number.isSafeInteger(value) ? { value, next: at + 1 } : undefined;
    scale *= 0x80;
  }
  return undefined;
}
