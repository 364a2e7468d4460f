/** What the contract asks of both stores, on the simulated disk and on a real one. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import test, { describe, type TestContext } from "node:test";
import { initFilesystem, openFilesystemDriver } from "../../../drivers/filesystem/index.ts";
import { fault, type SimDisk } from "../../helpers/sim-disk.ts";
import {
  BLOB,
  bytesOf,
  call,
  digestOf,
  type OpenOptions,
  openSim,
  put,
  quiet,
  remove,
  type Stores,
  simDisk,
  storesOf,
  TAG,
  tempRoot,
  textOf,
} from "./kit.ts";

interface Place {
  open(options?: OpenOptions): Promise<Stores>;
  outside: {
    write(file: string, text: string): void;
    read(file: string): string | undefined;
    remove(file: string): void;
  };
}

const places: Record<string, (t: TestContext) => Promise<Place>> = {
  "simulated disk": async () => simPlace(simDisk(7)),
  "real disk": async (t) => {
    const root = tempRoot(t);
    let last: Stores | undefined;
    t.after(() => last?.driver.close());
    return {
      async open(options = {}) {
        await last?.driver.close();
        await initFilesystem({ root }, { log: quiet });
        last = storesOf(await openFilesystemDriver({ root, ...options }, { log: quiet }));
        return last;
      },
      outside: {
        write(file, text) {
          mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
          writeFileSync(path.join(root, file), text);
        },
        read(file) {
          try {
            return readFileSync(path.join(root, file), "utf8");
          } catch {
            return undefined;
          }
        },
        remove: (file) => rmSync(path.join(root, file)),
      },
    };
  },
};

function simPlace(disk: SimDisk): Place {
  let last: Stores | undefined;
  return {
    async open(options) {
      await last?.driver.close();
      last = await openSim(disk, options);
      return last;
    },
    outside: {
      write: (file, text) => disk.outside.write(file, text),
      read: (file) => disk.outside.read(file)?.toString(),
      remove: (file) => disk.outside.remove(file),
    },
  };
}

async function listAll(stores: Stores, prefix: string, limit: number): Promise<string[]> {
  const keys: string[] = [];
  for (let startAfter = ""; ; ) {
    const page = await stores.blob.list({ prefix, startAfter, limit }, call());
    assert.ok(page.items.length > 0 || !page.more, "an empty page never says more");
    assert.ok(page.items.length <= limit);
    for (const { key } of page.items) keys.push(key);
    if (!page.more) return keys;
    startAfter = keys[keys.length - 1] ?? "";
  }
}

for (const [name, make] of Object.entries(places)) {
  describe(name, () => {
    test("keys of both kinds are listed in bytewise order, on pages of any size, from any start", async (t) => {
      const stores = await (await make(t)).open();
      const keys = [
        "a",
        "docker/registry/v2/blobs/sha256/00/00ff/data",
        "docker/registry/v2/blobs/sha256/a-b/x",
        "docker/registry/v2/blobs/sha256/a/x",
        "docker/registry/v2/blobs/sha256/a.c/x",
        "docker/registry/v2/blobsx",
        "docker/registry/v2/aa",
        "z/1.0-alpine/x",
        "z/1.0.1",
        "z/1.0/x",
        "z/10",
      ];
      for (const key of keys) await stores.blob.put(key, Buffer.from(key), undefined, call());
      keys.sort();
      for (const limit of [1, 2, 3, 100]) assert.deepEqual(await listAll(stores, "", limit), keys);
      for (const prefix of [
        "z/1.0",
        "docker/registry/v2/blobs",
        "docker/registry/v2/blobs/sha256/a/",
        "q",
        "a",
        "z/",
      ]) {
        assert.deepEqual(
          await listAll(stores, prefix, 2),
          keys.filter((key) => key.startsWith(prefix)),
          prefix,
        );
        assert.deepEqual(await stores.blob.count(prefix, call()), {
          count: keys.filter((key) => key.startsWith(prefix)).length,
          exact: true,
        });
      }
      // A blob on the move may be met twice: such a count says so.
      const one = "z/10";
      const counting = stores.blob.count("", call());
      await stores.blob.move(one, "z/11", call());
      assert.equal((await counting).exact, false);
      await stores.blob.move("z/11", one, call());
      for (const startAfter of [
        "z/1.0",
        "z/1.0-",
        "z/1.0/",
        "docker/registry/v2/blobs/sha256/a/w",
        "~",
        "docker",
        "a",
      ]) {
        const { items } = await stores.blob.list({ prefix: "", startAfter, limit: 1000 }, call());
        assert.deepEqual(
          items.map(({ key }) => key),
          keys.filter((key) => key > startAfter),
          startAfter,
        );
      }
    });

    test("a blob is where distribution looks for it, and nothing is left once it is deleted", async (t) => {
      const place = await make(t);
      const { blob } = await place.open();
      await blob.put(BLOB("abcd"), Buffer.from("bytes"), undefined, call());
      assert.equal(place.outside.read(BLOB("abcd")), "bytes");
      await blob.put(BLOB("abef"), Buffer.alloc(0), undefined, call());
      assert.equal((await blob.stat([BLOB("abef")], call()))[0]?.sizeBytes, 0);
      assert.equal((await bytesOf(blob, BLOB("abef"))).length, 0);
      await blob.delete(BLOB("abcd"), call());
      await blob.delete(BLOB("abcd"), call());
      assert.deepEqual(await blob.stat([BLOB("abcd")], call()), [undefined]);
      await assert.rejects(bytesOf(blob, BLOB("abcd")), { reason: "KEY_NOT_FOUND" });
      assert.equal((await blob.stat([BLOB("abef")], call()))[0]?.key, BLOB("abef"));
    });

    test("conditions of a put and of a commit, and etags that are never used again", async (t) => {
      const place = await make(t);
      let { blob } = await place.open();
      const key = "k";
      const etags = new Set<string>();
      for (let n = 0; n < 5; n++) {
        const { etag } = await blob.put(key, Buffer.from("same"), undefined, call());
        assert.ok(!etags.has(etag), "a new etag for each content");
        etags.add(etag);
        if (n === 2) await blob.delete(key, call());
        if (n === 3) ({ blob } = await place.open());
      }
      const [now] = await blob.stat([key], call());
      await assert.rejects(blob.put(key, Buffer.from("x"), { ifAbsent: true }, call()), { reason: "KEY_EXISTS" });
      await assert.rejects(blob.put(key, Buffer.from("x"), { ifEtag: "other" }, call()), { reason: "ETAG_MISMATCH" });
      await assert.rejects(blob.put("absent/x", Buffer.from("x"), { ifEtag: "other" }, call()), {
        reason: "ETAG_MISMATCH",
      });
      assert.equal((await bytesOf(blob, key)).toString(), "same");
      await blob.put(key, Buffer.from("next"), { ifEtag: now?.etag ?? "" }, call());
      const race = await Promise.allSettled(
        Array.from({ length: 8 }, (_, n) => blob.put("race/x", Buffer.from([n]), { ifAbsent: true }, call())),
      );
      assert.equal(race.filter(({ status }) => status === "fulfilled").length, 1, "exactly one succeeds");
      const upload = await blob.open("up", { create: true }, call());
      await upload.write(Buffer.from("other"));
      await assert.rejects(upload.commit({ key, digest: "", keep: false, condition: { ifAbsent: true } }, call()), {
        reason: "KEY_EXISTS",
      });
      await upload.close();
      assert.equal((await blob.listUploads({ startAfter: "", limit: 9 }, call())).items[0]?.uploadId, "up");
      // What was not flushed may be lost; the upload itself stays.
      const again = await blob.open("up", { create: false }, call());
      assert.ok([0, 5].includes(again.persistedBytes), `${again.persistedBytes} bytes`);
      const kept = await again.commit({ key, digest: "", keep: true }, call());
      assert.equal(kept.etag, (await blob.stat([key], call()))[0]?.etag);
      assert.deepEqual((await blob.listUploads({ startAfter: "", limit: 9 }, call())).items, []);
    });

    test("a call that wakes up past its time changes nothing", async (t) => {
      const { blob, meta } = await (await make(t)).open();
      const late = call({
        assertInTime() {
          throw new RangeError("too late");
        },
      });
      await blob.put("k", Buffer.from("1"), undefined, call());
      await assert.rejects(blob.put("k", Buffer.from("2"), undefined, late), { message: /too late/ });
      await assert.rejects(blob.put("new/k", Buffer.from("2"), undefined, late), { message: /too late/ });
      await assert.rejects(blob.delete("k", late), { message: /too late/ });
      await assert.rejects(blob.move("k", "l", late), { message: /too late/ });
      await assert.rejects(meta.write([put("outrigger/k", "1")], late), { message: /too late/ });
      assert.equal((await bytesOf(blob, "k")).toString(), "1");
      assert.deepEqual(await listAll({ blob, meta } as Stores, "", 10), ["k"]);
      assert.equal(await textOf(meta, "outrigger/k"), undefined);
    });

    test("a blob that is read stays as it was, also when it is overwritten or deleted", async (t) => {
      const { blob } = await (await make(t)).open();
      const first = Buffer.alloc(700_000, 1);
      await blob.put("k", first, undefined, call());
      const opened = await blob.read("k", { offsetBytes: 3, limitBytes: 600_000 }, call());
      assert.equal(opened.lengthBytes, 600_000);
      await blob.put("k", Buffer.alloc(10, 2), undefined, call());
      await blob.delete("k", call());
      let bytes = 0;
      for await (const piece of opened.body) {
        assert.ok(piece.byteLength <= 1024 * 1024 && piece.every((byte) => byte === 1));
        bytes += piece.byteLength;
      }
      assert.equal(bytes, 600_000);
      await blob.put("k", Buffer.alloc(10, 2), undefined, call());
      assert.equal(
        (
          await blob.read("k", { offsetBytes: 10 }, call()).then(async (empty) => {
            await empty.cancel();
            return empty;
          })
        ).lengthBytes,
        0,
      );
      await assert.rejects(blob.read("k", { offsetBytes: 11 }, call()), { reason: "OFFSET_MISMATCH" });
      await assert.rejects(blob.read("k", { offsetBytes: 0, ifEtag: "x" }, call()), { reason: "ETAG_MISMATCH" });
    });

    test("keys that are path-prefixes of others are refused, and change nothing", async (t) => {
      const { blob, meta } = await (await make(t)).open();
      await blob.put("a/b", Buffer.from("1"), undefined, call());
      await assert.rejects(blob.put("a", Buffer.from("1"), undefined, call()), { reason: "KEY_CONFLICT" });
      await assert.rejects(blob.put("a/b/c", Buffer.from("1"), undefined, call()), { reason: "KEY_CONFLICT" });
      assert.deepEqual(await blob.stat(["a", "a/b/c"], call()), [undefined, undefined]);
      await blob.delete("a", call());
      await blob.delete("a/b/c", call());
      assert.equal((await bytesOf(blob, "a/b")).toString(), "1");
      const link = TAG("x", "1");
      await meta.write([put(link, "1")], call());
      await assert.rejects(meta.write([put(`${link}/y/link`, "1")], call()), { reason: "KEY_CONFLICT" });
      await assert.rejects(
        meta.write(
          [put("docker/registry/v2/repositories/y/link", "1"), put("docker/registry/v2/repositories/y/link/link", "1")],
          call(),
        ),
        {
          reason: "KEY_CONFLICT",
        },
      );
      assert.equal((await meta.count("", call())).count, 1);
    });

    test("an upload persists by steps, resumes where it was persisted, and ends", async (t) => {
      const place = await make(t);
      let { blob } = await place.open({ persistStepBytes: 1000 });
      await assert.rejects(blob.open("u", { create: false }, call()), { reason: "UPLOAD_NOT_FOUND" });
      let upload = await blob.open("u", { create: true }, call());
      let sent = 0;
      for (let n = 0; n < 20; n++) {
        await upload.write(Buffer.alloc(300, n));
        sent += 300;
        assert.ok(sent - upload.persistedBytes <= 1000, `${sent} sent, ${upload.persistedBytes} persisted`);
      }
      const persisted = upload.persistedBytes;
      ({ blob } = await place.open({ persistStepBytes: 1000 }));
      upload = await blob.open("u", { create: false }, call());
      assert.ok(upload.persistedBytes >= persisted);
      const from = upload.persistedBytes;
      await upload.write(Buffer.alloc(6500 - from, 9));
      await upload.flush();
      assert.equal(upload.persistedBytes, 6500);
      const [facts] = (await blob.listUploads({ startAfter: "", limit: 10, uploadId: "u" }, call())).items;
      assert.equal(facts?.persistedBytes, 6500);
      assert.ok((facts?.idleMs ?? -1) >= 0);
      let at = 0;
      for await (const piece of upload.read(call())) {
        for (const byte of piece) assert.equal(byte, at++ < from ? Math.floor((at - 1) / 300) : 9);
      }
      assert.equal(at, 6500);
      const info = await upload.commit({ key: BLOB("abcd"), digest: digestOf("7"), keep: false }, call());
      assert.equal(info.sizeBytes, 6500);
      assert.deepEqual(info.digests, [digestOf("7")]);
      await assert.rejects(blob.open("u", { create: false }, call()), { reason: "UPLOAD_NOT_FOUND" });
      const aborted = await blob.open("v", { create: true }, call());
      await aborted.write(Buffer.alloc(10));
      await aborted.flush();
      await blob.abort("v", call());
      await blob.abort("v", call());
      assert.deepEqual((await blob.listUploads({ startAfter: "", limit: 10 }, call())).items, []);
    });

    test("a move takes the place of what was there", async (t) => {
      const { blob } = await (await make(t)).open();
      await assert.rejects(blob.move("a", "b", call()), { reason: "KEY_NOT_FOUND" });
      await blob.put("a/x", Buffer.from("1"), undefined, call());
      await blob.put("b/x", Buffer.from("2"), undefined, call());
      const same = await blob.move("a/x", "a/x", call());
      assert.equal(same.etag, (await blob.stat(["a/x"], call()))[0]?.etag);
      await blob.move("a/x", "b/x", call());
      assert.deepEqual(await blob.stat(["a/x"], call()), [undefined]);
      assert.equal((await bytesOf(blob, "b/x")).toString(), "1");
    });

    test("commits and deletes of neighbours leave each other alone", async (t) => {
      const { blob } = await (await make(t)).open();
      await Promise.all(
        Array.from({ length: 40 }, async (_, n) => {
          const key = `docker/registry/v2/blobs/sha256/ab/ab${n % 4}/data${n}`;
          await blob.put(key, Buffer.from(String(n)), undefined, call());
          if (n % 3 !== 0) await blob.delete(key, call());
        }),
      );
      const { items } = await blob.list({ prefix: "", startAfter: "", limit: 100 }, call());
      assert.equal(items.length, 14);
    });

    test("a Write is all or none, sees the one before it, and is read as one", async (t) => {
      const place = await make(t);
      let { meta } = await place.open();
      const link = TAG("a", "1");
      const [etag] = await meta.write([put(link, digestOf("1"), { ifAbsent: true }), put("outrigger/n", "1")], call());
      assert.equal(place.outside.read(link), digestOf("1"), "distribution sees it");
      await assert.rejects(meta.write([put("outrigger/n", "2"), put(link, digestOf("2"), { ifEtag: "x" })], call()), {
        reason: "CONDITION_FAILED",
        metadata: { index: "1" },
      });
      assert.equal(await textOf(meta, "outrigger/n"), "1");
      const answers = await meta.write(
        [
          { kind: "check", key: link, condition: { ifEtag: etag ?? "" } },
          { kind: "check", key: "outrigger/none", condition: { ifAbsent: true } },
          remove("outrigger/n"),
          put("outrigger/m", "3", { ifAbsent: true }),
        ],
        call(),
      );
      assert.deepEqual(answers.slice(0, 3), [etag, "", ""]);
      // Many at once share a sync, and each sees those before it.
      const counts = await Promise.allSettled(
        Array.from({ length: 20 }, () => meta.write([put("outrigger/once", "x", { ifAbsent: true })], call())),
      );
      assert.equal(counts.filter(({ status }) => status === "fulfilled").length, 1);
      ({ meta } = await place.open());
      assert.equal(meta.facts.outside, 0);
      assert.equal(await textOf(meta, "outrigger/m"), "3");
      const [item] = await meta.get([link], call());
      assert.equal(item?.etag, etag);
      const page = await meta.list({ prefix: "outrigger/", startAfter: "outrigger/m", limit: 10 }, call());
      assert.deepEqual(page, {
        items: page.items,
        more: false,
      });
      assert.deepEqual(
        page.items.map(({ key }) => key),
        ["outrigger/once"],
      );
      await meta.write([remove(link)], call());
      assert.equal(place.outside.read(link), undefined);
      const [again] = await meta.write([put(link, digestOf("1"))], call());
      assert.notEqual(again, etag, "never an etag twice, also after a delete");
    });

    test("a root of distribution is adopted, and what others change is noticed", async (t) => {
      const place = await make(t);
      const link = TAG("library/alpine", "3.20");
      place.outside.write(link, digestOf("1"));
      place.outside.write(BLOB("abcd"), "manifest");
      place.outside.write("docker/registry/v2/repositories/library/alpine/_uploads/u/data", "junk");
      let { blob, meta } = await place.open();
      assert.equal(meta.facts.outside, 1);
      assert.equal(await textOf(meta, link), digestOf("1"));
      assert.equal((await bytesOf(blob, BLOB("abcd"))).toString(), "manifest");
      const { blob: blobId, meta: metaId } = { blob: blob.facts.id, meta: meta.facts.id };
      const before = (await meta.get([link], call()))[0]?.etag;
      await meta.write([put(TAG("b", "1"), digestOf("b")), put(TAG("c", "1"), digestOf("c"))], call());
      ({ blob, meta } = await place.open());
      assert.equal(meta.facts.outside, 1, "what we wrote ourselves is known");
      assert.deepEqual([blob.facts.id, meta.facts.id], [blobId, metaId]);
      const { driver } = await place.open();
      await driver.close();
      place.outside.write(link, digestOf("2"));
      place.outside.remove(TAG("b", "1"));
      place.outside.write(TAG("d", "1"), digestOf("d"));
      ({ blob, meta } = await place.open());
      assert.equal(meta.facts.outside, 2);
      const values = [];
      for (const key of [link, TAG("b", "1"), TAG("c", "1"), TAG("d", "1")]) values.push(await textOf(meta, key));
      assert.deepEqual(values, [digestOf("2"), undefined, digestOf("c"), digestOf("d")]);
      assert.notEqual((await meta.get([link], call()))[0]?.etag, before);
      ({ meta } = await place.open());
      assert.equal(meta.facts.outside, 2, "noticed once");
    });

    test("a nonce is written where it is said to be", async (t) => {
      const place = await make(t);
      const { blob } = await place.open();
      const nonce = "0123456789abcdef".repeat(2);
      const located = await blob.locateFile({ nonce }, call());
      assert.equal(place.outside.read(located.path), nonce);
      await blob.put("k", Buffer.from("xyz"), undefined, call());
      const file = await blob.locateFile({ key: "k" }, call());
      assert.deepEqual([file.sizeBytes, place.outside.read(file.path)], [3, "xyz"]);
      await assert.rejects(blob.locateFile({ key: "absent" }, call()), { reason: "KEY_NOT_FOUND" });
      await place.open();
      assert.equal(place.outside.read(located.path), undefined);
    });
  });
}

describe("failures of the disk", () => {
  test("a full disk refuses a Write and a blob, loses nothing, and works again with room", async () => {
    const disk = simDisk(3);
    const { blob, meta } = await openSim(disk, { persistStepBytes: 100 });
    const [etag = ""] = await meta.write([put("outrigger/a", "1")], call());
    await blob.put("k", Buffer.from("1"), undefined, call());
    const upload = await blob.open("u", { create: true }, call());
    await upload.write(Buffer.alloc(100, 1));
    await upload.flush();
    disk.freeBytes = 20;
    await assert.rejects(meta.write([put("outrigger/a", "2".repeat(100))], call()), { reason: "QUOTA" });
    await assert.rejects(blob.put("k", Buffer.alloc(100), undefined, call()), { reason: "QUOTA" });
    await assert.rejects(
      (async () => {
        await upload.write(Buffer.alloc(100, 2));
        await upload.flush();
      })(),
      { reason: "QUOTA" },
    );
    await upload.close();
    assert.equal(disk.outside.read("outrigger/uploads/u")?.length, 100, "the room of the failed step is given back");
    assert.equal(await textOf(meta, "outrigger/a"), "1");
    assert.equal((await bytesOf(blob, "k")).toString(), "1");
    disk.freeBytes = 1e6;
    await meta.write([put("outrigger/a", "2", { ifEtag: etag })], call());
    await blob.put("k", Buffer.from("2"), undefined, call());
    const again = await blob.open("u", { create: false }, call());
    assert.equal(again.persistedBytes, 100);
    disk.crash("power");
    const last = await openSim(disk);
    assert.equal(await textOf(last.meta, "outrigger/a"), "2");
    assert.equal((await bytesOf(last.blob, "k")).toString(), "2");
  });

  test("a sync of the log that fails leaves the Write undone for ever, and the log is written anew", async () => {
    const disk = simDisk(4);
    const { meta } = await openSim(disk);
    await meta.write([put("outrigger/a", "1")], call());
    let failing = true;
    disk.before = ({ name, path: at }) => {
      if (failing && at.startsWith("outrigger/log") && name !== "entries" && name !== "remove") throw fault("EIO", at);
    };
    await assert.rejects(meta.write([put("outrigger/a", "2")], call()), { reason: "BACKEND_DOWN" });
    failing = false;
    await meta.check(call().signal);
    assert.equal(await textOf(meta, "outrigger/a"), "1");
    disk.before = ({ name, path: at }) => {
      if (name === "sync" && at.startsWith("outrigger/log")) throw fault("EIO", at);
    };
    await assert.rejects(meta.write([put("outrigger/a", "3")], call()), { reason: "BACKEND_DOWN" });
    await assert.rejects(meta.get(["outrigger/a"], call()), { reason: "BACKEND_DOWN" });
    await assert.rejects(meta.check(call().signal), { reason: "BACKEND_DOWN" });
    disk.before = () => {};
    await meta.check(call().signal);
    assert.equal(await textOf(meta, "outrigger/a"), "1");
    await meta.write([put("outrigger/b", "4")], call());
    disk.before = () => {};
    disk.crash("kill");
    const next = await openSim(disk);
    assert.equal(await textOf(next.meta, "outrigger/a"), "1");
    assert.equal(await textOf(next.meta, "outrigger/b"), "4");
  });

  test("a damaged log is refused, a torn end is not", async () => {
    const disk = simDisk(5);
    const stores = await openSim(disk);
    await stores.meta.write([put("outrigger/a", "1".repeat(50))], call());
    const first = disk.outside.read("outrigger/log/0000000001")?.length ?? 0;
    await stores.meta.write([put("outrigger/a", "2".repeat(50))], call());
    const log = disk.outside.read("outrigger/log/0000000001") ?? Buffer.alloc(0);
    disk.crash("kill");
    disk.outside.write(
      "outrigger/log/0000000001",
      Buffer.concat([log, Buffer.from("torn by a power loss")]).toString("latin1"),
    );
    const whole = Buffer.concat([log, Buffer.from("torn")]);
    disk.outside.write("outrigger/log/0000000001", whole);
    const torn = await openSim(disk);
    assert.equal(await textOf(torn.meta, "outrigger/a"), "2".repeat(50));
    disk.crash("kill");
    const damaged = Buffer.from(log);
    damaged[first - 10] = (damaged[first - 10] ?? 0) ^ 1;
    disk.outside.write("outrigger/log/0000000001", damaged);
    await assert.rejects(openSim(disk), { reason: "STORED_CORRUPT" });
  });

  test("a link's file that cannot be written now is written later", async () => {
    const disk = simDisk(6);
    const { meta, driver } = await openSim(disk);
    const link = TAG("a", "1");
    disk.before = ({ path: at }) => {
      if (at.startsWith("docker/")) throw fault("EIO", at);
    };
    await meta.write([put(link, digestOf("1"))], call());
    assert.equal(await textOf(meta, link), digestOf("1"), "the log has it");
    assert.equal(disk.outside.read(link), undefined);
    disk.before = () => {};
    await driver.close();
    assert.equal(disk.outside.read(link)?.toString(), digestOf("1"));
    const next = await openSim(disk);
    assert.equal(next.meta.facts.outside, 0);
  });

  for (const kind of ["kill", "power"] as const) {
    test(`what others change after a crash (${kind}) is noticed, and nothing else is`, async () => {
      for (let seed = 0; seed < 30; seed++) {
        const disk = simDisk(100 + seed);
        const [changed, removed, kept] = [TAG("a", "1"), TAG("a", "2"), TAG("b", "1")];
        let stores = await openSim(disk);
        await stores.meta.write([put(changed, digestOf("1")), put(removed, digestOf("2"))], call());
        await stores.driver.close();
        stores = await openSim(disk);
        await stores.meta.write([put(changed, digestOf("3")), put(kept, digestOf("4"))], call());
        disk.crash(kind);
        disk.nowMs += 1000;
        if (seed % 2 === 0) {
          stores = await openSim(disk);
          assert.equal(stores.meta.facts.outside, 0);
          disk.crash("kill");
          disk.nowMs += 1000;
        }
        disk.outside.write(changed, digestOf("5"));
        disk.outside.remove(removed);
        stores = await openSim(disk);
        assert.equal(stores.meta.facts.outside, 1, `seed ${seed}`);
        assert.equal(await textOf(stores.meta, changed), digestOf("5"));
        assert.equal(await textOf(stores.meta, removed), undefined);
        assert.equal(await textOf(stores.meta, kept), digestOf("4"));
      }
    });
  }

  test("what an upload had beyond its persisted bytes before a power loss is not part of the blob", async () => {
    const disk = simDisk(9);
    let { blob } = await openSim(disk, { persistStepBytes: 10_000 });
    let upload = await blob.open("u", { create: true }, call());
    await upload.write(Buffer.alloc(100, 1));
    await upload.flush();
    await upload.write(Buffer.alloc(900, 2));
    while ((disk.outside.read("outrigger/uploads/u")?.length ?? 0) < 1000) await new Promise(setImmediate);
    disk.crash("power");
    ({ blob } = await openSim(disk));
    upload = await blob.open("u", { create: false }, call());
    assert.equal(upload.persistedBytes, 100);
    await upload.write(Buffer.alloc(50, 3));
    const info = await upload.commit({ key: "k", digest: "", keep: false }, call());
    assert.equal(info.sizeBytes, 150);
    assert.deepEqual(await bytesOf(blob, "k"), Buffer.concat([Buffer.alloc(100, 1), Buffer.alloc(50, 3)]));
  });

  test("what a killed process had written beyond its persisted bytes is gone on from, until the machine is started anew", async () => {
    const disk = simDisk(12);
    let { blob } = await openSim(disk);
    for (const id of ["u", "v"]) {
      const upload = await blob.open(id, { create: true }, call());
      await upload.write(Buffer.alloc(100, 1));
      await upload.flush();
      await upload.write(Buffer.alloc(900, 2));
      while ((disk.outside.read(`outrigger/uploads/${id}`)?.length ?? 0) < 1000) await new Promise(setImmediate);
    }
    disk.crash("kill");
    ({ blob } = await openSim(disk));
    const upload = await blob.open("u", { create: false }, call());
    assert.equal(upload.persistedBytes, 1000);
    // Told, so it is there after a power loss; what nobody asked for since is cut.
    disk.crash("power");
    ({ blob } = await openSim(disk));
    const [u, v] = (await blob.listUploads({ startAfter: "", limit: 9 }, call())).items;
    assert.deepEqual([u?.persistedBytes, v?.persistedBytes], [1000, 100]);
    const again = await blob.open("u", { create: false }, call());
    assert.equal(again.persistedBytes, 1000);
    await again.commit({ key: "k", digest: "", keep: false }, call());
    assert.deepEqual(await bytesOf(blob, "k"), Buffer.concat([Buffer.alloc(100, 1), Buffer.alloc(900, 2)]));
    const cut = await blob.open("v", { create: false }, call());
    assert.equal(cut.persistedBytes, 100);
  });

  test("an upload that holds less than what was made durable is damaged, not shorter", async () => {
    const disk = simDisk(10);
    let { blob, driver } = await openSim(disk);
    const upload = await blob.open("u", { create: true }, call());
    await upload.write(Buffer.alloc(100, 1));
    await upload.flush();
    await driver.close();
    disk.outside.write("outrigger/uploads/u", Buffer.alloc(99, 1));
    ({ blob, driver } = await openSim(disk));
    await assert.rejects(blob.open("u", { create: false }, call()), { reason: "STORED_CORRUPT" });
    await driver.close();
  });

  test("folders that become empty are taken away, since distribution lists folders", async () => {
    const disk = simDisk(11);
    const { blob, meta, driver } = await openSim(disk);
    await meta.write([put(TAG("a/b", "1"), digestOf("1")), put(TAG("a", "2"), digestOf("2"))], call());
    await blob.put(BLOB("abcd"), Buffer.from("x"), undefined, call());
    await blob.put(BLOB("abef"), Buffer.from("x"), undefined, call());
    const empty = () => disk.outside.emptyFolders().filter((folder) => folder.startsWith("/docker/"));
    await meta.write([remove(TAG("a/b", "1"))], call());
    await blob.delete(BLOB("abcd"), call());
    await assert.rejects(blob.put(BLOB("cdef"), Buffer.from("x"), { ifEtag: "none" }, call()));
    assert.deepEqual(empty(), []);
    assert.ok(disk.outside.read(TAG("a", "2")));
    await meta.write([remove(TAG("a", "2"))], call());
    await blob.delete(BLOB("abef"), call());
    assert.deepEqual(empty().sort(), ["/docker/registry/v2/blobs", "/docker/registry/v2/repositories"]);
    await driver.close();
  });

  test("symbolic links below the root are not followed", async () => {
    const disk = simDisk(8);
    disk.outside.write("docker/registry/v2/repositories/a/_layers/x/link", digestOf("1"));
    disk.outside.symlink("docker/registry/v2/repositories/b");
    disk.outside.symlink("docker/registry/v2/blobs/sha256");
    const { blob, meta } = await openSim(disk);
    assert.equal((await meta.count("", call())).count, 1);
    await assert.rejects(blob.put(BLOB("abcd"), Buffer.from("x"), undefined, call()), { reason: "STORED_CORRUPT" });
    await assert.rejects(blob.stat([BLOB("abcd")], call()), { reason: "STORED_CORRUPT" });
    assert.deepEqual((await blob.list({ prefix: "", startAfter: "", limit: 9 }, call())).items, []);
  });
});
