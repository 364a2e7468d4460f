/** The root itself: one process at a time, and a clear sentence for each thing that can be wrong with it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import test, { type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { driverModule, initFilesystem, openFilesystemDriver } from "../../../drivers/filesystem/index.ts";
import { call, put, quiet, simDisk, storesOf, tempRoot, textOf } from "./kit.ts";

const deps = { log: quiet };
const holder = fileURLToPath(new URL("holder.ts", import.meta.url));

/** A process that opens the root and says "open", or why not. */
function hold(t: TestContext, root: string, waitMs: number) {
  const child = spawn(process.execPath, ["--import", "tsx", holder, root, String(waitMs)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout });
  return {
    said: once(lines, "line").then(([line]) => String(line)),
    async kill() {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

test("one process at a time; kill -9 frees the root, and one that waits gets it", { timeout: 60_000 }, async (t) => {
  // Longer than a socket's path may be.
  const root = path.join(tempRoot(t), "deep".repeat(30));
  await initFilesystem({ root }, deps);
  const first = hold(t, root, 0);
  assert.equal(await first.said, "open");
  await assert.rejects(openFilesystemDriver({ root }, deps), {
    reason: "BACKEND_DOWN",
    message: /is in use by another driver \(process \d+\): stop that one first/,
  });
  const second = hold(t, root, 30_000);
  // Let it begin to wait: it says nothing until it has the root.
  const early = await Promise.race([second.said, new Promise((resolve) => setTimeout(resolve, 500, "waiting"))]);
  assert.equal(early, "waiting");
  await first.kill();
  assert.equal(await second.said, "open");
  await assert.rejects(openFilesystemDriver({ root }, deps), { message: /in use/ });
  await second.kill();
  const driver = await openFilesystemDriver({ root }, deps);
  await assert.rejects(openFilesystemDriver({ root }, deps), { message: /in use/ });
  await driver.close();
  await (await openFilesystemDriver({ root }, deps)).close();
  assert.equal(readdirSync(path.join(root, "outrigger/lock")).length, 1, "one name stays, the next is above it");
});

test("of many that take over from a dead process exactly one does", { timeout: 60_000 }, async (t) => {
  const root = tempRoot(t);
  await initFilesystem({ root }, deps);
  const dead = hold(t, root, 0);
  assert.equal(await dead.said, "open");
  await dead.kill();
  const drivers = await Promise.allSettled(Array.from({ length: 8 }, () => openFilesystemDriver({ root }, deps)));
  const open = drivers.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  for (const driver of open) await driver.close();
  assert.equal(open.length, 1);
});

test("an empty root is refused until it is initialised; one with data is adopted", async (t) => {
  const root = tempRoot(t);
  const refused = (message: RegExp) =>
    assert.rejects(openFilesystemDriver({ root }, deps), { reason: "NOT_INITIALISED", message });
  await refused(/is empty.*--init/);
  assert.deepEqual(readdirSync(root), [], "nothing was written");
  mkdirSync(path.join(root, "photos"));
  await refused(/holds other things \("photos"\).*--init/);
  assert.deepEqual(readdirSync(root), ["photos"], "nothing was written");
  mkdirSync(path.join(root, "docker/registry/v2/blobs"), { recursive: true });
  const driver = await openFilesystemDriver({ root }, deps);
  const { blob, meta } = storesOf(driver);
  const ids = [blob.facts.id, meta.facts.id];
  assert.notEqual(ids[0], ids[1]);
  await driver.close();
  await initFilesystem({ root }, deps);
  const again = await openFilesystemDriver({ root }, deps);
  assert.deepEqual([again.blob?.facts.id, again.meta?.facts.id], ids, "ids stay with the data");
  await again.close();
});

test("what is wrong with a root is said in one sentence", async (t) => {
  const folder = tempRoot(t);
  const root = path.join(folder, "root");
  await assert.rejects(openFilesystemDriver({ root }, deps), { message: /does not exist: make it, mount it, or run/ });
  writeFileSync(root, "");
  await assert.rejects(openFilesystemDriver({ root }, deps), { message: /is not a folder/ });
  const linked = path.join(folder, "linked");
  mkdirSync(linked);
  symlinkSync(folder, path.join(linked, "docker"));
  await assert.rejects(
    initFilesystem({ root: linked }, deps).then(() => openFilesystemDriver({ root: linked }, deps)),
    {
      message: /symbolic link/,
    },
  );
  const locked = path.join(folder, "locked");
  mkdirSync(locked);
  chmodSync(locked, 0o500);
  if (process.getuid?.() !== 0) {
    await assert.rejects(openFilesystemDriver({ root: locked }, deps), { message: /change its owner or mode/ });
  }
  await assert.rejects(openFilesystemDriver({ root: linked, uploadTtlMs: 5 }, deps), { reason: "INVALID_FIELD" });
});

test("a folder that takes a and A for one name is refused", async () => {
  const disk = simDisk(1);
  const real = disk.mount();
  const folding = new Proxy(real, {
    get: (target, name) =>
      name === "facts"
        ? (file: string) => target.facts(file.replace("CASE-PROBE", "case-probe"))
        : Reflect.get(target, name).bind(target),
  });
  await assert.rejects(initFilesystem({ root: "sim" }, { ...deps, disk: folding }), { message: /tells them apart/ });
});

test("with the clock set back, times and etags go on growing", async () => {
  const disk = simDisk(2);
  const clock = { now: () => disk.nowMs, monotonic: () => disk.nowMs, after: () => () => {} };
  let [lastTime, lastEtag] = [0, 0];
  await initFilesystem({ root: "sim" }, { ...deps, disk: disk.mount(), clock });
  for (let n = 0; n < 6; n++) {
    const driver = await openFilesystemDriver({ root: "sim" }, { ...deps, disk: disk.mount(), clock });
    const { blob, meta } = storesOf(driver);
    for (let twice = 0; twice < 2; twice++) {
      const info = await blob.put("k", Buffer.from("x"), undefined, call());
      // An inode may be used again, and sizes are the same: time alone has to make the difference.
      const time = Number.parseInt(info.etag, 36);
      assert.ok(time > lastTime, `life ${n}: ${time} after ${lastTime}`);
      lastTime = time;
      const [etag = ""] = await meta.write([put("outrigger/k", "x")], call());
      assert.ok(Number.parseInt(etag, 36) > lastEtag);
      lastEtag = Number.parseInt(etag, 36);
      disk.nowMs -= 3_600_000;
    }
    assert.equal(await textOf(meta, "outrigger/k"), "x");
    if (n % 2 === 0) await driver.close();
    else disk.crash(n % 3 === 0 ? "power" : "kill");
  }
});

test("the module says what it is", () => {
  assert.equal(driverModule.name, "filesystem");
  assert.equal(driverModule.options.root.required, true);
});
