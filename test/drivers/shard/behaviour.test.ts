/** What the shard driver does with its shards, seen from both sides. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { RemoteUpload } from "../../../client/remote-upload.ts";
import { mergePages } from "../../../drivers/shard/merge.ts";
import { initShards, openShards } from "../../../drivers/shard/open.ts";
import { readShards } from "../../../drivers/shard/options.ts";
import { placeOf } from "../../../drivers/shard/place.ts";
import { hasReason, OutriggerError } from "../../../proto/errors.ts";
import { Scope } from "../../helpers/processes.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { connectTo, contentOf, digestOf, keysOf, push } from "../composed/faults.ts";
import { type Hosted, host, memberDefaults, openContext, Watched } from "../composed/hosted.ts";

const NAMES = ["a", "b", "c"];

describe("the place of a key", () => {
  it("is what it always was: on it depends where the bytes are", () => {
    const places = ["docker/registry/v2/blobs/sha256/00/00/data", "x", "y/z", "k0", "k1", "k2"].map((key) =>
      placeOf(NAMES, key),
    );
    assert.deepEqual(places, PLACES);
  });

  it("does not depend on the order of the names, and is spread evenly", () => {
    const counts = new Map<string, number>();
    for (let index = 0; index < 3000; index++) {
      const place = placeOf(NAMES, `key/${index}`);
      assert.equal(placeOf(["c", "a", "b"], `key/${index}`), place);
      counts.set(place, (counts.get(place) ?? 0) + 1);
    }
    for (const name of NAMES) assert.ok(Math.abs((counts.get(name) ?? 0) - 1000) < 150, JSON.stringify([...counts]));
  });
});

/** Written down once: a change here loses every blob of every store there is. */
const PLACES = ["a", "b", "b", "a", "a", "a"];

describe("pages of several shards", () => {
  it("are one listing: every item once, in order, whatever the pages' lengths", (t) => {
    const random = randomOf(seedOf(t));
    for (let round = 0; round < 200; round++) {
      const shards = Array.from({ length: random.between(1, 4) }, () => new Set<string>());
      for (let index = 0; index < random.between(0, 40); index++) random.pick(shards).add(`k${random.between(0, 99)}`);
      const all = [...new Set(shards.flatMap((shard) => [...shard]))].sort();
      const seen: string[] = [];
      for (let startAfter = "", pages = 0; ; pages++) {
        assert.ok(pages < 100, "the listing does not end");
        const limit = random.between(1, 7);
        const asked = shards.map((shard) => {
          const above = [...shard].sort().filter((key) => key > startAfter);
          // A page may end early.
          const length = random.between(1, limit);
          return { items: above.slice(0, length), more: above.length > length };
        });
        const page = mergePages(asked, limit, (key) => key);
        assert.ok(page.items.length <= limit);
        assert.ok(!page.more || page.items.length > 0);
        seen.push(...page.items);
        if (!page.more) break;
        startAfter = page.items.at(-1) ?? "";
      }
      assert.deepEqual(seen, all);
    }
  });
});

async function world(t: TestContext) {
  const scope = new Scope();
  t.after(scope.close);
  const shards = new Map<string, { readonly watched: Watched; hosted: Hosted }>();
  for (const name of NAMES) {
    const watched = await Watched.memory();
    shards.set(name, { watched, hosted: await host(scope, watched.open) });
  }
  const text = (names = NAMES) => names.map((name) => `${name}=${shards.get(name)?.hosted.address}`).join(",");
  const options = { shards: text(), ...memberDefaults };
  await initShards(options, openContext);
  const start = (asked = options) => host(scope, () => openShards(asked, openContext));
  const composed = await start();
  const client = connectTo(scope, composed.address);
  await client.channel.described();
  const shard = (name: string) => {
    const found = shards.get(name);
    if (found === undefined) throw new Error(`there is no shard ${name}`);
    return found;
  };
  const direct = async (name: string) => {
    const connection = connectTo(scope, shard(name).hosted.address);
    await connection.channel.described();
    return connection;
  };
  return { scope, client, composed, start, options, text, shard, direct };
}

/** A key of the shard. */
function keyOf(name: string, nth = 0): string {
  let found = 0;
  for (let index = 0; ; index++) {
    const key = `docker/${index}`;
    if (placeOf(NAMES, key) === name && found++ === nth) return key;
  }
}

const SIZE = 500_000;
/** Of shard a. */
const UPLOAD = [...Array(100).keys()].map((index) => `upload-${index}`).find((id) => placeOf(NAMES, id) === "a") ?? "";

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** An upload on shard a for a key of shard b, whose first copy to there fails. */
async function cutOff(t: TestContext) {
  const all = await world(t);
  const { client, shard, direct } = all;
  const data = Buffer.alloc(SIZE, 3);
  const key = keyOf("b");
  const { watched } = shard("b");
  watched.before = async (name) => {
    if (name !== "open") return;
    watched.before = async () => {};
    throw new OutriggerError("INTERNAL", "cut off");
  };
  const begin = async (notAfterMs = Date.now() + 60_000) => {
    const open = { uploadId: UPLOAD, sender: "pusher", attempt: 1, create: true, algorithm: "sha256" } as const;
    const upload = await RemoteUpload.open(client.channel, open);
    await upload.write(data);
    await upload.flush();
    const commit = () => upload.commit({ key, sizeBytes: SIZE, digest: digestOf(data), ifAbsent: false, notAfterMs });
    return { commit };
  };
  const own = async (name: string) => keysOf(await direct(name), "outrigger-shard/");
  return { ...all, data, key, begin, own };
}

describe("the shards", () => {
  it("hold each key on its own, however it was pushed, and nothing beside it", async (t) => {
    const { client, direct } = await world(t);
    for (let index = 0; index < 12; index++) {
      const data = Buffer.alloc(200_000 + index, index);
      await push(client, `docker/${index}`, data, index % 2 === 0);
      assert.equal(await contentOf(client, `docker/${index}`), digestOf(data));
    }
    for (const name of NAMES) {
      const keys = await keysOf(await direct(name), "docker/");
      for (const key of keys) assert.equal(placeOf(NAMES, key), name, key);
      const own = (await keysOf(await direct(name), "outrigger-shard/")).map((key) =>
        key.split("/").slice(2).join("/"),
      );
      assert.deepEqual(own, ["member"], "nothing is staged any more, and no pointer left");
    }
    assert.equal((await keysOf(client)).length, 12);
    assert.deepEqual(await client.store.count("docker/"), { count: 12, exact: true });
    assert.deepEqual(await client.store.count(""), { count: 12, exact: true });
  });

  it("move between shards by a verified copy", async (t) => {
    const { client, direct } = await world(t);
    const [from, to] = [keyOf("a"), keyOf("b")];
    const data = Buffer.alloc(3_000_000, 7);
    await push(client, from, data, true);
    const info = await client.store.move(from, to);
    assert.equal(info.sizeBytes, data.length);
    assert.equal(await contentOf(client, to), digestOf(data));
    assert.equal(await contentOf(client, from), undefined);
    assert.deepEqual(await keysOf(await direct("a"), "docker/"), []);
  });

  it("leave an upload whole that has lost its key to somebody else", async (t) => {
    const { client } = await world(t);
    // On a shard that is not its key's.
    const key = keyOf("c");
    let uploadId = "";
    for (let index = 0; placeOf(NAMES, uploadId) !== "a" || index === 0; index++) uploadId = `upload-${index}`;
    await client.store.put(key, Buffer.from("somebody else's"));
    const data = Buffer.alloc(500_000, 3);
    async function* body() {
      yield data;
    }
    const commit = { key, digest: digestOf(data), ifAbsent: true };
    const base = { uploadId, create: true, algorithm: "sha256", offsetBytes: 0, body: body() } as const;
    await assert.rejects(client.store.append({ ...base, commit }), (error) => hasReason(error, "KEY_EXISTS"));
    const upload = await client.store.getUpload(uploadId);
    assert.equal(upload?.persistedBytes, data.length);
    const rest = { ...base, create: false, offsetBytes: data.length, body: (async function* () {})() };
    await client.store.append({ ...rest, commit: { key: keyOf("b"), digest: digestOf(data) } });
    assert.equal(await contentOf(client, keyOf("b")), digestOf(data));
    assert.equal(await client.store.getUpload(uploadId), undefined);
  });

  it("put no other bytes into a key than were verified, also where the copy was cut off", async (t) => {
    const { begin, client, own, direct } = await cutOff(t);
    await assert.rejects((await begin()).commit());
    const [staged = ""] = (await own("a")).filter((key) => key.includes("/staged/"));
    await (await direct("a")).store.put(staged, Buffer.alloc(SIZE, 9));
    const again = { uploadId: UPLOAD, create: false, algorithm: "sha256", offsetBytes: 0, body: nothing() } as const;
    await assert.rejects(client.store.append(again), (error) => hasReason(error, "STORED_CORRUPT"));
    assert.equal(await contentOf(client, keyOf("b")), undefined);
  });

  /** By another process than the one that commits: as that, it might have died. */
  const another = async ({ scope, start }: Awaited<ReturnType<typeof cutOff>>) => {
    const client = connectTo(scope, (await start()).address);
    await client.channel.described();
    return client;
  };
  for (const when of ["before", "after"] as const)
    it(`finish a commit that is cut off ${when} an Open has found its upload`, async (t) => {
      const all = await cutOff(t);
      const { begin, shard, own, data, key } = all;
      const client = await another(all);
      const { commit } = await begin();
      const { watched } = shard("a");
      watched[when] = async (name, keys) => {
        if (when === "before" ? name !== "listUploads" : !String(keys).includes("/staged/")) return;
        watched[when] = async () => {};
        await assert.rejects(commit());
      };
      const again = { uploadId: UPLOAD, create: false, algorithm: "sha256", offsetBytes: data.length } as const;
      await assert.rejects(client.store.append({ ...again, body: nothing() }), (error) =>
        hasReason(error, "UPLOAD_NOT_FOUND"),
      );
      assert.equal(await contentOf(client, key), digestOf(data));
      assert.equal((await own("a")).length, 1, "nothing is staged any more");
    });

  it("keep nothing of an upload whose commit is cut off while it is aborted", async (t) => {
    const all = await cutOff(t);
    const { begin, shard, own } = all;
    const client = await another(all);
    const { commit } = await begin();
    const { watched } = shard("a");
    watched.after = async (_name, keys) => {
      if (!String(keys).includes("/staged/")) return;
      watched.after = async () => {};
      await assert.rejects(commit());
    };
    await client.store.abortUpload(UPLOAD);
    assert.equal((await own("a")).length, 1, "nothing is staged any more");
    assert.equal(await client.store.getUpload(UPLOAD), undefined);
  });

  it("give an upload back whose cut-off commit is past its not-after time, instead of making it", async (t) => {
    const { begin, client, direct, data, key, own } = await cutOff(t);
    await assert.rejects((await begin()).commit());
    const [noted = ""] = (await own("a")).filter((name) => name.includes("/notes/"));
    // As if the time had come since.
    const note = { key, ifAbsent: false, notAfterMs: Date.now() - 1 };
    await (await direct("a")).store.put(noted, Buffer.from(JSON.stringify(note)));
    const again = { uploadId: UPLOAD, create: false, algorithm: "sha256", offsetBytes: data.length } as const;
    await client.store.append({ ...again, body: nothing() });
    assert.equal(await contentOf(client, key), undefined);
    const commit = { key, digest: digestOf(data) };
    await client.store.append({ ...again, body: nothing(), commit });
    assert.equal(await contentOf(client, key), digestOf(data));
    assert.equal((await own("a")).length, 1, "nothing is staged any more");
  });

  it("tell no shard of a key that it will not hold", async (t) => {
    const { client, shard } = await world(t);
    const told: unknown[] = [];
    shard("a").watched.before = async (name, _uploadId, how) => {
      if (name === "open") told.push((how as { key?: string }).key);
    };
    const open = { uploadId: UPLOAD, algorithm: "sha256", offsetBytes: 0, body: nothing() } as const;
    await client.store.append({ ...open, create: true });
    await client.store.append({ ...open, body: nothing(), create: false, key: keyOf("b") });
    await client.store.append({ ...open, body: nothing(), create: false, key: keyOf("a") });
    assert.deepEqual(
      told.map((key) => key || undefined),
      [undefined, undefined, keyOf("a")],
    );
  });

  it("refuse the keys of one that is away by its name, serve the others, and list nothing by halves", async (t) => {
    const { client, shard, start, options, scope } = await world(t);
    for (const name of NAMES) await client.store.put(keyOf(name), Buffer.from(name));
    await shard("b").hosted.stop();
    const refused = /shard b at .* is not usable/;
    // One attempt: the client would go on asking for 10 s.
    const ask = <Result>(work: (options: { signal: AbortSignal }) => Promise<Result>) =>
      work({ signal: AbortSignal.timeout(30_000) });
    await assert.rejects(
      ask((how) => client.store.stat([keyOf("b")], how)),
      refused,
    );
    assert.equal(await contentOf(client, keyOf("a")), digestOf(Buffer.from("a")));
    await client.store.put(keyOf("c", 1), Buffer.from("new"));
    await assert.rejects(
      ask((how) => client.store.list({ prefix: "" }, how)),
      refused,
    );
    // Also from a start without it.
    const again = connectTo(scope, (await start({ ...options, memberWait: 500 })).address);
    await again.channel.described();
    assert.equal(await contentOf(again, keyOf("c", 1)), digestOf(Buffer.from("new")));
    await assert.rejects(
      ask((how) => again.store.stat([keyOf("b")], how)),
      refused,
    );
  });

  it("refuse, in one sentence, what cannot be right", async (t) => {
    const { scope, text, options, shard } = await world(t);
    const open = (shards: string) => openShards({ ...options, shards }, openContext);
    await assert.rejects(open(text(["a", "b"])), /names a, b, and this store was made of a, b, c/);
    const [a, b, c] = NAMES.map((name) => shard(name).hosted.address);
    await assert.rejects(open(`a=${b},b=${a},c=${c}`), /is this shard store's b: exchange the addresses/);
    await assert.rejects(open(`a=${a},b=${a},c=${c}`), /are the same store/);
    await assert.rejects(initShards({ ...options, shards: text(["a", "b"]) }, openContext), /was made of a, b, c/);
    const other = await host(scope, (await Watched.memory()).open);
    await assert.rejects(
      open(`a=${a},b=${other.address},c=${c}`),
      /and this shard store's b is .*: put the address right/,
    );
    const [d, e] = [await host(scope, (await Watched.memory()).open), await host(scope, (await Watched.memory()).open)];
    await assert.rejects(open(`a=${d.address},b=${e.address}`), (error) => hasReason(error, "NOT_INITIALISED"));
    const client = connectTo(scope, d.address);
    await client.channel.described();
    await client.store.put("docker/old", Buffer.from("old"));
    const taken = initShards({ ...options, shards: `a=${d.address},b=${e.address}` }, openContext);
    await assert.rejects(taken, /holds docker\/old already/);
    assert.throws(() => readShards("a"), /is not NAME=ADDR/);
    assert.throws(() => readShards("a=x"), /at least two/);
    assert.throws(() => readShards("a=x,a=y"), /is given twice/);
  });
});
