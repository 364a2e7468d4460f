/**
 * The message that carries a read's bytes, written by hand: on the wire it is what protobufjs makes of it (fuzzed in
 * test/server/codec.test.ts), for one copy of the data instead of two. Requests are left to protobufjs: its decoder
 * copies nothing, and a decoder by hand measured no better.
 */
import type { ReadResponse } from "../proto/gen/outrigger/blob/v1/ReadResponse.ts";

/**
 * grpc-js asks a serialized message for its length and for one copy of it behind the frame's header, and for nothing
 * else (1.14.7): so the data is copied there straight from where the driver has it.
 */
type SelfCopying = Pick<Buffer, "byteLength" | "length" | "copy">;

/** ReadResponse{chunk{offset, data}}: chunk is field 2 of ReadResponse; offset is 1 and data is 2 of ReadChunk. */
export function encodeReadChunk({ offset, data }: NonNullable<ReadResponse["chunk"]>): Buffer {
  const inner = 2 + varintLength(offset) + varintLength(data.length) + data.length;
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
