import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sleep } from "../../../proto/clock.ts";
import { bytes, failsWith, sha256 } from "../kit.ts";
import { call, commit, ObjectsRig, PART, writeAll } from "./rig.ts";

const open = { create: true, sender: "a", attempt: 1 };

describe("uploads over an object store", () => {
  for (const direct of [true, false]) {
    for (const size of [0, 1, PART - 1, PART, PART + 1, 7 * PART, 7 * PART + 13]) {
      it(`puts ${size} bytes under their key, ${direct ? "direct" : "staged"}, and leaves nothing`, async () => {
        const rig = new ObjectsRig({ direct });
        const { driver } = rig.replica();
        const data = bytes(size);
        const upload = await driver.open("u", { ...open, key: "k" }, call);
        await writeAll(upload, data);
        const info = await commit(upload, "k", data, { ifAbsent: true });
        assert.deepEqual(rig.content("k"), data);
        assert.equal(info.sizeBytes, size);
        assert.equal(info.etag, (await driver.stat(["k"], call))[0]?.etag);
        assert.deepEqual(rig.left(), []);
      });
    }
  }

  it("goes on through another replica from what was flushed, byte for byte", async () => {
    const rig = new ObjectsRig();
    const data = bytes(5 * PART + 20);
    let at = 0;
    for (let turn = 1; at < data.length; turn++) {
      const { driver } = rig.replica();
      const upload = await driver.open("u", { create: turn === 1, sender: `s${turn}`, attempt: 1 }, call);
      assert.equal(upload.persistedBytes, at);
      const end = Math.min(data.length, at + 33);
      await writeAll(upload, data.subarray(at, end), 10);
      await upload.flush();
      assert.equal(upload.persistedBytes, end);
      await upload.close();
      at = end;
    }
    const { driver } = rig.replica();
    assert.equal(
      (await driver.listUploads({ uploadId: "u", startAfter: "", limit: 1 }, call)).items[0]?.persistedBytes,
      at,
    );
    const upload = await driver.open("u", { create: false, sender: "z", attempt: 1 }, call);
    await commit(upload, "k", data);
    assert.deepEqual(rig.content("k"), data);
    assert.deepEqual(rig.left(), []);
  });

  it("fences the older stream: none of its bytes count, wherever they were on their way", async () => {
    const rig = new ObjectsRig();
    const older = rig.replica();
    const newer = rig.replica();
    const data = bytes(6 * PART);
    const first = await older.driver.open("u", { ...open, key: "k" }, call);
    await writeAll(first, bytes(2 * PART + 10, 9));
    const second = await newer.driver.open("u", { create: false, sender: "b", attempt: 1, key: "k" }, call);
    const from = second.persistedBytes;
    assert.ok(from <= 2 * PART);
    await failsWith(
      (async () => {
        await first.write(bytes(3 * PART, 9));
        await first.flush();
      })(),
      "UPLOAD_FENCED",
    );
    await first.close();
    const mine = Buffer.concat([bytes(2 * PART + 10, 9).subarray(0, from), data.subarray(from)]);
    await writeAll(second, mine.subarray(from));
    await commit(second, "k", mine);
    assert.deepEqual(rig.content("k"), mine);
    rig.clock.pass(48 * 60 * 60 * 1000);
    await newer.driver.sweep();
    assert.deepEqual(rig.left(), []);
  });

  it("refuses an attempt not above the sender's highest, through any replica", async () => {
    const rig = new ObjectsRig();
    await rig.replica().driver.open("u", { create: true, sender: "a", attempt: 5 }, call);
    await failsWith(rig.replica().driver.open("u", { create: true, sender: "a", attempt: 5 }, call), "UPLOAD_FENCED");
    await rig.replica().driver.open("u", { create: true, sender: "b", attempt: 1 }, call);
  });

  it("keeps within its memory with many uploads that are all in the middle of a part", async () => {
    const rig = new ObjectsRig({}, { uploadMemoryBytes: 10 * PART });
    const { driver } = rig.replica();
    const contents = Array.from({ length: 40 }, (_, index) => bytes(3 * PART + 50 + index, index));
    await Promise.all(
      contents.map(async (data, index) => {
        const upload = await driver.open(`u${index}`, { ...open, key: `k${index}` }, call);
        await writeAll(upload, data, 9);
        await commit(upload, `k${index}`, data);
      }),
    );
    for (const [index, data] of contents.entries()) assert.deepEqual(rig.content(`k${index}`), data);
    assert.ok(driver.mostMemoryBytes <= 10 * PART, `${driver.mostMemoryBytes} bytes`);
    assert.deepEqual(rig.left(), []);
  });

  for (const died of [false, true]) {
    it(`keeps within it with what it reads back for commits, ${died ? "others'" : "its own"}`, async () => {
      const rig = new ObjectsRig({}, { uploadMemoryBytes: 2 * PART });
      const contents = Array.from({ length: 12 }, (_, index) => bytes(90, index));
      // Their processes end with the bytes in tails, before or after the commit is asked for.
      await Promise.all(
        contents.map(async (data, index) => {
          const dying = rig.replica({
            fault: ({ operation, name }) => {
              if (operation === "put" && name.startsWith("k")) dying.store.kill();
              return "pass";
            },
          });
          const upload = await dying.driver.open(`u${index}`, { ...open, key: `k${index}` }, call);
          await upload.write(data);
          await upload.flush();
          if (died) commit(upload, `k${index}`, data).catch(() => {});
          while (died && dying.store.seen.at(-1)?.name !== `k${index}`) await new Promise(setImmediate);
        }),
      );
      let inHand = 0;
      let most = 0;
      const { driver } = rig.replica({
        fault: ({ operation, name }) => {
          if (operation !== "put" || !name.startsWith("k")) return "pass";
          most = Math.max(most, ++inHand);
          return sleep(rig.clock, 100).then(() => {
            inHand--;
          });
        },
      });
      rig.clock.pass(60 * 60_000);
      if (died) await driver.listUploads({ startAfter: "", limit: 100 }, call);
      else {
        await Promise.all(
          contents.map(async (data, index) => {
            const upload = await driver.open(`u${index}`, { create: false, key: `k${index}` }, call);
            await commit(upload, `k${index}`, data);
          }),
        );
      }
      for (const [index, data] of contents.entries()) assert.deepEqual(rig.content(`k${index}`), data);
      assert.ok(most > 0 && most <= 2, `${most} at once`);
      assert.deepEqual(rig.left(), []);
    });
  }

  for (const direct of [true, false]) {
    it(`leaves the upload usable when its key is taken meanwhile, ${direct ? "direct" : "staged"}`, async () => {
      const rig = new ObjectsRig({ direct });
      const { driver } = rig.replica();
      for (const size of [40, 3 * PART + 7]) {
        const data = bytes(size);
        const upload = await driver.open("u", { ...open, key: "k" }, call);
        await writeAll(upload, data);
        await driver.put?.("k", bytes(9, 3), undefined, call);
        await failsWith(commit(upload, "k", data, { ifAbsent: true }), "KEY_EXISTS");
        assert.deepEqual(rig.content("k"), bytes(9, 3));
        await commit(upload, "k", data);
        assert.deepEqual(rig.content("k"), data);
        assert.deepEqual(rig.left(), []);
        await driver.delete("k", call);
      }
    });
  }

  it("hashes with another algorithm what it has staged", async () => {
    const rig = new ObjectsRig({ direct: false });
    const { driver } = rig.replica();
    for (const size of [40, 3 * PART + 7]) {
      const data = bytes(size);
      const upload = await driver.open("u", open, call);
      await writeAll(upload, data);
      const digest = await upload.digest?.("sha512", call);
      assert.match(digest ?? "", /^sha512:/);
      assert.equal(await upload.digest?.("sha256", call), sha256(data));
      await upload.commit({ key: "k", digest: digest ?? "", keep: false }, call);
      assert.deepEqual(rig.content("k"), data);
      assert.deepEqual(rig.left(), []);
    }
  });

  it("ends an upload without writing where the key holds its content already", async () => {
    const rig = new ObjectsRig();
    const { driver } = rig.replica();
    const data = bytes(3 * PART);
    const info = await driver.put?.("k", data, undefined, call);
    const upload = await driver.open("u", { ...open, key: "k" }, call);
    await writeAll(upload, data);
    const condition = { ifEtag: info?.etag ?? "" };
    await failsWith(
      upload.commit({ key: "k", digest: sha256(data), keep: true, condition: { ifEtag: "x" } }, call),
      "ETAG_MISMATCH",
    );
    const kept = await upload.commit({ key: "k", digest: sha256(data), keep: true, condition }, call);
    assert.equal(kept.etag, info?.etag);
    assert.deepEqual(rig.left(), []);
  });

  it("takes an aborted upload's bytes away, and fences its stream", async () => {
    const rig = new ObjectsRig();
    const { driver } = rig.replica();
    const upload = await driver.open("u", { ...open, key: "k" }, call);
    await writeAll(upload, bytes(3 * PART + 5));
    await upload.flush();
    await rig.replica().driver.abort("u", call);
    assert.deepEqual(rig.left(), []);
    await failsWith(
      (async () => {
        await upload.write(bytes(2 * PART));
        await upload.flush();
      })(),
      "UPLOAD_FENCED",
    );
    await upload.close();
    assert.deepEqual(rig.left(), []);
    await failsWith(driver.open("u", { create: false }, call), "UPLOAD_NOT_FOUND");
  });

  it("lists uploads by id, and hides everything private from List", async () => {
    const rig = new ObjectsRig();
    const { driver } = rig.replica();
    for (const id of ["b", "a-b", "a", "B", "ab"]) await driver.open(id, { create: true }, call);
    await driver.put?.("-first", bytes(1), undefined, call);
    const ids = async (startAfter: string, limit: number) =>
      (await driver.listUploads({ startAfter, limit }, call)).items.map(({ uploadId }) => uploadId);
    assert.deepEqual(await ids("", 10), ["B", "a", "a-b", "ab", "b"]);
    assert.deepEqual(await ids("a", 2), ["a-b", "ab"]);
    for (const prefix of ["", "!", "!outrigger/"]) {
      const { items, more } = await driver.list({ prefix, startAfter: "", limit: 1 }, call);
      assert.deepEqual(
        items.map(({ key }) => key),
        prefix === "" ? ["-first"] : [],
      );
      assert.equal(more, false);
    }
  });

  it("looks at many keys at once, by the listing where they lie close together", async () => {
    const rig = new ObjectsRig();
    const { driver, store } = rig.replica();
    const there = Array.from({ length: 300 }, (_, index) => `k/${(index * 7919) % 10_007}`);
    for (const key of there) await driver.put?.(key, Buffer.from(key), undefined, call);
    const close = [...there, ...there.map((key) => `${key}-absent`), "k/1", "0", "z"];
    const sparse = Array.from({ length: 60 }, (_, index) => `${String.fromCharCode(65 + (index % 26))}/${index}`);
    for (const keys of [close, sparse, close.slice(0, 5), [...sparse, ...close]]) {
      const before = store.seen.length;
      const infos = await driver.stat(keys, call);
      assert.deepEqual(
        infos.map((info) => info?.sizeBytes),
        keys.map((key) => (there.includes(key) ? key.length : undefined)),
      );
      assert.ok(store.seen.length - before < 60, `${store.seen.length - before} requests`);
    }
  });

  it("tells how long an upload was idle, whichever replica is asked", async () => {
    const rig = new ObjectsRig();
    await rig.replica().driver.open("u", open, call);
    rig.clock.pass(5000);
    const [facts] = (await rig.replica().driver.listUploads({ startAfter: "", limit: 5 }, call)).items;
    assert.equal(facts?.idleMs, 5000);
  });
});
