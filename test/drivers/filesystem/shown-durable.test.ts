/** Nobody is told of a name that a power loss may still undo: neither that it is there nor that it is gone. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test, { describe } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Disk } from "../../../drivers/filesystem/disk.ts";
import { initFilesystem, openFilesystemDriver } from "../../../drivers/filesystem/index.ts";
import { blobPath, parentOf } from "../../../drivers/filesystem/layout.ts";
import type { BlobDriver } from "../../../server/contract.ts";
import { delegate } from "../../simulation/delegate.ts";
import { bytesOf, call, quiet, type Stores, simDisk, storesOf } from "./kit.ts";

const KEY = "b/one";
const FOLDER = parentOf(blobPath(KEY));
const DIGEST = `sha256:${createHash("sha256").update("12345").digest("hex")}`;

interface Held extends Stores {
  /** From now on no sync of the blob's folder ends before it is released. */
  hold(): void;
  release(): void;
}

async function opened(): Promise<Held> {
  const sim = simDisk(5);
  const disk: Disk = sim.mount();
  let gate: { readonly open: Promise<void>; readonly release: () => void } | undefined;
  const slow = delegate(disk, {
    async syncFolder(path: string) {
      if (path === FOLDER) await gate?.open;
      await disk.syncFolder(path);
    },
  });
  const clock = { now: () => sim.nowMs, monotonic: () => sim.nowMs, after: () => () => {} };
  const deps = { log: quiet, disk: slow, clock };
  await initFilesystem({ root: "sim" }, deps);
  const stores = storesOf(await openFilesystemDriver({ root: "sim" }, deps));
  return {
    ...stores,
    hold() {
      let release = () => {};
      const open = new Promise<void>((resolve) => {
        release = resolve;
      });
      gate = { open, release };
    },
    release: () => gate?.release(),
  };
}

/** Whether it has ended after everything that could happen has happened. */
async function ended(work: Promise<unknown>): Promise<boolean> {
  let over = false;
  const end = () => {
    over = true;
  };
  work.then(end, end);
  for (let i = 0; i < 50; i++) await turn();
  return over;
}

const ways: Readonly<Record<string, (blob: BlobDriver) => Promise<unknown>>> = {
  stat: async (blob) => (await blob.stat([KEY], call()))[0]?.sizeBytes,
  read: async (blob) => (await bytesOf(blob, KEY).catch(() => undefined))?.byteLength,
  list: async (blob) => (await blob.list({ prefix: "b/", startAfter: "", limit: 10 }, call())).items[0]?.sizeBytes,
  "a second commit of the same": async (blob) => {
    const upload = await blob.open("00000000-0000-4000-8000-000000000001", { create: true }, call());
    await upload.write(Buffer.from("12345"));
    return (await upload.commit({ key: KEY, digest: DIGEST, keep: true }, call())).sizeBytes;
  },
};

describe("a new name is told of only once it is durable", () => {
  for (const [way, ask] of Object.entries(ways)) {
    test(way, async () => {
      const { blob, driver, hold, release } = await opened();
      await blob.put("b/other", Buffer.from("x"), undefined, call());
      hold();
      const putting = blob.put(KEY, Buffer.from("12345"), undefined, call());
      assert.equal(await ended(putting), false);
      const asked = ask(blob);
      assert.equal(await ended(asked), false, "it was told what a power loss undoes");
      release();
      await putting;
      assert.equal(await asked, 5);
      await driver.close();
    });
  }
});

describe("a name is gone only once that is durable", () => {
  for (const way of ["stat", "read", "list"]) {
    test(way, async () => {
      const { blob, driver, hold, release } = await opened();
      await blob.put("b/other", Buffer.from("x"), undefined, call());
      await blob.put(KEY, Buffer.from("12345"), undefined, call());
      hold();
      const deleting = blob.delete(KEY, call());
      assert.equal(await ended(deleting), false);
      const asked = ways[way]?.(blob) as Promise<unknown>;
      assert.equal(await ended(asked), false, "it was told what a power loss undoes");
      release();
      await deleting;
      assert.notEqual(await asked, 5);
      await driver.close();
    });
  }
});

test("changes and questions of one key, all at once, end", async () => {
  const { blob, driver } = await opened();
  const work: Promise<unknown>[] = [];
  for (let i = 0; i < 60; i++) {
    work.push(
      blob.put(KEY, Buffer.from(String(i)), undefined, call()),
      blob.delete(KEY, call()),
      blob.stat([KEY], call()),
      blob.move?.(KEY, `b/${i % 3}`, call()).catch(() => {}) ?? Promise.resolve(),
      blob.put(KEY, Buffer.from("c"), { ifAbsent: true }, call()).catch(() => {}),
    );
  }
  const deadline = AbortSignal.timeout(20_000);
  await Promise.race([
    Promise.all(work),
    new Promise((_, reject) =>
      deadline.addEventListener("abort", () => reject(new Error("they wait for one another"))),
    ),
  ]);
  await driver.close();
});
