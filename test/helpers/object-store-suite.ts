/** What server/objects relies on, tried on any ObjectStore: the same for every backend, against its own server. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { hasReason, type Reason } from "../../proto/errors.ts";
import type { ObjectFacts, ObjectStore, PartFacts, RequestHow } from "../../server/objects/contract.ts";
import { Scope } from "./processes.ts";

const MIB = 1024 * 1024;

export interface SuiteStore {
  readonly store: ObjectStore;
  /** A second one on the same place, as another replica has. */
  readonly other: ObjectStore;
}

export interface SuiteOptions {
  readonly skip?: string | false;
  /** Of the parts that are not the last; at least `limits.leastPartBytes`. Default 256 KiB. */
  readonly partBytes?: number;
  /** How many names the listing is tried with. Default 120. */
  readonly names?: number;
  /** Etags are made of the content, as S3's are: the same bytes again have the same one. */
  readonly contentEtags?: boolean;
  /** Who completes again is answered as the first time, for a while. */
  readonly completesAgain?: boolean;
}

/** @param open makes both stores on a place that is empty; what it starts belongs to the scope */
export function objectStoreSuite(
  name: string,
  open: (scope: Scope) => Promise<SuiteStore>,
  options: SuiteOptions = {},
): void {
  describe(`${name}: what server/objects relies on`, { skip: options.skip ?? false }, () => {
    const scope = new Scope();
    let store: ObjectStore;
    let other: ObjectStore;
    let runs = 0;
    /** A place of this test's own. */
    const place = () => `t${runs++}/`;

    before(async () => {
      ({ store, other } = await open(scope));
      scope.defer(async () => {
        await store.close();
        await other.close();
      });
    });
    after(scope.close);

    describe("objects", () => {
      it("are whole, with the same facts by every way", async () => {
        const key = `${place()}a`;
        const data = bytes(100_000, 1);
        const put = await store.put(key, data, {}, how());
        assert.deepEqual({ name: put.name, sizeBytes: put.sizeBytes }, { name: key, sizeBytes: data.length });
        assert.ok(put.etag.length > 0 && put.etag.length <= 128, put.etag);
        assert.ok(Math.abs(put.modifiedMs - Date.now()) < 3600_000, `modified ${put.modifiedMs}`);
        const seen = await other.head(key, signal());
        assert.deepEqual(seen, put);
        assert.deepEqual((await other.list({ prefix: key, startAfter: "", limit: 10 }, signal())).items, [put]);
        const read = await readAll(other, key, { offsetBytes: 0 });
        assert.deepEqual(read.facts, put);
        assert.ok(read.data.equals(data));
      });

      it("that are not there are told so", async () => {
        const key = `${place()}absent`;
        assert.equal(await store.head(key, signal()), undefined);
        await rejects(store.read(key, { offsetBytes: 0 }, signal()), "KEY_NOT_FOUND");
        await store.delete(key, undefined, how());
        assert.deepEqual(await store.list({ prefix: key, startAfter: "", limit: 1 }, signal()), {
          items: [],
          more: false,
        });
      });

      it("may be empty", async () => {
        const key = `${place()}empty`;
        const put = await store.put(key, Buffer.alloc(0), {}, how());
        assert.equal(put.sizeBytes, 0);
        assert.deepEqual(await other.head(key, signal()), put);
        for (const limit of [{}, { limitBytes: 10 }]) {
          const read = await readAll(store, key, { offsetBytes: 0, ...limit });
          assert.deepEqual([read.data.length, read.facts.sizeBytes], [0, 0]);
        }
        await rejects(store.read(key, { offsetBytes: 1 }, signal()), "OFFSET_MISMATCH");
        const copy = await store.copy(put, `${key}-copy`, {}, how());
        assert.equal(copy.sizeBytes, 0);
      });

      it("keep a digest with them, or tell none", async () => {
        const key = `${place()}digest`;
        const digest = `sha256:${"ab".repeat(32)}`;
        const put = await store.put(key, bytes(10, 2), { digest }, how());
        assert.ok(put.digests.every((told) => told === digest));
        const head = await store.head(key, signal());
        assert.ok(head?.digests.every((told) => told === digest));
        // Other bytes never inherit it.
        const next = await store.put(key, bytes(10, 3), {}, how());
        assert.deepEqual(next.digests, []);
        assert.deepEqual((await other.head(key, signal()))?.digests, []);
      });

      it("have an etag that is never that of another content", async () => {
        const key = `${place()}again`;
        const seen = new Set<string>();
        for (let round = 0; round < 8; round++) {
          const { etag } = await store.put(key, bytes(10, round), {}, how());
          assert.ok(!seen.has(etag), `${etag} twice`);
          seen.add(etag);
          if (round % 3 === 2) await store.delete(key, undefined, how());
        }
      });
    });

    describe("reads", () => {
      const data = bytes(2 * MIB + 777, 4);
      let key: string;
      let facts: ObjectFacts;
      before(async () => {
        key = `${place()}read`;
        facts = await store.put(key, data, {}, how());
      });

      for (const [offsetBytes, limitBytes] of [
        [0, undefined],
        [1, undefined],
        [MIB, 5],
        [data.length - 1, undefined],
        [data.length - 10, 1000],
        [data.length, undefined],
        [data.length, 10],
        [0, 1],
      ] as const) {
        it(`give bytes from ${offsetBytes}, ${limitBytes ?? "all"} of them`, async () => {
          const read = await readAll(store, key, { offsetBytes, ...(limitBytes === undefined ? {} : { limitBytes }) });
          const due = data.subarray(offsetBytes, limitBytes === undefined ? undefined : offsetBytes + limitBytes);
          assert.deepEqual(
            { start: read.startBytes, length: read.lengthBytes, facts: read.facts },
            { start: offsetBytes, length: due.length, facts },
          );
          assert.ok(read.data.equals(due));
        });
      }

      it("refuse what lies beyond the end, and another etag", async () => {
        await rejects(store.read(key, { offsetBytes: data.length + 1 }, signal()), "OFFSET_MISMATCH");
        await rejects(store.read(key, { offsetBytes: 0, ifEtag: "0x0ther" }, signal()), "ETAG_MISMATCH");
        await rejects(store.read(key, { offsetBytes: data.length, ifEtag: "0x0ther" }, signal()), "ETAG_MISMATCH");
        const read = await readAll(store, key, { offsetBytes: 5, limitBytes: 5, ifEtag: facts.etag });
        assert.equal(read.data.length, 5);
      });

      it("can be left before their end, and before their beginning", async () => {
        const left = await store.read(key, { offsetBytes: 0 }, signal());
        await left.cancel();
        const begun = await store.read(key, { offsetBytes: 0 }, signal());
        for await (const piece of begun.body) {
          assert.ok(piece.length > 0);
          break;
        }
        assert.ok((await readAll(store, key, { offsetBytes: 0 })).data.equals(data));
      });

      it("end when nobody wants them any more", async () => {
        const gone = new AbortController();
        const read = await store.read(key, { offsetBytes: 0 }, gone.signal);
        gone.abort(new Error("the caller is gone"));
        await assert.rejects(async () => {
          let got = 0;
          for await (const piece of read.body) got += piece.length;
          // What was on its way already may come; all of it must not be given for whole by accident.
          assert.equal(got, data.length);
          throw new Error("it was all there already");
        });
      });
    });

    describe("conditions", () => {
      it("hold a put back where something is", async () => {
        const key = `${place()}put`;
        const first = await store.put(key, bytes(10, 1), { condition: { ifAbsent: true } }, how());
        await rejects(store.put(key, bytes(10, 2), { condition: { ifAbsent: true } }, how()), "KEY_EXISTS");
        await rejects(store.put(key, bytes(10, 2), { condition: { ifEtag: "0x0ther" } }, how()), "ETAG_MISMATCH");
        const second = await other.put(key, bytes(10, 3), { condition: { ifEtag: first.etag } }, how());
        await rejects(store.put(key, bytes(10, 4), { condition: { ifEtag: first.etag } }, how()), "ETAG_MISMATCH");
        assert.deepEqual(await store.head(key, signal()), second);
        await rejects(
          store.put(`${key}-absent`, bytes(1, 1), { condition: { ifEtag: first.etag } }, how()),
          "ETAG_MISMATCH",
        );
        assert.equal(await store.head(`${key}-absent`, signal()), undefined);
      });

      it("let one of many through", async () => {
        const key = `${place()}race`;
        const stores = [store, other];
        const tries = Array.from({ length: 8 }, (_, at) =>
          (stores[at % 2] ?? store).put(key, bytes(50, at), { condition: { ifAbsent: true } }, how()),
        );
        const made = await only(tries, "KEY_EXISTS");
        const swaps = Array.from({ length: 8 }, (_, at) =>
          (stores[at % 2] ?? store).put(key, bytes(60, at), { condition: { ifEtag: made.etag } }, how()),
        );
        const swapped = await only(swaps, "ETAG_MISMATCH");
        assert.deepEqual(await store.head(key, signal()), swapped);
      });

      it("hold a delete back", async () => {
        const key = `${place()}delete`;
        const first = await store.put(key, bytes(10, 1), {}, how());
        const second = await store.put(key, bytes(10, 2), {}, how());
        await rejects(store.delete(key, { ifEtag: first.etag }, how()), "ETAG_MISMATCH");
        assert.deepEqual(await other.head(key, signal()), second);
        await store.delete(key, { ifEtag: second.etag }, how());
        assert.equal(await other.head(key, signal()), undefined);
        await store.put(key, bytes(10, 2), {}, how());
        await store.delete(key, undefined, how());
        assert.equal(await other.head(key, signal()), undefined);
      });

      it("are not even sent too late", async () => {
        const key = `${place()}late`;
        const late: RequestHow = {
          signal: signal(),
          assertInTime() {
            throw new TooLate();
          },
        };
        const there = await store.put(`${key}-there`, bytes(1, 1), {}, how());
        const ref = await store.parts.begin(`${key}-parts`, how());
        for (const attempt of [
          () => store.put(key, bytes(1, 1), {}, late),
          () => store.delete(there.name, undefined, late),
          () => store.copy(there, key, {}, late),
          () => store.parts.put(`${key}-parts`, ref, 1, [bytes(1, 1)], late),
          () => store.parts.complete(`${key}-parts`, ref, [], {}, late),
        ]) {
          await assert.rejects(attempt, TooLate);
        }
        assert.equal(await store.head(key, signal()), undefined);
        assert.deepEqual(await store.head(there.name, signal()), there);
        await store.parts.abandon(`${key}-parts`, ref, how());
      });
    });

    describe("listings", () => {
      const count = options.names ?? 120;
      let prefix: string;
      let names: string[];
      before(async () => {
        prefix = place();
        // Characters on both sides of "/" and of "-", and names that begin alike; none is a folder of another.
        const odd = ["a", "a-", "a-b", "a.b", "a0", "A", "Z/z", "_", "~", "!p/q", "ab/c/d", "b-c", "b.c", "b/c", "b0"];
        const many = Array.from({ length: count - odd.length }, (_, at) => `m/${(at * 7919) % 10_007}/data`);
        names = [...odd, ...new Set(many)].map((name) => prefix + name).sort(byBytes);
        await inParallel(names, (name) => store.put(name, Buffer.from(name), {}, how()));
      });

      for (const limit of [1000, 1, 7]) {
        it(`go on after the last item, ${limit} at a time`, async () => {
          const upTo = limit === 1 ? names.slice(0, 25) : names;
          assert.deepEqual(await listAll(store, prefix, limit, upTo.length), upTo);
        });
      }

      it("go on where another replica, or nobody, ended", async () => {
        for (const startAfter of [
          "a",
          "a-",
          "a-b0",
          "a/",
          "b",
          "b/",
          "m/5",
          "m/99999",
          "0",
          "~",
          `${"z".repeat(300)}`,
        ]) {
          const page = await other.list({ prefix, startAfter: prefix + startAfter, limit: 1000 }, signal());
          assert.deepEqual(
            page.items.map(({ name }) => name),
            names.filter((name) => name > prefix + startAfter),
            startAfter,
          );
        }
      });

      it("take any text for a prefix and a start", async () => {
        const all = names.map((name) => name.slice(prefix.length));
        for (const odd of [" ", "\0", "\n", "/", "..", "%", "a\\b", "[", "\x7f", "a\0b", "p".repeat(2000)]) {
          const startAfter = prefix + odd;
          const page = await store.list({ prefix, startAfter, limit: 1000 }, signal());
          assert.deepEqual(
            page.items.map(({ name }) => name.slice(prefix.length)),
            all.filter((name) => name > odd),
            JSON.stringify(odd),
          );
          const below = await store.list({ prefix: startAfter, startAfter: "", limit: 1000 }, signal());
          assert.deepEqual(below, { items: [], more: false }, JSON.stringify(odd));
        }
      });

      it("keep to their prefix", async () => {
        for (const under of ["a", "b/", "m/1", "nothing", "!p/"]) {
          const page = await store.list({ prefix: prefix + under, startAfter: "", limit: 1000 }, signal());
          assert.deepEqual(
            page.items.map(({ name }) => name),
            names.filter((name) => name.startsWith(prefix + under)),
            under,
          );
          const before = await store.list({ prefix: prefix + under, startAfter: prefix, limit: 1000 }, signal());
          assert.deepEqual(before, page);
          const beyond = await store.list({ prefix: prefix + under, startAfter: `${prefix}~~`, limit: 1000 }, signal());
          assert.deepEqual(beyond, { items: [], more: false });
        }
      });

      it("show what came and went meanwhile, also behind a name where a page ended before", async () => {
        const first = await store.list({ prefix: `${prefix}m/`, startAfter: "", limit: 5 }, signal());
        const last = first.items.at(-1);
        assert.ok(last !== undefined && first.more);
        const added = `${last.name}-new`;
        await other.put(added, bytes(1, 1), {}, how());
        const next = await store.list({ prefix: `${prefix}m/`, startAfter: last.name, limit: 5 }, signal());
        assert.equal(next.items[0]?.name, added);
        await other.delete(added, undefined, how());
        const without = await store.list({ prefix: `${prefix}m/`, startAfter: last.name, limit: 5 }, signal());
        assert.notEqual(without.items[0]?.name, added);
      });
    });

    describe("copies", () => {
      it("are of the content that was named", async () => {
        const from = `${place()}from`;
        const data = bytes(300_000, 9);
        const first = await store.put(from, data, {}, how());
        const copy = await store.copy(first, `${from}-to`, {}, how());
        assert.deepEqual(await other.head(`${from}-to`, signal()), copy);
        assert.ok((await readAll(other, `${from}-to`, { offsetBytes: 0 })).data.equals(data));
        await store.put(from, bytes(300_000, 10), {}, how());
        await rejects(store.copy(first, `${from}-to`, {}, how()), "ETAG_MISMATCH");
        assert.deepEqual(await other.head(`${from}-to`, signal()), copy);
        await store.delete(from, undefined, how());
        await rejects(store.copy(first, `${from}-to`, {}, how()), "KEY_NOT_FOUND");
      });

      it("keep to conditions on where they go", async () => {
        const from = `${place()}from`;
        const to = `${from}-to`;
        const source = await store.put(from, bytes(1000, 1), {}, how());
        await rejects(store.copy(source, to, { condition: { ifEtag: source.etag } }, how()), "ETAG_MISMATCH");
        const first = await store.copy(source, to, { condition: { ifAbsent: true } }, how());
        await rejects(store.copy(source, to, { condition: { ifAbsent: true } }, how()), "KEY_EXISTS");
        const second = await store.copy(source, to, { condition: { ifEtag: first.etag } }, how());
        if (options.contentEtags !== true) {
          await rejects(store.copy(source, to, { condition: { ifEtag: first.etag } }, how()), "ETAG_MISMATCH");
        }
        assert.deepEqual(await other.head(to, signal()), second);
        const racing = Array.from({ length: 6 }, () =>
          store.copy(source, `${to}-race`, { condition: { ifAbsent: true } }, how()),
        );
        await only(racing, "KEY_EXISTS");
      });

      it("tell the digest that they were given", async () => {
        const from = `${place()}from`;
        const digest = `sha256:${"cd".repeat(32)}`;
        const source = await store.put(from, bytes(1000, 1), {}, how());
        const copy = await store.copy(source, `${from}-to`, { digest }, how());
        assert.ok(copy.digests.every((told) => told === digest));
        assert.deepEqual(await other.head(`${from}-to`, signal()), copy);
      });
    });

    describe("parts", () => {
      const partBytes = () => Math.max(options.partBytes ?? 256 * 1024, store.parts.limits.leastPartBytes);
      const key = () => (store.parts.direct ? `${place()}blob` : `!${place()}staged`);
      /** Parts in any order; those that count are at the odd numbers from 3 on. */
      async function stage(name: string, seed: number, parts = 3) {
        const ref = await store.parts.begin(name, how());
        const contents = Array.from({ length: parts }, (_, at) =>
          bytes(at === parts - 1 ? 1234 : partBytes(), seed + at),
        );
        const facts: PartFacts[] = [];
        await inParallel([...contents.entries()].reverse(), async ([at, content]) => {
          const half = content.length >> 1;
          const pieces = [content.subarray(0, half), content.subarray(half)];
          facts[at] = await (at % 2 === 0 ? store : other).parts.put(name, ref, 3 + 2 * at, pieces, how());
        });
        return { ref, facts, data: Buffer.concat(contents) };
      }

      it("become one object, and nothing is seen before", async () => {
        const name = key();
        const { ref, facts, data } = await stage(name, 20);
        assert.equal(await other.head(name, signal()), undefined);
        assert.deepEqual((await other.list({ prefix: name, startAfter: "", limit: 10 }, signal())).items, []);
        assert.deepEqual(await other.parts.list(name, ref, signal()), facts);
        const made = await other.parts.complete(name, ref, facts, {}, how());
        assert.equal(made.sizeBytes, data.length);
        assert.deepEqual(await store.head(name, signal()), made);
        assert.ok((await readAll(store, name, { offsetBytes: 0 })).data.equals(data));
      });

      it("that are not named are not in it", async () => {
        const name = key();
        const { ref, facts } = await stage(name, 30);
        await store.parts.put(name, ref, 4, [bytes(partBytes(), 99)], how());
        await store.parts.put(name, ref, 1, [bytes(partBytes(), 98)], how());
        const listed = await store.parts.list(name, ref, signal());
        assert.deepEqual(
          listed.map(({ number }) => number),
          [1, 3, 4, 5, 7],
        );
        const counted = listed.filter(({ number }) => number === 3 || number === 7);
        const made = await store.parts.complete(name, ref, counted, {}, how());
        const read = await readAll(store, name, { offsetBytes: 0 });
        assert.ok(read.data.equals(Buffer.concat([bytes(partBytes(), 30), bytes(1234, 32)])));
        assert.deepEqual(read.facts, made);
        assert.equal(facts.length, 3);
      });

      it("of one number are one part, the same bytes again as well", async () => {
        const name = key();
        const { ref, facts, data } = await stage(name, 40);
        await store.parts.put(name, ref, 3, [bytes(partBytes(), 40)], how());
        const listed = await store.parts.list(name, ref, signal());
        assert.deepEqual(
          listed.map(({ number, sizeBytes }) => ({ number, sizeBytes })),
          facts.map(({ number, sizeBytes }) => ({ number, sizeBytes })),
        );
        await store.parts.complete(name, ref, listed, {}, how());
        assert.ok((await readAll(store, name, { offsetBytes: 0 })).data.equals(data));
      });

      it("are put together once: who asks again is told that they are gone", async () => {
        const name = key();
        const { ref, facts } = await stage(name, 50);
        const made = await store.parts.complete(name, ref, facts, {}, how());
        for (const condition of [
          {},
          { condition: { ifAbsent: true } as const },
          { condition: { ifEtag: made.etag } },
        ]) {
          const again = other.parts.complete(name, ref, facts, condition, how());
          if (options.completesAgain === true) assert.deepEqual(await again, made);
          else await rejects(again, "UPLOAD_NOT_FOUND");
        }
        assert.deepEqual(await other.head(name, signal()), made);
        assert.deepEqual(await other.parts.list(name, ref, signal()), []);
        await other.delete(name, undefined, how());
        await rejects(other.parts.complete(name, ref, facts, {}, how()), "UPLOAD_NOT_FOUND");
        assert.equal(await other.head(name, signal()), undefined);
      });

      it("stay what they are when a condition does not hold", async () => {
        const name = key();
        const older = await store.put(name, bytes(10, 1), {}, how());
        const { ref, facts, data } = await stage(name, 60);
        await rejects(store.parts.complete(name, ref, facts, { condition: { ifAbsent: true } }, how()), "KEY_EXISTS");
        await rejects(
          store.parts.complete(name, ref, facts, { condition: { ifEtag: "0x0ther" } }, how()),
          "ETAG_MISMATCH",
        );
        assert.deepEqual(await store.head(name, signal()), older);
        assert.deepEqual(await store.parts.list(name, ref, signal()), facts);
        await store.parts.complete(name, ref, facts, { condition: { ifEtag: older.etag } }, how());
        assert.ok((await readAll(store, name, { offsetBytes: 0 })).data.equals(data));
      });

      it("replace an object without a condition", async () => {
        const name = key();
        await store.put(name, bytes(10, 1), {}, how());
        const { ref, facts, data } = await stage(name, 65);
        const made = await store.parts.complete(name, ref, facts, {}, how());
        assert.deepEqual(await store.head(name, signal()), made);
        assert.ok((await readAll(store, name, { offsetBytes: 0 })).data.equals(data));
      });

      it("leave nothing when they are abandoned", async () => {
        const name = key();
        const { ref, facts } = await stage(name, 70);
        await store.parts.abandon(name, ref, how());
        assert.deepEqual(await other.parts.list(name, ref, signal()), []);
        assert.equal(await other.head(name, signal()), undefined);
        await rejects(store.parts.complete(name, ref, facts, {}, how()), "UPLOAD_NOT_FOUND");
        await store.parts.abandon(name, ref, how());
        await store.parts.abandon(name, "unknown0", how());
        assert.deepEqual(await begun(store, name), []);
      });

      it("take nothing away from an object that is whole when they are abandoned after it", async () => {
        const name = key();
        const { ref, facts } = await stage(name, 75);
        const made = await store.parts.complete(name, ref, facts, {}, how());
        await other.parts.abandon(name, ref, how());
        assert.deepEqual(await store.head(name, signal()), made);
      });

      it("that were begun are found, completed ones are not", async () => {
        const folder = key();
        const waiting = `${folder}/waiting`;
        const { ref } = await stage(waiting, 80);
        const done = await stage(`${folder}/done`, 90);
        await store.parts.complete(`${folder}/done`, done.ref, done.facts, {}, how());
        const found = await begun(other, folder);
        assert.deepEqual(
          found.map(({ name, ref }) => ({ name, ref })),
          [{ name: waiting, ref }],
        );
        assert.ok(Math.abs((found[0]?.begunMs ?? 0) - Date.now()) < 600_000);
        await store.parts.abandon(waiting, ref, how());
      });
    });
  });
}

class TooLate extends Error {}

const signal = () => AbortSignal.timeout(60_000);

function how(): RequestHow {
  return { signal: signal(), assertInTime() {} };
}

/** The same for the same arguments, no two alike. */
export function bytes(length: number, seed: number): Buffer {
  const data = Buffer.alloc(length);
  let state = (seed + 1) * 2654435761;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[at] = state >>> 24;
  }
  return data;
}

/** In the order of bytes; names are ASCII. */
function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function rejects(promise: Promise<unknown>, reason: Reason): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(hasReason(error, reason), `${reason} was due, and this came: ${error}`);
    return true;
  });
}

/** The one that was let through; every other one was refused with this reason. */
async function only(tries: readonly Promise<ObjectFacts>[], reason: Reason): Promise<ObjectFacts> {
  const settled = await Promise.allSettled(tries);
  const through = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const refused = settled.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
  assert.equal(through.length, 1, `${through.length} of ${tries.length} were let through: ${refused.join("; ")}`);
  for (const error of refused) assert.ok(hasReason(error, reason), String(error));
  const [one] = through;
  assert.ok(one !== undefined);
  return one;
}

async function readAll(store: ObjectStore, name: string, range: Parameters<ObjectStore["read"]>[1]) {
  const read = await store.read(name, range, signal());
  const pieces: Uint8Array[] = [];
  for await (const piece of read.body) {
    assert.ok(piece.length <= MIB, `a piece of ${piece.length} bytes`);
    pieces.push(piece);
  }
  const data = Buffer.concat(pieces);
  assert.equal(data.length, read.lengthBytes);
  return { facts: read.facts, startBytes: read.startBytes, lengthBytes: read.lengthBytes, data };
}

/** Until `most` names have come, or all. */
async function listAll(store: ObjectStore, prefix: string, limit: number, most: number): Promise<string[]> {
  const names: string[] = [];
  let startAfter = "";
  while (names.length < most) {
    const page = await store.list({ prefix, startAfter, limit }, signal());
    assert.ok(page.items.length <= limit);
    names.push(...page.items.map(({ name }) => name));
    const last = page.items.at(-1);
    if (!page.more) break;
    assert.ok(last !== undefined, "a page without items says that more follow");
    startAfter = last.name;
  }
  return names;
}

async function begun(store: ObjectStore, prefix: string) {
  const found: { readonly name: string; readonly ref: string; readonly begunMs: number }[] = [];
  for await (const one of store.parts.begun(prefix, signal())) found.push(one);
  return found;
}

async function inParallel<Item>(items: readonly Item[], work: (item: Item) => Promise<unknown>): Promise<void> {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}
