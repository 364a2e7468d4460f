import assert from "node:assert/strict";
import { test } from "node:test";
import type { OperationInput } from "../../proto/gen/outrigger/meta/v1/Operation.ts";
import { limits } from "../../proto/limits.ts";
import { bytes, failsWith, rig } from "./kit.ts";

const put = (key: string, size = 1): OperationInput => ({ key, put: bytes(size) });

test("[meta.key.01] bad keys are refused before any effect, also behind good ones", async () => {
  const { unary } = await rig();
  for (const key of ["", "/", "a/", "/a", "a//b", ".", "a/..", "a b", "ä", "x".repeat(256), "a/".repeat(600)]) {
    await failsWith(unary("meta.Get", { keys: ["ok", key] }), "INVALID_KEY");
    await failsWith(unary("meta.Write", { operations: [put("ok"), put(key)] }), "INVALID_KEY");
  }
  assert.deepEqual((await unary("meta.List", {})).items, []);
});

test("[meta.get.01] [meta.get.02] [meta.get.04] every key is in results or unread, in order, below 4 MiB", async () => {
  const { unary } = await rig();
  const keys = Array.from({ length: 30 }, (_, index) => `k${String(index).padStart(2, "0")}`);
  for (const key of keys) await unary("meta.Write", { operations: [put(key, limits.valueBytes)] });
  const asked = [...keys].reverse().flatMap((key) => [key, `${key}-absent`]);
  const seen: string[] = [];
  for (let rest: readonly string[] = asked; rest.length > 0; ) {
    const { results, unread } = await unary("meta.Get", { keys: [...rest] });
    assert(results.length > 0);
    const size = results.reduce((sum, { item }) => sum + (item?.value.length ?? 0), 0);
    assert(size < limits.messageBytes);
    assert.deepEqual([...results.map(({ key }) => key), ...unread], rest);
    for (const { key, item } of results) assert.equal((item ?? undefined) === undefined, key.endsWith("absent"));
    seen.push(...results.map(({ key }) => key));
    rest = unread;
  }
  assert.deepEqual(seen, asked);
  await failsWith(unary("meta.Get", { keys: Array.from({ length: 101 }, () => "a") }), "INVALID_FIELD", "keys");
  assert.deepEqual(await unary("meta.Get", { keys: [] }), { results: [], unread: [] });
});

test("[meta.get.01] what a driver could not read at one moment is unread; none, or more than were asked, is its fault", async () => {
  const answering = (count: (asked: number) => number) =>
    rig({
      wrap: (driver) => {
        const { meta } = driver;
        assert(meta);
        const get: typeof meta.get = async (keys) => Array.from({ length: count(keys.length) }, () => undefined);
        return { ...driver, meta: { ...meta, get } };
      },
    });
  const half = await answering((asked) => asked / 2);
  assert.deepEqual(await half.unary("meta.Get", { keys: ["a", "b", "c", "d"] }), {
    results: [{ key: "a" }, { key: "b" }],
    unread: ["c", "d"],
  });
  for (const wrong of [0, 5]) {
    await failsWith((await answering(() => wrong)).unary("meta.Get", { keys: ["a", "b"] }), "INTERNAL");
  }
});

test("[meta.list.01] to [meta.list.05] pages are ascending, complete and below 4 MiB", async () => {
  const { unary } = await rig();
  const keys = ["a", "a-b", "a.b", "a/b", "a0", "b/1", "b/10", "b/2", "c"].sort();
  for (const key of keys) await unary("meta.Write", { operations: [put(key)] });
  for (const limit of [1, 2, 3, 1000, 0]) {
    for (const prefix of ["", "a", "b/", "b/1", "zz", "a\x01", " "]) {
      const found: string[] = [];
      let startAfter = "";
      for (let more = true; more; ) {
        const page = await unary("meta.List", { prefix, startAfter, limit });
        assert(limit === 0 || page.items.length <= limit);
        assert(!page.more || page.items.length > 0, "an empty page says more");
        found.push(...page.items.map(({ key }) => key));
        startAfter = found.at(-1) ?? "";
        more = page.more;
      }
      assert.deepEqual(
        found,
        keys.filter((key) => key.startsWith(prefix)),
        `prefix ${prefix}, limit ${limit}`,
      );
    }
  }
  assert.deepEqual((await unary("meta.List", { prefix: "a", startAfter: "zz" })).items, []);
  await failsWith(unary("meta.List", { limit: 1001 }), "INVALID_FIELD", "limit");
  await failsWith(unary("meta.List", { prefix: "ä" }), "INVALID_FIELD", "prefix");
  await failsWith(unary("meta.List", { startAfter: "ä" }), "INVALID_FIELD", "start_after");
  for (let index = 0; index < 20; index++) {
    await unary("meta.Write", { operations: [put(`large/${index}`, limits.valueBytes)] });
  }
  const page = await unary("meta.List", { prefix: "large/" });
  assert(page.more && page.items.length < 17 && page.items.length > 10);
});

test("[meta.count.01] counts by listing where the driver has nothing faster", async () => {
  const { unary } = await rig();
  for (let at = 0; at < 2500; at += 100) {
    await unary("meta.Write", { operations: Array.from({ length: 100 }, (_, index) => put(`n/${at + index}`)) });
  }
  assert.deepEqual(await unary("meta.Count", { prefix: "n/" }), { count: 2500, exact: true });
  assert.deepEqual(await unary("meta.Count", { prefix: "m" }), { count: 0, exact: true });
});

test("[meta.write.01] [meta.write.02] all or none; the first condition that fails is named", async () => {
  const { unary } = await rig();
  const [first] = (await unary("meta.Write", { operations: [put("a")] })).results;
  const failing = unary("meta.Write", {
    operations: [put("b"), { key: "a", delete: {}, ifAbsent: {} }, { key: "c", check: {}, ifPresent: {} }],
  });
  assert.equal((await failsWith(failing, "CONDITION_FAILED")).metadata["index"], "1");
  assert.deepEqual(
    (await unary("meta.List", {})).items.map(({ key }) => key),
    ["a"],
  );
  const { results } = await unary("meta.Write", {
    operations: [
      { key: "a", put: bytes(2), ifEtag: first?.etag ?? "" },
      { key: "b", put: bytes(2), ifAbsent: {} },
      { key: "x", check: {}, ifAbsent: {} },
      { key: "gone", delete: {} },
    ],
  });
  assert.deepEqual(
    results.map(({ key, etag }) => [key, etag !== ""]),
    [
      ["a", true],
      ["b", true],
      ["x", false],
      ["gone", false],
    ],
  );
});

test("[meta.write.06] a check answers the etag it saw", async () => {
  const { unary } = await rig();
  const [wrote] = (await unary("meta.Write", { operations: [put("a")] })).results;
  const { results } = await unary("meta.Write", { operations: [{ key: "a", check: {}, ifPresent: {} }, put("b")] });
  assert.equal(results[0]?.etag, wrote?.etag);
});

test("[meta.write.05] what a Write may not hold", async () => {
  const { unary } = await rig();
  const write = (operations: OperationInput[]) => unary("meta.Write", { operations });
  await failsWith(write([]), "INVALID_FIELD", "operations");
  await failsWith(write(Array.from({ length: 101 }, (_, index) => put(`k${index}`))), "INVALID_FIELD", "operations");
  await failsWith(
    write(Array.from({ length: 15 }, (_, index) => put(`k${index}`, limits.valueBytes))),
    "INVALID_FIELD",
    "operations",
  );
  await failsWith(write([put("k", limits.valueBytes + 1)]), "INVALID_FIELD", "operations[0].put");
  await failsWith(write([put("a"), put("b"), put("a")]), "INVALID_FIELD", "operations[2].key");
  await failsWith(write([{ key: "a" }]), "INVALID_FIELD", "operations[0].action");
  await failsWith(write([{ key: "a", check: {} }]), "INVALID_FIELD", "operations[0].condition");
  await failsWith(write([{ key: "a", delete: {}, ifEtag: "" }]), "INVALID_FIELD", "operations[0].if_etag");
  await write([put("k", limits.valueBytes), { key: "empty", put: Buffer.alloc(0) }]);
  assert.equal((await unary("meta.Get", { keys: ["empty"] })).results[0]?.item?.value.length, 0);
});
