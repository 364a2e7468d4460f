import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeChunk } from "../../proto/chunk-codec.ts";
import { contract } from "../../proto/load.ts";
import { randomOf, seedOf } from "../helpers/random.ts";
import { bytes } from "./kit.ts";

test("a read's chunk is on the wire what protobufjs makes of it", (t) => {
  const random = randomOf(seedOf(t));
  const { responseSerialize } = contract().blob.service.Read;
  const offsets = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER];
  const lengths = [0, 1, 126, 127, 128, 129, 16_383, 16_384, 262_144, 1_048_576];
  const cases = offsets.flatMap((offset) => lengths.map((length) => ({ offset, length })));
  for (let round = 0; round < 2000; round++) {
    cases.push({ offset: Math.floor(random.next() * 2 ** random.between(0, 53)), length: random.between(0, 700) });
  }
  for (const { offset, length } of cases) {
    const chunk = { offset, data: bytes(length, offset % 7) };
    const wanted = responseSerialize({ part: "chunk", chunk });
    const message = encodeChunk(chunk.offset, chunk.data);
    assert.equal(message.byteLength, wanted.byteLength, `offset ${offset}, length ${length}`);
    const frame = Buffer.alloc(wanted.length + 5, 0xee);
    message.copy(frame, 5);
    assert(frame.subarray(5).equals(wanted), `offset ${offset}, length ${length}`);
    assert(frame.subarray(0, 5).equals(Buffer.alloc(5, 0xee)));
  }
});
