/** What the mirror does with its two stores, seen from both sides. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { initMirror, openMirror } from "../../../drivers/mirror/open.ts";
import { hasReason, OutriggerError } from "../../../proto/errors.ts";
import { until } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { connectTo, contentOf, digestOf, keysOf, push } from "../composed/faults.ts";
import { type Hosted, host, memberDefaults, openContext, Watched } from "../composed/hosted.ts";

const MIB = 1024 * 1024;

/** A member that is started and stopped at one address, and keeps its data. */
class Side {
  readonly watched: Watched;
  readonly #scope: Scope;
  #hosted: Hosted;

  private constructor(scope: Scope, watched: Watched, hosted: Hosted) {
    this.#scope = scope;
    this.watched = watched;
    this.#hosted = hosted;
  }

  static async start(scope: Scope): Promise<Side> {
    const watched = await Watched.memory();
    return new Side(scope, watched, await host(scope, watched.open));
  }

  get address(): string {
    return this.#hosted.address;
  }

  async stop(): Promise<void> {
    await this.#hosted.stop();
  }

  async start(): Promise<void> {
    this.#hosted = await host(this.#scope, this.watched.open, this.address);
  }

  async client() {
    const connection = connectTo(this.#scope, this.address);
    await connection.channel.described();
    return connection;
  }
}

const defaults = {
  ...memberDefaults,
  diffEvery: 24 * 60 * 60 * 1000,
  compare: "size",
  maxPending: 1000,
  memberWait: 1_000,
};

interface How {
  readonly mode?: "sync" | "behind";
  readonly compare?: string;
  /** Before there is a mirror. */
  readonly prepare?: (primary: Side) => Promise<void>;
}

async function world(t: TestContext, how: How = {}) {
  const scope = new Scope();
  t.after(scope.close);
  const [primary, secondary] = [await Side.start(scope), await Side.start(scope)];
  const options = {
    ...defaults,
    primary: primary.address,
    secondary: secondary.address,
    secondaryWrites: how.mode ?? "sync",
    compare: how.compare ?? "size",
  };
  await how.prepare?.(primary);
  await initMirror(options, openContext);
  const start = () => host(scope, () => openMirror(options, openContext));
  const hosted = await start();
  const client = connectTo(scope, hosted.address);
  await client.channel.described();
  return { scope, primary, secondary, options, start, hosted, client };
}

/** The record says that the secondary has been filled once: from then on it may be read. */
function filled(side: Side): Promise<void> {
  const record = async () => {
    const client = await side.client();
    const [key = ""] = (await keysOf(client, "outrigger-mirror/")).filter((one) => one.endsWith("/member"));
    const read = await client.store.read(key);
    const pieces: Buffer[] = [];
    for await (const piece of read.body) pieces.push(piece);
    return Buffer.concat(pieces).toString();
  };
  return until(
    async () => (await record()).includes('"filled":"yes"'),
    15_000,
    () => "no diff was made to its end",
  );
}

const visible = async (side: Side) => keysOf(await side.client(), "docker/");
const oneTry = { signal: AbortSignal.timeout(600_000) };

describe("the mirror", () => {
  it("has every acknowledged change in both stores", async (t) => {
    const { client, primary, secondary } = await world(t);
    await client.store.put("docker/a", Buffer.from("a"));
    const large = Buffer.alloc(3 * MIB, 1);
    await push(client, "docker/b", large, false);
    await client.store.put("docker/c", Buffer.from("c"));
    await client.store.delete(["docker/a"]);
    await client.store.move("docker/c", "docker/d");
    for (const side of [primary, secondary]) {
      const direct = await side.client();
      assert.deepEqual(await keysOf(direct, "docker/"), ["docker/b", "docker/d"]);
      assert.equal(await contentOf(direct, "docker/b"), digestOf(large));
    }
    assert.deepEqual(await keysOf(client), ["docker/b", "docker/d"], "what is the mirror's own is not listed");
  });

  it("hides and refuses its own keys", async (t) => {
    const { client, primary } = await world(t);
    const [own = ""] = await keysOf(await primary.client(), "outrigger-mirror/");
    assert.deepEqual(await client.store.count(""), { count: 0, exact: true });
    for (const work of [
      () => client.store.stat([own]),
      () => client.store.read(own),
      () => client.store.put(own, Buffer.from("x")),
      () => client.store.delete([own]),
      () => client.store.move(own, "docker/x"),
    ])
      await assert.rejects(work(), (error) => hasReason(error, "INVALID_KEY"));
  });

  it("acknowledges nothing that only one store has (sync), and tells nobody of it", async (t) => {
    const { client, secondary } = await world(t);
    await client.store.put("docker/a", Buffer.from("old"));
    secondary.watched.before = async (name) => {
      if (name === "put") throw new OutriggerError("BACKEND_DOWN", "the disk is away");
    };
    await assert.rejects(client.store.put("docker/a", Buffer.from("new"), { once: true }), /the disk is away/);
    await assert.rejects(client.store.stat(["docker/a"], oneTry), /the disk is away|is not on the secondary/);
    secondary.watched.before = async () => {};
    assert.equal(await contentOf(client, "docker/a"), digestOf(Buffer.from("new")));
    assert.equal(await contentOf(await secondary.client(), "docker/a"), digestOf(Buffer.from("new")));
  });

  it("goes on reading from the secondary, also in the middle of a blob, and refuses changes", async (t) => {
    const { client, primary } = await world(t);
    const data = Buffer.alloc(8 * MIB, 5);
    await push(client, "docker/a", data, true);
    await filled(primary);
    const read = await client.store.read("docker/a");
    const body = read.body[Symbol.asyncIterator]();
    const pieces: Buffer[] = [];
    const first = await body.next();
    if (!first.done) pieces.push(Buffer.from(first.value));
    await primary.stop();
    for (let next = await body.next(); !next.done; next = await body.next()) pieces.push(Buffer.from(next.value));
    assert.ok(Buffer.concat(pieces).equals(data));
    assert.equal(await contentOf(client, "docker/a"), digestOf(data));
    assert.deepEqual(await keysOf(client), ["docker/a"]);
    assert.deepEqual(await client.store.count("docker/"), { count: 1, exact: true });
    await assert.rejects(
      client.store.put("docker/b", Buffer.from("b"), { once: true }),
      /the primary at .* is not usable/,
    );
  });

  it("follows later (behind), keeps what waits over a restart, and never gives back what was deleted meanwhile", async (t) => {
    const { scope, client, primary, secondary, hosted, start } = await world(t, { mode: "behind" });
    await filled(primary);
    for (const key of ["docker/a", "docker/b", "docker/c"]) await client.store.put(key, Buffer.from(`${key} old`));
    await until(
      async () => (await visible(secondary)).length === 3,
      10_000,
      () => "the secondary does not follow",
    );
    await secondary.stop();
    await client.store.delete(["docker/a"]);
    await client.store.put("docker/b", Buffer.from("b new"));
    await hosted.stop();
    const again = connectTo(scope, (await start()).address);
    await again.channel.described();
    await primary.stop();
    await secondary.start();
    // The secondary has other contents of them, and one that is gone: what waits is not read from it.
    for (const key of ["docker/a", "docker/b"]) await assert.rejects(again.store.stat([key], oneTry), /not usable/);
    await assert.rejects(again.store.list({ prefix: "" }, oneTry), /not usable/);
    await until(
      () =>
        contentOf(again, "docker/c").then(
          (content) => content === digestOf(Buffer.from("docker/c old")),
          () => false,
        ),
      20_000,
      () => "what does not wait is not read",
    );
    await primary.start();
    await until(
      async () => (await visible(secondary)).join() === "docker/b,docker/c",
      30_000,
      () => "the secondary does not catch up",
    );
    assert.deepEqual(await visible(primary), ["docker/b", "docker/c"]);
    assert.equal(await contentOf(await secondary.client(), "docker/b"), digestOf(Buffer.from("b new")));
  });

  it("repairs by a diff what was changed past it: at the start, on a return, and on demand", async (t) => {
    const { client, primary, secondary } = await world(t, { compare: "content" });
    const contents = new Map(["docker/a", "docker/b", "docker/c"].map((key) => [key, Buffer.from(`of ${key}`)]));
    for (const [key, data] of contents) await client.store.put(key, data);
    await filled(primary);
    const direct = await secondary.client();
    await direct.store.delete(["docker/a"]);
    await direct.store.put("docker/b", Buffer.from("OF DOCKER/B".slice(0, contents.get("docker/b")?.length ?? 0)));
    await direct.store.put("docker/z", Buffer.from("never pushed"));
    process.kill(process.pid, "SIGUSR2");
    await until(
      async () => {
        if ((await visible(secondary)).join() !== [...contents.keys()].join()) return false;
        for (const [key, data] of contents) if ((await contentOf(direct, key)) !== digestOf(data)) return false;
        return true;
      },
      20_000,
      () => "the diff repairs nothing",
    );
    assert.deepEqual(await visible(primary), [...contents.keys()], "nothing is copied back");
  });

  it("makes a diff to its end past a blob that one side cannot give or take", async (t) => {
    const { client, primary, secondary } = await world(t, { compare: "content" });
    await filled(primary);
    const keys = ["docker/a", "docker/b", "docker/c", "docker/z"];
    for (const key of keys) await client.store.put(key, Buffer.from(`of ${key}`));
    const direct = await secondary.client();
    await direct.store.delete(["docker/b", "docker/z"]);
    const failing = new OutriggerError("INTERNAL", "this blob cannot be read");
    primary.watched.before = async (name, key) => {
      if (name === "read" && (key === "docker/a" || key === "docker/b")) throw failing;
    };
    let isDamaged = true;
    secondary.watched.before = async (name, key) => {
      if (key !== "docker/c") return;
      if (name === "delete") isDamaged = false;
      if (name === "read" && isDamaged) throw failing;
    };
    process.kill(process.pid, "SIGUSR2");
    await until(
      async () => !isDamaged && (await visible(secondary)).join() === "docker/a,docker/c,docker/z",
      20_000,
      () => "the diff does not go on past it",
    );
    assert.equal(await contentOf(direct, "docker/c"), digestOf(Buffer.from("of docker/c")));
    primary.watched.before = async () => {};
    await until(
      async () => (await visible(secondary)).join() === keys.join(),
      20_000,
      () => "what failed does not stay pending",
    );
  });

  it("counts a secondary as filled where one blob of the primary cannot be read", async (t) => {
    const prepare = async (side: Side) => {
      await (await side.client()).store.put("docker/a", Buffer.from("of docker/a"));
      side.watched.before = async (name, key) => {
        if (name === "read" && key === "docker/a") throw new OutriggerError("INTERNAL", "this blob cannot be read");
      };
    };
    const { primary } = await world(t, { prepare });
    await filled(primary);
  });

  it("changes nothing while it is sealed, and reads what is pending", async (t) => {
    const { scope, client, options, hosted, secondary } = await world(t);
    secondary.watched.before = async (name) => {
      if (name === "put") throw new OutriggerError("BACKEND_DOWN", "the disk is away");
    };
    await assert.rejects(client.store.put("docker/a", Buffer.from("a"), { once: true }), /the disk is away/);
    await hosted.stop();
    const sealed = await host(scope, () => openMirror(options, { ...openContext, readOnly: true }));
    const reader = connectTo(scope, sealed.address);
    await reader.channel.described();
    assert.equal(await contentOf(reader, "docker/a"), digestOf(Buffer.from("a")));
    assert.deepEqual(await visible(secondary), []);
  });

  it("takes a new secondary by an --init that was ended between its two records", async (t) => {
    const { scope, client, primary, options, hosted } = await world(t);
    await client.store.put("docker/a", Buffer.from("a"));
    await hosted.stop();
    const fresh = await Side.start(scope);
    const asked = { ...options, secondary: fresh.address };
    primary.watched.before = async (name, key) => {
      if (name === "put" && String(key).endsWith("/member")) throw new OutriggerError("INTERNAL", "ended");
    };
    await assert.rejects(initMirror(asked, openContext));
    primary.watched.before = async () => {};
    await initMirror(asked, openContext);
    await host(scope, () => openMirror(asked, openContext));
    await until(
      async () => (await visible(fresh)).join() === "docker/a",
      20_000,
      () => "the new secondary is not filled",
    );
  });

  it("does not wait at its end for a copy under way", async (t) => {
    const { hosted, options, primary, secondary } = await world(t);
    await hosted.stop();
    await push(await primary.client(), "docker/a", Buffer.alloc(3 * MIB, 1), true);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const opened = new Promise<void>((resolve) => {
      secondary.watched.before = async (name) => {
        if (name !== "open") return;
        resolve();
        await held;
      };
    });
    const driver = await openMirror(options, openContext);
    await opened;
    const closing = driver.close();
    release();
    await closing;
    assert.deepEqual(await visible(secondary), []);
  });

  it("refuses, in one sentence, what cannot be right", async (t) => {
    const { scope, options, primary, secondary } = await world(t);
    const open = (how: object) => openMirror({ ...options, ...how }, openContext);
    const init = (how: object) => initMirror({ ...options, ...how }, openContext);
    await assert.rejects(
      open({ primary: secondary.address, secondary: primary.address }),
      /is this mirror store's secondary: exchange the addresses/,
    );
    await assert.rejects(open({ secondary: primary.address }), /are the same store/);
    const other = await Side.start(scope);
    await assert.rejects(
      open({ secondary: other.address }),
      /and this mirror store's secondary is .*: put the address right/,
    );
    await assert.rejects(open({ primary: other.address, secondary: (await Side.start(scope)).address }), (error) =>
      hasReason(error, "NOT_INITIALISED"),
    );
    const nobody = "unix:///tmp/nobody-listens-here.sock";
    await assert.rejects(open({ primary: nobody, secondary: nobody }), /does not answer: start its driver first/);
    await assert.rejects(init({ secondary: nobody }), /the secondary at .* does not answer/);
    const full = await Side.start(scope);
    await (await full.client()).store.put("docker/only-here", Buffer.from("x"));
    await assert.rejects(
      init({ primary: other.address, secondary: full.address }),
      /holds docker\/only-here, which .* does not have/,
    );
    const { openMemoryDriver } = await import("../../../drivers/memory/index.ts");
    const meta = await host(scope, () => openMemoryDriver({ stores: "meta" }));
    await assert.rejects(
      init({ primary: other.address, secondary: meta.address }),
      /the secondary at .* cannot be used/,
    );
  });
});
