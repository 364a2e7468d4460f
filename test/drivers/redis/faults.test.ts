/** What the driver does while its server is killed, stopped, emptied, full, put back, or its answers are lost. */
import assert from "node:assert/strict";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { hasReason } from "../../../proto/errors.ts";
import { FaultProxy } from "../../helpers/fault-proxy.ts";
import { until } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { missing } from "../../helpers/tools.ts";
import { call, everything, failsWith, init, type Opened, open, put, remove, soon, texts } from "./in-process.ts";
import { DURABLE, RedisServer } from "./redis.ts";

const KILLS = 5;

/** Resolves once the driver serves again. */
const serves = ({ meta }: Opened) =>
  until(
    () =>
      meta.get(["x"], call()).then(
        () => true,
        () => false,
      ),
    20_000,
    () => "the driver does not come back",
  );

describe("the redis driver when its server fails", { skip: missing("redis-server", "redis-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  async function opened(flags: readonly string[] = ["--timeout", "1s"], server?: RedisServer) {
    const at = server ?? (await RedisServer.start(scope));
    await init(at.url, flags);
    return { server: at, driver: await open(scope, at.url, flags) };
  }

  it(`loses no acknowledged Write over ${KILLS} kills -9 of the server, and shows none in part`, async (t) => {
    const random = randomOf(seedOf(t));
    const { server, driver } = await opened();
    // What each pair of keys may hold: the last acknowledged number, and those after it whose outcome is not known.
    const acknowledged = new Map<number, number>();
    const possible = new Map<number, Set<number>>();
    let stop = false;
    let unknown = 0;
    const writer = async (pair: number) => {
      for (let number = 1; !stop; number++) {
        const operations = [put(`pair/${pair}/a`, String(number)), put(`pair/${pair}/b`, String(number))];
        possible.set(pair, (possible.get(pair) ?? new Set()).add(number));
        try {
          await driver.meta.write(operations, soon());
          acknowledged.set(pair, number);
          possible.set(pair, new Set([number]));
        } catch (error) {
          assert.ok(hasReason(error, "BACKEND_DOWN"), String(error));
          if (error.metadata["sent"] === "no") possible.get(pair)?.delete(number);
          else unknown++;
          await sleep(20);
        }
      }
    };
    const writers = Array.from({ length: 8 }, (_, pair) => writer(pair));
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(random.between(100, 400));
      await server.kill();
      await server.start();
      await serves(driver);
    }
    stop = true;
    await Promise.all(writers);
    t.diagnostic(
      `${[...acknowledged.values()].reduce((sum, one) => sum + one, 0)} Writes, ${unknown} of unknown outcome`,
    );
    for (let pair = 0; pair < writers.length; pair++) {
      const [a, b] = await texts(driver.meta, `pair/${pair}/a`, `pair/${pair}/b`);
      assert.equal(a, b, "half a Write");
      assert.ok(possible.get(pair)?.has(Number(a)), `pair ${pair} holds ${a}: ${[...(possible.get(pair) ?? [])]}`);
    }
    assert.equal((await everything(driver.meta)).size, 2 * writers.length);
  });

  it("answers in time while the server stands still, and goes on when it does", async () => {
    const { server, driver } = await opened();
    await driver.meta.write([put("a", "1")], soon());
    server.process.signal("SIGSTOP");
    try {
      const begun = performance.now();
      await failsWith(driver.meta.get(["a"], call()), "BACKEND_DOWN");
      await failsWith(driver.meta.write([put("a", "2", { ifPresent: true })], soon()), "BACKEND_DOWN");
      assert.ok(performance.now() - begun < 5_000);
    } finally {
      server.process.signal("SIGCONT");
    }
    await serves(driver);
    await driver.meta.write([put("a", "3")], soon());
    assert.deepEqual(await texts(driver.meta, "a"), ["3"]);
  });

  it("does nothing of a Write that a stopped server finds past its time", async () => {
    const { server, driver } = await opened(["--timeout", "10s"]);
    server.process.signal("SIGSTOP");
    const late = driver.meta.write([put("late", "x")], call({ notAfterMs: Date.now() + 400 }));
    await sleep(800);
    server.process.signal("SIGCONT");
    await failsWith(late, "TOO_LATE");
    assert.deepEqual(await texts(driver.meta, "late"), [undefined]);
  });

  it("takes an emptied server for no store at all, while it runs and at its start", async () => {
    const { server, driver } = await opened();
    await driver.meta.write([put("a", "1")], soon());
    await server.cli("FLUSHALL");
    await failsWith(driver.meta.get(["a"], call()), "BACKEND_DOWN", /is gone from .*: the server was emptied/);
    await failsWith(driver.meta.write([put("b", "1", { ifAbsent: true })], soon()), "BACKEND_DOWN");
    assert.equal(await server.cli("DBSIZE"), "0");
    await failsWith(open(scope, server.url), "NOT_INITIALISED");
  });

  it("notices a server that was put back to an older copy", async () => {
    const { server, driver } = await opened();
    await driver.meta.write([put("a", "1")], soon());
    await server.kill();
    const copy = join(tempFolder(scope), "copy");
    cpSync(server.folder, copy, { recursive: true });
    await server.start();
    await serves(driver);
    await driver.meta.write([put("a", "2")], soon());
    await server.kill();
    rmSync(server.folder, { recursive: true });
    cpSync(copy, server.folder, { recursive: true });
    await server.start();
    await until(
      () =>
        driver.meta.get(["a"], call()).then(
          () => assert.fail("the older content was served"),
          (error) => /has lost at least 1 acknowledged Write/.test(String(error)),
        ),
      20_000,
      () => "the loss is not told",
    );
  });

  it("says QUOTA when the server's memory is full, loses nothing, and still deletes", async () => {
    const server = await RedisServer.start(scope, {
      flags: [...DURABLE, "--maxmemory", "4mb", "--maxmemory-policy", "noeviction"],
    });
    const { driver } = await opened(["--timeout", "5s"], server);
    let stored = 0;
    const filling = async () => {
      for (; stored < 1000; stored++) await driver.meta.write([put(`fill/${stored}`, Buffer.alloc(64 * 1024))], soon());
    };
    await failsWith(filling(), "QUOTA");
    assert.ok(stored > 2);
    // Beyond doubt: what is in use moves with each request.
    await server.cli("CONFIG", "SET", "maxmemory", "1mb");
    await failsWith(driver.meta.write([remove("fill/0"), put("more", "x".repeat(100))], soon()), "QUOTA");
    assert.equal((await everything(driver.meta)).size, stored);
    await driver.meta.write([remove("fill/0"), remove("fill/1")], soon());
    assert.equal((await everything(driver.meta)).size, stored - 2);
    await server.cli("CONFIG", "SET", "maxmemory", "16mb");
    await driver.meta.write([put("more", "x")], soon());
  });

  for (const [fault, done] of [
    ["cut-after", true],
    ["cut-before", false],
  ] as const) {
    it(`says that an outcome is not known when a Write's connection is ${fault}, and never sends it again`, async () => {
      const server = await RedisServer.start(scope);
      await init(server.url);
      const proxy = await FaultProxy.start(scope, server.address);
      const driver = await open(scope, `redis://${proxy.address}`, ["--timeout", "2s"]);
      // The server knows the script from here on.
      await driver.meta.write([put("first", "1")], soon());
      let cut = 0;
      proxy.onRequest = (piece) => (piece.includes("once/key") && cut++ === 0 ? fault : "pass");
      const error = await failsWith(
        driver.meta.write([put("once/key", "1", { ifAbsent: true })], soon()),
        "BACKEND_DOWN",
        /whether the Write took effect is not known/,
      );
      assert.equal(error.metadata["outcome"], "unknown");
      await until(
        () =>
          driver.meta.get(["x"], call()).then(
            () => true,
            () => false,
          ),
        10_000,
        () => "the driver does not come back",
      );
      assert.equal(cut, 1);
      assert.deepEqual(await texts(driver.meta, "once/key"), [done ? "1" : undefined]);
    });
  }

  it("stops serving while the server's settings are no longer what it needs", async () => {
    const { server, driver } = await opened();
    await driver.meta.write([put("a", "1")], soon());
    await server.cli("CONFIG", "SET", "appendfsync", "everysec");
    await failsWith(driver.meta.check(new AbortController().signal), "BACKEND_DOWN", /appendfsync/);
    await failsWith(driver.meta.write([put("a", "2")], soon()), "BACKEND_DOWN", /appendfsync/);
    await server.cli("CONFIG", "SET", "appendfsync", "always");
    await driver.meta.check(new AbortController().signal);
    await driver.meta.write([put("a", "3")], soon());
  });
});
