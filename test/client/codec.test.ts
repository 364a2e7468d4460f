/** The hand-written messages are, byte for byte, what protobufjs writes and reads. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeReadChunk, encodeChunk } from "../../proto/chunk-codec.ts";
import { contract } from "../../proto/load.ts";
import { newSeed, randomOf } from "../helpers/random.ts";

const { Append, Read } = contract().blob.service;
const writeAppend = Append.requestSerialize as unknown as (message: object) => Buffer;
const writeRead = Read.responseSerialize as unknown as (message: object) => Buffer;
const readRead = Read.responseDeserialize as unknown as (bytes: Buffer) => object;

function offsets(random: () => number): number {
  const bits = Math.floor(random() * 54);
  return Math.floor(random() * 2 ** bits);
}

/** As grpc-js takes it: behind the five bytes of a frame's header. */
function taken(message: Buffer): Buffer {
  const frame = Buffer.alloc(message.length + 5, 0xee);
  assert.equal(message.copy(frame, 5), message.length);
  assert(frame.subarray(0, 5).equals(Buffer.alloc(5, 0xee)));
  return frame.subarray(5);
}

describe("codec", () => {
  const seed = newSeed();
  const random = randomOf(seed).next;
  it(`writes chunks as protobufjs does (seed ${seed})`, () => {
    for (const [offset, length] of [
      [0, 0],
      [0, 1],
      [127, 128],
      [128, 127],
      [2 ** 53 - 1, 3],
      [2 ** 32, 1 << 20],
    ] as const)
      assert.deepEqual(
        taken(encodeChunk(offset, Buffer.alloc(length, 7))),
        writeAppend({ chunk: { offset, data: Buffer.alloc(length, 7) } }),
      );
    for (let i = 0; i < 3_000; i++) {
      const offset = offsets(random);
      const data = Buffer.alloc(Math.floor(random() * 40_000 * random() ** 4), i);
      assert.deepEqual(taken(encodeChunk(offset, data)), writeAppend({ chunk: { offset, data } }));
    }
  });

  it(`reads chunks as protobufjs does (seed ${seed})`, () => {
    for (let i = 0; i < 3_000; i++) {
      const data = Buffer.alloc(1 + Math.floor(random() * 40_000 * random() ** 4), i);
      const bytes = writeRead({ chunk: { offset: offsets(random), data } });
      const decoded = decodeReadChunk(bytes);
      assert.deepEqual(decoded, readRead(bytes));
      assert.equal(decoded?.chunk?.data.buffer, bytes.buffer, "shares the message's memory");
    }
  });

  it(`never reads damaged bytes otherwise than protobufjs (seed ${seed})`, () => {
    let taken = 0;
    for (let i = 0; i < 20_000; i++) {
      const bytes = Buffer.from(
        writeRead({ chunk: { offset: offsets(random), data: Buffer.alloc(Math.floor(random() * 300), 3) } }),
      );
      for (let n = Math.floor(random() * 4); n >= 0; n--)
        bytes[Math.floor(random() * Math.min(bytes.length, 16))] = Math.floor(random() * 256);
      const cut = random() < 0.3 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes;
      const decoded = decodeReadChunk(cut);
      if (decoded === undefined) continue;
      taken++;
      assert.deepEqual(decoded, readRead(cut));
    }
    assert.ok(taken > 1_000, `${taken} damaged messages were still readable`);
  });

  it("leaves start to protobufjs", () => {
    const bytes = writeRead({ start: { info: { key: "k", size: 3, etag: "e" }, start: 0, length: 3 } });
    assert.equal(decodeReadChunk(bytes), undefined);
  });
});
