/** What a value that stays holds of memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { kept } from "../../../drivers/filesystem/values.ts";

test("small values lie side by side, large ones alone, and all are copies", () => {
  const memory = new Set<ArrayBufferLike>();
  const values: { value: Buffer; byte: number }[] = [];
  for (let index = 0; index < 10_000; index++) {
    const source = Buffer.alloc(71, index % 251);
    values.push({ value: kept(source), byte: index % 251 });
    source.fill(255);
    // Short-lived neighbours, as requests make them.
    Buffer.from("x".repeat(200));
  }
  for (const { value, byte } of values) {
    assert.equal(value.length, 71);
    assert.ok(value.every((one) => one === byte));
    memory.add(value.buffer);
  }
  const heldBytes = [...memory].reduce((sum, buffer) => sum + buffer.byteLength, 0);
  assert.ok(heldBytes < 2 * 71 * values.length, `${heldBytes} bytes are held for ${71 * values.length}`);

  const large = kept(Buffer.alloc(100_000, 7));
  assert.equal(large.buffer.byteLength, 100_000);
  assert.equal(kept(Buffer.alloc(0)).length, 0);
});
