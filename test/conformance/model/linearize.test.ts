import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Happened, isLinearizable, type State } from "../../../conformance/model/linearize.ts";

/** A register: puts always go through, reads say what they saw. */
function put(startMs: number, endMs: number, value: string): Happened {
  return { startMs, endMs, text: `put ${value}`, apply: () => ({ key: value }) };
}

function read(startMs: number, endMs: number, value: string): Happened {
  const apply = (state: State) => ((state["key"] ?? "") === value ? state : undefined);
  return { startMs, endMs, text: `read ${value}`, apply };
}

/** Needs what it replaces. */
function swap(startMs: number, endMs: number, from: string, to: string): Happened {
  const apply = (state: State) => ((state["key"] ?? "") === from ? { key: to } : undefined);
  return { startMs, endMs, text: `swap ${from} ${to}`, apply };
}

describe("isLinearizable", () => {
  it("takes a history in which each answer fits the one before", () => {
    assert.ok(isLinearizable([put(0, 1, "a"), read(2, 3, "a"), swap(4, 5, "a", "b"), read(6, 7, "b")], {}));
  });

  it("lets what overlaps happen in either order", () => {
    assert.ok(isLinearizable([put(0, 10, "a"), read(1, 2, ""), read(3, 4, "a")], {}));
    assert.ok(isLinearizable([put(0, 10, "a"), put(0, 10, "b"), read(11, 12, "a")], {}));
    assert.ok(isLinearizable([put(0, 10, "a"), put(0, 10, "b"), read(11, 12, "b")], {}));
  });

  it("does not take a read of what was replaced before it began", () => {
    assert.ok(!isLinearizable([put(0, 1, "a"), put(2, 3, "b"), read(4, 5, "a")], {}));
  });

  it("does not take two reads that see one change in different orders", () => {
    assert.ok(!isLinearizable([put(0, 10, "a"), read(1, 2, "a"), read(3, 4, "")], {}));
  });

  it("does not take two swaps that both won", () => {
    assert.ok(!isLinearizable([swap(0, 10, "", "a"), swap(0, 10, "", "b")], {}));
  });
});
