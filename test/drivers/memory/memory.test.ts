import assert from "node:assert/strict";
import { test } from "node:test";
import { openMemoryDriver } from "../../../drivers/memory/index.ts";
import type { CallContext } from "../../../server/contract.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { bytes, FakeClock, failsWith, silent } from "../../server/kit.ts";

const call: CallContext = {
  signal: new AbortController().signal,
  log: silent,
  notAfterMs: undefined,
  assertInTime() {},
};

async function stores() {
  const { blob, meta } = await openMemoryDriver({ clock: new FakeClock() });
  assert(blob?.put && meta);
  return { blob, put: blob.put, meta };
}

test("[meta.etag.01] [blob.etag.01] no etag comes twice, not after deletes, not in another life", async () => {
  const seen = new Set<string>();
  for (let life = 0; life < 2; life++) {
    const { blob, put, meta } = await stores();
    for (let round = 0; round < 50; round++) {
      const [etag] = await meta.write([{ kind: "put", key: "k", value: bytes(1) }], call);
      const info = await put("k", bytes(1), undefined, call);
      for (const one of [etag, info.etag]) {
        assert(one && !seen.has(one));
        assert(one.length <= 128);
        seen.add(one);
      }
      await meta.write([{ kind: "delete", key: "k" }], call);
      await blob.delete("k", call);
    }
  }
});

test("[blob.key.03] the two stores are apart", async () => {
  const { put, meta } = await stores();
  await put("k", bytes(1), undefined, call);
  assert.deepEqual(await meta.get(["k"], call), [undefined]);
});

test("the memory driver does not claim DURABLE", async () => {
  const { blob, meta } = await stores();
  assert.deepEqual([blob.facts.capabilities, meta.facts.capabilities], [[], []]);
  assert.notEqual(blob.facts.id, meta.facts.id);
});

test("nothing takes effect past not-after, nor with a condition that fails", async () => {
  const { blob, put, meta } = await stores();
  await put("k", bytes(1), undefined, call);
  const late: CallContext = {
    ...call,
    assertInTime() {
      throw new Error("too late");
    },
  };
  await assert.rejects(put("k", bytes(2), undefined, late));
  await assert.rejects(blob.delete("k", late));
  await assert.rejects(blob.move("k", "l", late));
  await assert.rejects(meta.write([{ kind: "put", key: "m", value: bytes(1) }], late));
  await assert.rejects(blob.open("u", { create: true }, late));
  const upload = await blob.open("u", { create: true }, call);
  await upload.write(bytes(3));
  await assert.rejects(upload.commit({ key: "k", digest: "sha256:", keep: false }, late));
  const kept = { key: "k", digest: "sha256:", keep: true, condition: { ifEtag: "other" } };
  await failsWith(upload.commit(kept, call), "ETAG_MISMATCH");
  assert.equal((await blob.stat(["k"], call))[0]?.sizeBytes, 1);
  assert.equal((await blob.stat(["l"], call))[0], undefined);
  assert.equal((await blob.listUploads({ startAfter: "", limit: 10 }, call)).items.length, 1);
});

test("random writes and pages agree with a plain map", async (t) => {
  const random = randomOf(seedOf(t));
  const { meta } = await stores();
  const model = new Map<string, string>();
  const keyOf = () =>
    Array.from({ length: random.between(1, 3) }, () => random.pick(["a", "b", "-", "0", "A"])).join("/");
  for (let round = 0; round < 600; round++) {
    const key = keyOf();
    if (random.next() < 0.6) {
      const [etag] = await meta.write([{ kind: "put", key, value: bytes(1) }], call);
      model.set(key, etag ?? "");
    } else {
      await meta.write([{ kind: "delete", key }], call);
      model.delete(key);
    }
    const prefix = random.pick(["", "a", "b/", "-", "A/a"]);
    const startAfter = random.pick(["", keyOf(), "a/", "zzz"]);
    const limit = random.between(1, 5);
    const wanted = [...model].filter(([one]) => one.startsWith(prefix) && one > startAfter).sort();
    const page = await meta.list({ prefix, startAfter, limit }, call);
    assert.deepEqual(
      page.items.map((item) => [item.key, item.etag]),
      wanted.slice(0, limit).map(([one, etag]) => [one, etag]),
    );
    assert.equal(page.more, wanted.length > limit);
  }
});
