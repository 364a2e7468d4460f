/** The folder itself: one process at a time, and a clear sentence for each thing that can be wrong with it. */
import assert from "node:assert/strict";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { launchDriver } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { missing } from "../../helpers/tools.ts";
import { call, context, foreignLmdb, initLmdb, newStore, openLmdb, openStore, put, startLmdb, textOf } from "./lmdb.ts";

describe("the lmdb driver's folder", { skip: missing("lmdb-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  const refused = (folder: string, reason: string, message: RegExp) =>
    assert.rejects(openLmdb(folder), { reason, message });

  it("is made by --init, keeps its id, and is not made without", async () => {
    const folder = join(tempFolder(scope), "a.b", "store");
    await refused(folder, "BACKEND_DOWN", /does not exist: make it, mount it, or run the driver once with --init/);
    mkdirSync(folder, { recursive: true });
    await refused(folder, "NOT_INITIALISED", /is empty.*--init/);
    assert.deepEqual(readdirSync(folder), [], "nothing was written");
    await initLmdb(folder);
    const first = await openStore(scope, folder);
    await first.meta.write([put("a", "1")], call());
    await first.driver.close();
    await initLmdb(folder);
    const second = await openStore(scope, folder);
    assert.equal(second.meta.facts.id, first.meta.facts.id);
    assert.equal(second.meta.facts.outside, 0);
    assert.equal(textOf((await second.meta.get(["a"], call()))[0]?.value), "1");
  });

  it("is given an id by another --init when the first one was killed", async () => {
    const folder = join(tempFolder(scope), "store");
    await foreignLmdb(folder).close();
    await refused(folder, "NOT_INITIALISED", /has no store id: run the driver once with --init/);
    await initLmdb(folder);
    await openStore(scope, folder);
    const empty = tempFolder(scope);
    writeFileSync(join(empty, "data.mdb"), "");
    await refused(empty, "NOT_INITIALISED", /is empty/);
    await initLmdb(empty);
  });

  it("is refused where it is something else, and left as it is", async () => {
    const photos = tempFolder(scope);
    writeFileSync(join(photos, "photo.jpg"), "jpg");
    await refused(photos, "NOT_INITIALISED", /holds other things \("photo.jpg"\).*empty one with --init/);
    await assert.rejects(initLmdb(photos), { message: /holds other things/ });
    assert.deepEqual(readdirSync(photos), ["photo.jpg"]);

    const file = join(photos, "photo.jpg");
    await refused(file, "BACKEND_DOWN", /is not a folder: name one with --folder/);
    await assert.rejects(initLmdb(file), { message: /is not a folder/ });

    const other = tempFolder(scope);
    const theirs = foreignLmdb(other);
    await theirs.put(Buffer.from("greeting"), Buffer.from("hello"));
    await theirs.close();
    const before = readFileSync(join(other, "data.mdb"));
    await refused(other, "STORED_CORRUPT", /holds another program's LMDB data \(.*greeting.*\): name a folder/);
    await assert.rejects(initLmdb(other), {
      message: /another program's LMDB data/,
    });
    assert.ok(readFileSync(join(other, "data.mdb")).equals(before), "nothing was written");

    const garbage = tempFolder(scope);
    writeFileSync(join(garbage, "data.mdb"), Buffer.alloc(100_000, "not lmdb"));
    await refused(garbage, "STORED_CORRUPT", /no LMDB file, or its head is damaged/);

    const locked = tempFolder(scope);
    chmodSync(locked, 0o500);
    if (process.getuid?.() !== 0) {
      await refused(locked, "BACKEND_DOWN", /may not be read and written by this process: change its owner or mode/);
    }

    await assert.rejects(openLmdb(other, {}, 5), { message: /mapSize.*1MiB/ });
  });

  it("is one process's; another one is refused, or waits for it", { timeout: 120_000 }, async () => {
    const folder = await newStore(scope);
    const first = await startLmdb(scope, folder);
    await refused(folder, "BACKEND_DOWN", /is in use by another driver \(process \d+\).*--lock-wait/);
    const second = launchDriver(scope, { driver: "lmdb", flags: ["--folder", folder] });
    assert.equal((await second.process.exited).code, 1);
    assert.match(second.process.tail(), /in use by another driver/);
    const waiting = openLmdb(folder, { lockWaitMs: 60_000 });
    await first.process.kill();
    await (await waiting).close();
  });

  it("tells the core when somebody else has written to it", async () => {
    const folder = await newStore(scope);
    const first = await openStore(scope, folder);
    await first.meta.write([put("a", "1")], call());
    await first.driver.close();
    const root = foreignLmdb(folder);
    await root.openDB({ name: "meta", encoding: "binary", keyEncoding: "binary" }).remove(Buffer.from("a"));
    await root.close();
    const second = await openStore(scope, folder);
    assert.equal(second.meta.facts.outside, 1);
    assert.deepEqual(await second.meta.get(["a"], call()), [undefined]);
    await second.driver.close();
    const third = await openStore(scope, folder);
    assert.equal(third.meta.facts.outside, 1, "once");
  });

  it("is not written to once its file was taken away or replaced", async () => {
    const folder = await newStore(scope);
    const { meta, driver } = await openStore(scope, folder);
    await meta.write([put("a", "1")], call());
    const data = join(folder, "data.mdb");
    renameSync(data, `${data}.away`);
    await assert.rejects(meta.write([put("b", "1")], call()), { reason: "BACKEND_DOWN", message: /was taken away/ });
    await assert.rejects(meta.check(context.signal), { message: /was taken away/ });
    copyFileSync(`${data}.away`, data);
    await assert.rejects(meta.write([put("b", "1")], call()), { reason: "BACKEND_DOWN", message: /was replaced/ });
    unlinkSync(data);
    renameSync(`${data}.away`, data);
    await meta.check(context.signal);
    await meta.write([put("b", "2")], call());
    await driver.close();
    const again = await openStore(scope, folder);
    const values = (await again.meta.get(["a", "b"], call())).map((item) => textOf(item?.value));
    assert.deepEqual(values, ["1", "2"]);
  });

  it("is refused cut off, and a value that the disk damaged is told from the others", async () => {
    const folder = await newStore(scope);
    const { meta, driver } = await openStore(scope, folder);
    const marked = Buffer.alloc(3 * 4096, "marked by the test ");
    await meta.write([put("whole", "1"), put("hurt", marked)], call());
    await driver.close();
    const data = join(folder, "data.mdb");
    const bytes = readFileSync(data);
    const at = bytes.lastIndexOf("marked by the test ");
    bytes.write("M", at);
    writeFileSync(data, bytes);
    const hurt = await openStore(scope, folder);
    const corrupt = { reason: "STORED_CORRUPT", message: /the value of hurt is damaged/ };
    await assert.rejects(hurt.meta.get(["hurt"], call()), corrupt);
    await assert.rejects(hurt.meta.list({ prefix: "", startAfter: "", limit: 10 }, call()), corrupt);
    await assert.rejects(hurt.meta.write([{ ...put("hurt"), condition: { ifEtag: "x" } }], call()), corrupt);
    assert.equal(textOf((await hurt.meta.get(["whole"], call()))[0]?.value), "1");
    await hurt.meta.write([put("hurt", "anew")], call());
    assert.equal(textOf((await hurt.meta.get(["hurt"], call()))[0]?.value), "anew");
    await hurt.driver.close();
    truncateSync(data, 100);
    await refused(folder, "STORED_CORRUPT", /no LMDB file, or its head is damaged/);
  });
});
