/** What the cache does with its two stores, seen from both sides. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { initCache, openCache } from "../../../drivers/cache/open.ts";
import { hasReason, OutriggerError } from "../../../proto/errors.ts";
import { until } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { connectTo, contentOf, digestOf, keysOf, push } from "../composed/faults.ts";
import { type Hosted, host, memberDefaults, openContext, Watched } from "../composed/hosted.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

function filled(seed: number, sizeBytes: number): Buffer {
  const data = Buffer.alloc(sizeBytes);
  for (let at = 0; at + 4 <= sizeBytes; at += 4) data.writeUInt32LE((seed * 2654435761 + at) >>> 0, at);
  return data;
}

async function world(t: TestContext, how: { readonly max?: number } = {}) {
  const scope = new Scope();
  t.after(scope.close);
  const [slow, fast] = [await Watched.memory(), await Watched.memory()];
  const slowHost = await host(scope, slow.open);
  let fastHost: Hosted = await host(scope, fast.open);
  const options = {
    slow: slowHost.address,
    fast: fastHost.address,
    max: how.max ?? 64 * MIB,
    maxBlob: 32 * MIB,
    ...memberDefaults,
  };
  await initCache(options, openContext);
  const start = () => host(scope, () => openCache(options, openContext));
  const cache = await start();
  const [client, direct] = [connectTo(scope, cache.address), connectTo(scope, slowHost.address)];
  const fastClient = connectTo(scope, fastHost.address);
  await Promise.all([client, direct, fastClient].map(({ channel }) => channel.described()));
  const copies = async () => (await keysOf(fastClient)).filter((key) => key.includes("/data/"));
  return {
    scope,
    slow,
    fast,
    client,
    direct,
    fastClient,
    copies,
    start,
    cache,
    async stopFast() {
      await fastHost.stop();
    },
    async startFast(watched: Watched) {
      fastHost = await host(scope, watched.open, options.fast);
    },
    hasCopies: (count: number) =>
      until(
        async () => (await copies()).length === count,
        10_000,
        () => `there are not ${count} copies`,
      ),
  };
}

describe("the cache", () => {
  it("reads the slow store once, and gives the copy after that", async (t) => {
    const { slow, client, hasCopies } = await world(t);
    const data = filled(1, 3 * MIB + 17);
    await push(client, "docker/a", data, true);
    assert.equal(await contentOf(client, "docker/a"), digestOf(data));
    await hasCopies(1);
    const reads = slow.count("read docker/a");
    assert.equal(reads, 1);
    assert.equal(await contentOf(client, "docker/a"), digestOf(data));
    const part = await client.store.read("docker/a", { offsetBytes: MIB - 3, limitBytes: 300 * KIB });
    const pieces: Buffer[] = [];
    for await (const piece of part.body) pieces.push(piece);
    assert.ok(Buffer.concat(pieces).equals(data.subarray(MIB - 3, MIB - 3 + 300 * KIB)));
    assert.equal(slow.count("read docker/a"), reads);
  });

  it("fills once for readers who come together, also when the first of them goes away", async (t) => {
    const { slow, client, hasCopies } = await world(t);
    const data = filled(2, 6 * MIB);
    await push(client, "docker/b", data, true);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    slow.before = async (name) => {
      if (name === "read") await held;
    };
    const leaving = new AbortController();
    const first = client.store.read("docker/b", {}, { signal: leaving.signal });
    await until(
      () => slow.count("read docker/b") === 1,
      5_000,
      () => "the slow store is not read",
    );
    const others = Array.from({ length: 8 }, () => contentOf(client, "docker/b"));
    leaving.abort(new Error("this reader leaves"));
    await assert.rejects(first);
    release();
    for (const seen of await Promise.all(others)) assert.equal(seen, digestOf(data));
    await hasCopies(1);
    assert.equal(slow.count("read docker/b"), 1);
  });

  it("never gives what was overwritten or deleted, also past it", async (t) => {
    const { client, direct, copies, hasCopies } = await world(t);
    const [one, two] = [filled(3, 400 * KIB), filled(4, 400 * KIB)];
    await client.store.put("docker/c", one);
    assert.equal(await contentOf(client, "docker/c"), digestOf(one));
    await hasCopies(1);
    assert.equal(await contentOf(client, "docker/c"), digestOf(one), "from the copy");
    // Not through the cache: it is not told.
    await direct.store.put("docker/c", two);
    assert.equal(await contentOf(client, "docker/c"), digestOf(two));
    await until(
      async () => (await contentOf(client, "docker/c")) === digestOf(two) && (await copies()).length === 1,
      10_000,
      () => "the new content is not copied",
    );
    await direct.store.delete(["docker/c"]);
    assert.equal(await contentOf(client, "docker/c"), undefined);
  });

  it("has no copy left once a delete is acknowledged", async (t) => {
    const { client, copies, hasCopies } = await world(t);
    await client.store.put("docker/d", filled(5, 300 * KIB));
    await contentOf(client, "docker/d");
    await hasCopies(1);
    await client.store.delete(["docker/d"]);
    assert.deepEqual(await copies(), []);
    assert.equal(await contentOf(client, "docker/d"), undefined);
  });

  it("keeps no copy of a key that is deleted while it is copied", async (t) => {
    const { fast, client, copies } = await world(t);
    const data = filled(6, 5 * MIB);
    await push(client, "docker/e", data, true);
    let opened = () => {};
    const isOpened = new Promise<void>((resolve) => {
      opened = resolve;
    });
    fast.before = async (name) => {
      if (name === "open") opened();
    };
    const reading = contentOf(client, "docker/e");
    await isOpened;
    await client.store.delete(["docker/e"]);
    await reading.catch(() => undefined);
    assert.deepEqual(await copies(), []);
    assert.equal(await contentOf(client, "docker/e"), undefined);
  });

  it("holds no more than --max, and gives up what was used least recently, also after a restart", async (t) => {
    const { scope, slow, client, cache, start, copies, hasCopies, fastClient } = await world(t, { max: 4 * MIB });
    for (let index = 0; index < 3; index++) {
      await client.store.put(`docker/f${index}`, filled(index, MIB));
      await contentOf(client, `docker/f${index}`);
      await hasCopies(index + 1);
    }
    // The oldest is used again: the second goes first.
    await contentOf(client, "docker/f0");
    await client.store.put("docker/f3", filled(3, MIB));
    await contentOf(client, "docker/f3");
    await until(
      async () => (await copies()).length === 3,
      5_000,
      () => "there are not three copies",
    );
    const before = slow.count("read docker/f0");
    await contentOf(client, "docker/f0");
    assert.equal(slow.count("read docker/f0"), before, "what was used last is there");
    await contentOf(client, "docker/f1");
    assert.equal(slow.count("read docker/f1"), 2, "what was used first is not");

    await cache.stop();
    const again = await start();
    const second = connectTo(scope, again.address);
    await second.channel.described();
    await until(
      async () => {
        let bytes = 0;
        for (const key of await copies()) bytes += (await fastClient.store.stat([key]))[0]?.sizeBytes ?? 0;
        return bytes > 0 && bytes <= 4 * MIB;
      },
      5_000,
      () => "more than --max is held",
    );
    const seen = slow.count("read docker/f1");
    assert.equal(await contentOf(second, "docker/f1"), digestOf(filled(1, MIB)));
    assert.equal(slow.count("read docker/f1"), seen, "what was there before the restart is used");
  });

  it("gives right bytes where a copy is damaged, and drops it", async (t) => {
    const { slow, client, fastClient, copies, hasCopies } = await world(t);
    const data = filled(7, 900 * KIB);
    await client.store.put("docker/g", data);
    await contentOf(client, "docker/g");
    await hasCopies(1);
    const [copy = ""] = await copies();
    const damaged = Buffer.from(data);
    damaged[700 * KIB] = (damaged[700 * KIB] ?? 0) ^ 1;
    await fastClient.store.put(copy, damaged);
    const reads = slow.count("read docker/g");
    assert.equal(await contentOf(client, "docker/g"), digestOf(data));
    assert.equal(slow.count("read docker/g"), reads + 1);
    assert.equal(await contentOf(client, "docker/g"), digestOf(data));
    await hasCopies(1);
    assert.equal(await contentOf(client, "docker/g"), digestOf(data));
  });

  it("serves from the slow store while the fast one is away, and takes a new one when it comes", async (t) => {
    const { slow, client, stopFast, startFast, scope } = await world(t);
    const data = filled(8, 2 * MIB);
    await push(client, "docker/h", data, true);
    await contentOf(client, "docker/h");
    await stopFast();
    assert.equal(await contentOf(client, "docker/h"), digestOf(data));
    await client.store.put("docker/i", filled(9, KIB));
    assert.equal(await contentOf(client, "docker/i"), digestOf(filled(9, KIB)));
    await client.store.delete(["docker/h"]);
    assert.equal(await contentOf(client, "docker/h"), undefined);

    // As a memory that was started again: another store, and empty.
    const other = await Watched.memory();
    await startFast(other);
    await until(
      async () => {
        await contentOf(client, "docker/i");
        return other.calls.some((call) => call.includes("sums/"));
      },
      20_000,
      () => "the new fast store is not used",
    );
    const reads = slow.count("read docker/i");
    assert.equal(await contentOf(client, "docker/i"), digestOf(filled(9, KIB)));
    assert.equal(slow.count("read docker/i"), reads);
    assert.ok(scope);
  });

  it("takes away what a process that died was filling", async (t) => {
    const { cache, start, fastClient } = await world(t);
    const append = { create: true, algorithm: "sha256", offsetBytes: 0 } as const;
    for (const uploadId of ["outrigger-cache-left", "somebody-elses"])
      await fastClient.store.append({ ...append, uploadId, body: (async function* () {})() });
    await cache.stop();
    await start();
    assert.equal(await fastClient.store.getUpload("outrigger-cache-left"), undefined);
    assert.ok((await fastClient.store.getUpload("somebody-elses")) !== undefined);
  });

  it("is made by an --init that repeats one that was ended between its two records", async (t) => {
    const scope = new Scope();
    t.after(scope.close);
    const [one, two] = [await Watched.memory(), await Watched.memory()];
    const [slow, fast] = [await host(scope, one.open), await host(scope, two.open)];
    const options = { slow: slow.address, fast: fast.address, max: 8 * MIB, maxBlob: MIB, ...memberDefaults };
    let puts = 0;
    for (const watched of [one, two])
      watched.before = async (name) => {
        if (name === "put" && ++puts === 2) throw new OutriggerError("INTERNAL", "ended");
      };
    await assert.rejects(initCache(options, openContext));
    await initCache(options, openContext);
    await host(scope, () => openCache(options, openContext));
  });

  it("refuses, in one sentence, what cannot be right", async (t) => {
    const scope = new Scope();
    t.after(scope.close);
    const [one, two] = [await Watched.memory(), await Watched.memory()];
    const [slow, fast] = [await host(scope, one.open), await host(scope, two.open)];
    const options = { slow: slow.address, fast: fast.address, max: 8 * MIB, maxBlob: MIB, ...memberDefaults };
    await assert.rejects(openCache(options, openContext), (error) => hasReason(error, "NOT_INITIALISED"));
    await assert.rejects(initCache({ ...options, fast: slow.address }, openContext), /are the same store/);
    await assert.rejects(initCache({ ...options, max: 1 }, openContext), /--max must be at least 1MiB/);
    const client = connectTo(scope, fast.address);
    await client.channel.described();
    await client.store.put("somebody/else", filled(1, 10));
    await assert.rejects(initCache(options, openContext), /holds somebody\/else, which no cache wrote/);
    const nobody = { ...options, slow: "unix:///tmp/nobody-listens-here.sock", memberWait: 300 };
    await assert.rejects(openCache(nobody, openContext), /the slow store at .* does not answer/);
  });
});
