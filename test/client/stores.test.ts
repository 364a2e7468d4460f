/** The pair of stores: recorded, refused when mixed, exchanged while requests go on. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pino } from "pino";
import type { ConnectOptions, Stores, StoreTarget } from "../../client/contract.ts";
import { connect } from "../../client/stores.ts";
import { hasReason, type Reason } from "../../proto/errors.ts";
import { error, FakeClock, FakeTransport, hang, ids, settle } from "./fakes.ts";

const rejected =
  (reason: Reason, text = /./) =>
  (e: unknown) =>
    hasReason(e, reason) && text.test(e.message);

class World {
  readonly clock = new FakeClock();
  readonly drivers = new Map<string, FakeTransport[]>();
  readonly pairs = new Map<string, string>();
  readonly lines: { level: number; msg: string }[] = [];
  readonly prepare = new Map<string, (t: FakeTransport) => void>();

  transport(target: StoreTarget): FakeTransport {
    const transport = new FakeTransport(this.clock);
    const { address } = target;
    transport.answers["meta.Get"] = ({ keys = [] }) => ({
      unread: [],
      results: keys.map((key) => {
        const text = this.pairs.get(address);
        return { key, item: text === undefined ? null : { key, value: Buffer.from(text), etag: `e-${text}` } };
      }),
    });
    transport.answers["meta.Write"] = ({ operations = [] }) => {
      this.pairs.set(address, String(operations[0]?.put));
      return { results: [{ key: operations[0]?.key ?? "", etag: "e" }] };
    };
    transport.answers["blob.Count"] = () => ({ count: 1, exact: true });
    transport.answers["meta.Count"] = () => ({ count: 2, exact: true });
    this.prepare.get(address)?.(transport);
    this.drivers.set(address, [...(this.drivers.get(address) ?? []), transport]);
    return transport;
  }

  connect(options: ConnectOptions): Stores {
    const log = pino({}, { write: (line: string) => void this.lines.push(JSON.parse(line)) });
    return connect(options, {
      log,
      clock: this.clock,
      random: () => 0.5,
      transport: (target) => this.transport(target),
    });
  }

  async ready(options: ConnectOptions = { blobs: { address: "a" } }): Promise<Stores> {
    const stores = this.connect(options);
    const ready = stores.ready();
    ready.catch(() => undefined);
    await this.clock.until(ready);
    return stores;
  }

  describe(address: string, describes: FakeTransport["describes"]): void {
    this.prepare.set(address, (t) => {
      t.describes = describes;
    });
  }
}

describe("the pair", () => {
  it("is recorded at the first connect, and calls wait for it", async () => {
    const world = new World();
    const stores = world.connect({ blobs: { address: "a" } });
    await world.clock.until(stores.ready());
    assert.equal(world.pairs.get("a"), ids.blob);
    assert.deepEqual(
      stores.health().map((one) => [one.kind, one.address, one.ready]),
      [
        ["blob", "a", true],
        ["meta", "a", true],
      ],
    );
    assert.equal((await stores.blobs.count("")).count, 1);
    assert.equal((await stores.meta.count("")).count, 2);
    await stores.close();
    assert.ok([...world.drivers.values()].flat().every((one) => one.closed));
  });

  it("a meta store of another blob store: refused, one line, no call gets through, health says why", async () => {
    const world = new World();
    world.pairs.set("m", ids.other);
    await assert.rejects(
      world.ready({ blobs: { address: "b" }, meta: { address: "m" } }),
      rejected("WRONG_STORE", /belongs to the blob store 3333/),
    );
    const stores = world.connect({ blobs: { address: "b" }, meta: { address: "m" } });
    await world.clock.advance(20_000);
    await assert.rejects(stores.blobs.count(""), rejected("WRONG_STORE"));
    await assert.rejects(stores.meta.count(""), rejected("WRONG_STORE"));
    assert.deepEqual(
      stores.health().map((one) => one.reason),
      ["WRONG_STORE", "WRONG_STORE"],
    );
    assert.equal(world.lines.filter((line) => line.level === 50).length, 2, "one for each connect");
    assert.equal(world.pairs.get("m"), ids.other, "and nothing was written");
    world.pairs.set("m", ids.blob);
    await world.clock.advance(2_000);
    assert.equal((await stores.blobs.count("")).count, 1, "put right, it goes on by itself");
  });

  it("another blob store that is accepted: the record is exchanged", async () => {
    const world = new World();
    world.pairs.set("a", ids.other);
    await world.ready({ blobs: { address: "a", acceptStoreId: ids.blob } });
    assert.equal(world.pairs.get("a"), ids.blob);
  });

  it("a read-only meta store without a record is used, with a warning", async () => {
    const world = new World();
    world.prepare.set("a", (t) => {
      t.answers["meta.Write"] = () => {
        throw error("READ_ONLY");
      };
    });
    await world.ready();
    assert.ok(world.lines.some((line) => line.level === 40 && /read-only/.test(line.msg)));
  });

  it("ready() waits while nobody listens, and rejects when one is refused", async () => {
    const world = new World();
    world.prepare.set("m", (t) => {
      t.answers["handshake.Version"] = () => hang();
    });
    const stores = world.connect({ blobs: { address: "b" }, meta: { address: "m" } });
    let settled = false;
    stores.ready().finally(() => {
      settled = true;
    });
    await world.clock.advance(60_000);
    assert.equal(settled, false);
    assert.deepEqual(
      stores.health().map((one) => one.ready),
      [false, false],
    );
    world.describe("m", { metaVersions: [{ major: 9, minor: 0 }] });
    await assert.rejects(
      world.ready({ blobs: { address: "b" }, meta: { address: "m" } }),
      rejected("VERSION_UNSUPPORTED"),
    );
  });

  for (const [what, wrong, right] of [
    [
      "a driver is refused",
      (world: World) => world.describe("m", { metaVersions: [{ major: 9, minor: 0 }] }),
      (world: World) => {
        for (const one of world.drivers.get("m") ?? []) one.describes = {};
      },
    ],
    [
      "the two are no pair",
      (world: World) => void world.pairs.set("m", ids.other),
      (world: World) => void world.pairs.set("m", ids.blob),
    ],
  ] as const) {
    it(`ready() once ${what} is asked anew: it says so while it lasts, and resolves once it is over`, async () => {
      const world = new World();
      wrong(world);
      const stores = world.connect({ blobs: { address: "b" }, meta: { address: "m" } });
      for (let n = 0; n < 2; n += 1) await assert.rejects(world.clock.until(stores.ready()));
      right(world);
      await world.clock.advance(5_000);
      await world.clock.until(stores.ready());
      assert.equal((await stores.meta.count("")).count, 2);
      await stores.close();
    });
  }

  it("ready() of stores that were closed before rejects however often it is asked", async () => {
    const world = new World();
    const stores = world.connect({ blobs: { address: "b" } });
    await stores.close();
    for (let n = 0; n < 2; n += 1) await assert.rejects(world.clock.until(stores.ready()), /were closed/);
  });

  it("an address of no known form is refused at once", () => {
    assert.throws(
      () => connect({ blobs: { address: "http://x" } }, { log: pino({ level: "silent" }) }),
      rejected("INVALID_FIELD"),
    );
  });
});

describe("switching a store", () => {
  it("moves to a driver of the same data; the old connection closes once it is idle", async () => {
    const world = new World();
    const stores = await world.ready();
    const old = world.drivers.get("a")?.[0];
    let answer: () => void = () => undefined;
    if (old)
      old.answers["blob.Count"] = () =>
        new Promise((resolve) => {
          answer = () => resolve({ count: 7, exact: true });
        });
    const under = stores.blobs.count("");
    await settle();
    const changes: unknown[] = [];
    stores.onChanged((change) => changes.push(change));
    await world.clock.until(stores.switchTo("blob", { address: "b" }));
    assert.equal((await stores.blobs.count("")).count, 1);
    assert.equal(old?.closed, false, "a call is under way there");
    answer();
    assert.equal((await under).count, 7);
    await settle();
    assert.equal(old?.closed, true);
    assert.equal(stores.blobs.facts.address, "b");
    assert.deepEqual(changes, []);
  });

  it("an upload whose driver is gone goes on at the new address of the same store", async () => {
    const world = new World();
    const stores = await world.ready();
    const old = world.drivers.get("a")?.[0];
    let breakOld: () => void = () => undefined;
    if (old) {
      old.appends = [
        async (s) => {
          await s.wait(() => s.received.length > 0);
          s.send({ opened: { persisted: 0, fence: 1 } });
          breakOld = () => s.break(error("UNREACHABLE"));
        },
      ];
    }
    world.prepare.set("b", (t) => {
      t.appends = [
        async (s) => {
          await s.wait(() => s.received.length > 0);
          s.send({ opened: { persisted: 0, fence: 2 } });
          await s.wait(() => s.ended);
          s.send({ progress: { received: 5, persisted: 5 } });
          s.finish();
        },
      ];
    });
    async function* body() {
      yield Buffer.from("hello");
    }
    const done = stores.blobs.append({
      uploadId: "u",
      create: true,
      algorithm: "sha256",
      offsetBytes: 0,
      body: body(),
    });
    await settle();
    await world.clock.until(stores.switchTo("blob", { address: "b" }));
    breakOld();
    assert.deepEqual(await world.clock.until(done), { persistedBytes: 5 });
  });

  it("another store only by its id; the old one is kept for its uploads, for 24 h", async () => {
    const world = new World();
    const stores = await world.ready();
    world.describe("b", { blobId: ids.other });
    await assert.rejects(
      world.clock.until(stores.switchTo("blob", { address: "b" })),
      rejected("WRONG_STORE", /acceptStoreId/),
    );
    assert.equal(stores.blobs.facts.address, "a", "a failed check keeps the old one");
    assert.equal(world.drivers.get("b")?.[0]?.closed, true);
    const changes: { kind: string; otherStore: boolean }[] = [];
    stores.onChanged((change) => changes.push(change));
    await world.clock.until(stores.switchTo("blob", { address: "b", acceptStoreId: ids.other }));
    assert.equal(stores.blobs.facts.id, ids.other);
    assert.equal(world.pairs.get("a"), ids.other);
    assert.deepEqual(
      changes.map((one) => [one.kind, one.otherStore]),
      [["blob", true]],
    );
    assert.equal((await stores.blobsById(ids.blob)?.count(""))?.count, 1);
    assert.equal(stores.blobsById(ids.blob)?.facts.address, "a");
    await world.clock.advance(23 * 3_600_000);
    assert.notEqual(stores.blobsById(ids.blob), undefined);
    await world.clock.advance(2 * 3_600_000);
    assert.equal(stores.blobsById(ids.blob), undefined);
    assert.equal(world.drivers.get("a")?.[0]?.closed, true);
  });

  it("another pair in one step: accepting the blobs accepts the meta store whose record names them", async () => {
    const world = new World();
    const stores = await world.ready();
    world.describe("b", { blobId: ids.other, metaId: ids.blob });
    world.pairs.set("b", ids.other);
    const b = { address: "b" };
    await assert.rejects(world.clock.until(stores.switchBoth(b, b)), rejected("WRONG_STORE", /acceptStoreId/));
    assert.equal(stores.meta.facts.address, "a");
    await world.clock.until(stores.switchBoth({ ...b, acceptStoreId: ids.other }, b));
    assert.deepEqual([stores.blobs.facts.id, stores.meta.facts.id], [ids.other, ids.blob]);
    assert.deepEqual([world.pairs.get("a"), world.pairs.get("b")], [ids.blob, ids.other], "the old pair stays one");

    const back = { address: "a" };
    await world.clock.until(stores.switchBoth({ ...back, acceptStoreId: ids.blob }, back));
    assert.deepEqual([stores.blobs.facts.address, stores.meta.facts.address], ["a", "a"]);
  });

  it("a pair whose blobs are accepted and whose meta store belongs to others is refused whole", async () => {
    const world = new World();
    const stores = await world.ready();
    world.describe("b", { blobId: ids.other, metaId: ids.blob });
    world.pairs.set("b", ids.meta);
    await assert.rejects(
      world.clock.until(stores.switchBoth({ address: "b", acceptStoreId: ids.other }, { address: "b" })),
      rejected("WRONG_STORE"),
    );
    assert.deepEqual([stores.blobs.facts.address, stores.meta.facts.address], ["a", "a"]);
    assert.equal(world.pairs.get("b"), ids.meta, "nothing was written");
  });

  it("a step of the registry that refuses it has written nothing; a record comes after all checks", async () => {
    const world = new World();
    const stores = await world.ready();
    world.describe("b", { blobId: ids.other });
    const b = { address: "b", acceptStoreId: ids.other };
    const check = async () => {
      throw error("INVALID_FIELD");
    };
    await assert.rejects(world.clock.until(stores.exchange({ blobs: b }, { check })), rejected("INVALID_FIELD"));
    assert.equal(world.pairs.get("a"), ids.blob);
    assert.equal(stores.blobs.facts.address, "a");
    const order: string[] = [];
    await world.clock.until(
      stores.exchange(
        { blobs: b },
        {
          check: async (next) => void order.push(`check ${next.blobs} ${world.pairs.get("a")}`),
          record: async (next) => void order.push(`record ${next.blobs} ${world.pairs.get("a")}`),
          commit: () => void order.push(`commit ${stores.blobs.facts.id}`),
        },
      ),
    );
    assert.deepEqual(order, [
      `check ${ids.other} ${ids.blob}`,
      `record ${ids.other} ${ids.other}`,
      `commit ${ids.other}`,
    ]);
  });

  it("a check that fails keeps the old one and says why", async () => {
    const world = new World();
    const stores = await world.ready();
    world.prepare.set("down", (t) => {
      t.answers["handshake.Version"] = () => {
        throw error("UNREACHABLE");
      };
    });
    await assert.rejects(world.clock.until(stores.switchTo("blob", { address: "down" })), rejected("UNREACHABLE"));
    world.prepare.set("hangs", (t) => {
      t.answers["handshake.Version"] = () => hang();
    });
    await assert.rejects(world.clock.until(stores.switchTo("meta", { address: "hangs" })), rejected("TIMED_OUT"));
    await assert.rejects(
      world.clock.until(stores.switchTo("blob", { address: "b", requiredCapabilities: ["LOCAL_FILE"] })),
      rejected("CAPABILITY_MISSING"),
    );
    world.pairs.set("mixed", ids.other);
    await assert.rejects(world.clock.until(stores.switchTo("meta", { address: "mixed" })), rejected("WRONG_STORE"));
    assert.equal((await stores.blobs.count("")).count, 1);
    assert.equal((await stores.meta.count("")).count, 2);
    assert.deepEqual(
      stores.health().map((one) => [one.address, one.ready]),
      [
        ["a", true],
        ["a", true],
      ],
    );
  });
});

describe("a blob store beside the pair", () => {
  const both = { blobs: { address: "a" }, meta: { address: "m" }, beside: { address: "b" } };
  const moving = async () => {
    const world = new World();
    world.describe("b", { blobId: ids.other });
    return { world, stores: await world.ready(both) };
  };

  it("is used by its id, shown in health, and not of the pair", async () => {
    const { world, stores } = await moving();
    assert.equal(world.pairs.get("m"), ids.blob);
    assert.equal(stores.beside?.facts.id, ids.other);
    assert.equal(stores.blobsById(ids.other)?.facts.address, "b");
    assert.equal(stores.uploadStoreId, ids.blob);
    assert.deepEqual(
      stores.health().map((one) => [one.kind, one.address, one.ready, one.beside]),
      [
        ["blob", "a", true, undefined],
        ["meta", "m", true, undefined],
        ["blob", "b", true, true],
      ],
    );
  });

  it("may be the one that the pair is recorded with: the move has ended for another core", async () => {
    const world = new World();
    world.describe("b", { blobId: ids.other });
    world.pairs.set("m", ids.other);
    await world.ready(both);
    assert.equal(world.pairs.get("m"), ids.other, "the record stays");
    await assert.rejects(world.ready({ blobs: { address: "a" }, meta: { address: "m" } }), rejected("WRONG_STORE"));
  });

  it("is refused when it is the same store", async () => {
    const world = new World();
    await assert.rejects(world.ready(both), rejected("WRONG_STORE", /the same blob store/));
  });

  it("is taken up, takes the place of the blobs and is left, each in one step; a failed check changes nothing", async () => {
    const world = new World();
    world.describe("b", { blobId: ids.other });
    const stores = await world.ready({ blobs: { address: "a" }, meta: { address: "m" } });
    await world.clock.until(stores.exchange({ beside: { address: "b" } }));
    assert.equal(stores.beside?.facts.id, ids.other);
    const check = async ({ meta }: { readonly meta: { readonly facts: { readonly id: string } } }) => {
      assert.equal(meta.facts.id, ids.meta);
      throw error("READ_ONLY");
    };
    await assert.rejects(world.clock.until(stores.exchange({ beside: "none" }, { check })), rejected("READ_ONLY"));
    assert.equal(stores.beside?.facts.id, ids.other);
    const end = { blobs: { address: "b" }, beside: "none" } as const;
    await assert.rejects(world.clock.until(stores.exchange(end)), rejected("WRONG_STORE", /acceptStoreId/));
    let seen = "";
    await world.clock.until(
      stores.exchange(
        { ...end, blobs: { address: "b", acceptStoreId: ids.other } },
        {
          commit() {
            seen = `${stores.blobs.facts.id} ${stores.beside}`;
          },
        },
      ),
    );
    assert.equal(seen, `${ids.other} undefined`);
    assert.equal(world.pairs.get("m"), ids.other);
    assert.equal(stores.blobsById(ids.blob)?.facts.address, "a", "kept for its uploads");
    assert.deepEqual(
      world.drivers.get("b")?.map((one) => one.closed),
      [true, true, false],
      "what was beside is the blob store now, through one connection",
    );
  });
});
