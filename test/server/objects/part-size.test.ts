import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { largestBlobBytes, partBytesFor } from "../../../server/objects/part-size.ts";

const MIB = 1024 * 1024;
const limits = { leastPartBytes: 5 * MIB, mostParts: 10_000 };

describe("the size of an upload's parts", () => {
  it("is large enough for every blob up to the largest", () => {
    for (const sizeBytes of [0, 1, 72_000 * MIB, 72_001 * MIB, largestBlobBytes(limits)]) {
      const partBytes = partBytesFor(limits, sizeBytes);
      assert.ok(partBytes * 9_000 >= sizeBytes, `${partBytes} for ${sizeBytes}`);
    }
  });

  it("stays what memory holds, whatever size a caller tells", () => {
    assert.equal(partBytesFor(limits, 9e12), 32 * MIB);
    assert.equal(partBytesFor(limits, 9e12, 64 * MIB), 64 * MIB);
  });
});
