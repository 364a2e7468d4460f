/** --wait-replicas with a real replica: what it has not received is neither acknowledged nor read, and is no loss. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { FaultProxy } from "../../helpers/fault-proxy.ts";
import { until } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { missing } from "../../helpers/tools.ts";
import { call, failsWith, init, type Opened, open, put, remove, soon, texts } from "./in-process.ts";
import { DURABLE, RedisServer } from "./redis.ts";

/** Above what a sync of the replica takes on a busy machine. */
const WAITING = ["--timeout", "4s", "--wait-replicas", "1"];
const FLAGS = [...DURABLE, "--repl-diskless-sync-delay", "0"];
const signal = () => new AbortController().signal;

describe("the redis driver with --wait-replicas", { skip: missing("redis-server", "redis-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  /** A primary, its replica behind a proxy that may hold back what is replicated, and the store's id. */
  async function replicated() {
    const primary = await RedisServer.start(scope, { flags: FLAGS });
    const [host = "", port = ""] = primary.address.split(":");
    const replica = await RedisServer.start(scope, { flags: [...FLAGS, "--replicaof", `${host} ${port}`] });
    const online = () =>
      until(
        async () => /slave0:.*state=online/.test(await primary.cli("INFO", "replication")),
        20_000,
        () => "the replica does not come",
      );
    await online();
    // What a sync brought is on the replica's disk only once that has written its file anew.
    const held = ["master_link_status:up", "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"];
    await until(
      async () => {
        const info = await replica.cli("INFO");
        return held.every((line) => info.includes(line));
      },
      20_000,
      () => "the replica does not write its file",
    );
    await init(primary.url);
    return { primary, replica, online };
  }

  const serves = ({ meta }: Opened) => {
    let last: unknown;
    return until(
      () =>
        meta
          .check(signal())
          .then(() => meta.get(["x"], call()))
          .then(
            () => true,
            (error) => {
              last = error;
              return false;
            },
          ),
      20_000,
      () => `the driver does not come back: ${last}`,
    );
  };

  it("reads nothing that the replica has not, whoever wrote it and whether or not that was answered", async () => {
    const { primary, replica } = await replicated();
    const proxy = await FaultProxy.start(scope, primary.address);
    const one = await open(scope, `redis://${proxy.address}`, WAITING);
    const other = await open(scope, primary.url, WAITING);
    await one.meta.write([put("a", "1")], soon());
    assert.deepEqual(await texts(other.meta, "a"), ["1"]);
    replica.process.signal("SIGSTOP");
    try {
      let cut = 0;
      proxy.onRequest = (piece) => (piece.includes("lost/answer") && cut++ === 0 ? "cut-after" : "pass");
      await failsWith(one.meta.write([put("lost/answer", "1")], soon()), "BACKEND_DOWN", /is not known/);
      await failsWith(other.meta.get(["lost/answer"], call()), "BACKEND_DOWN", /0 of 1 replicas/);
      await failsWith(
        other.meta.write([put("lost/answer", "2", { ifAbsent: true })], soon()),
        "BACKEND_DOWN",
        /outlive a failover/,
      );
    } finally {
      replica.process.signal("SIGCONT");
    }
    await serves(one);
    await serves(other);
    assert.deepEqual(await texts(one.meta, "lost/answer"), ["1"]);
    assert.deepEqual(await texts(other.meta, "lost/answer"), ["1"]);
    // A read has the replica confirm what another driver wrote: that is no Write, after which others would do the same.
    const writes = await primary.cli("HGET", "{outrigger}:store", "writes");
    assert.deepEqual(await texts(one.meta, "a"), ["1"]);
    assert.equal(await primary.cli("HGET", "{outrigger}:store", "writes"), writes);
  });

  it("lets a Get wait for the Write that it read and that is not with the replica yet", async () => {
    const { primary, replica } = await replicated();
    const { meta } = await open(scope, primary.url, ["--timeout", "20s", "--wait-replicas", "1"]);
    await meta.write([put("a", "1")], soon());
    replica.process.signal("SIGSTOP");
    const writing = meta.write([put("a", "2")], soon());
    await until(
      async () => (await primary.cli("HGET", "{outrigger}:values", "a")).endsWith("2"),
      10_000,
      () => "the Write is not there",
    );
    let read = false;
    const reading = texts(meta, "a").finally(() => {
      read = true;
    });
    await primary.cli("PING");
    await primary.cli("PING");
    assert.equal(read, false);
    replica.process.signal("SIGCONT");
    await writing;
    assert.deepEqual(await reading, ["2"]);
  });

  it("takes a failover that loses no acknowledged Write for none", async () => {
    const { primary, replica } = await replicated();
    const driver = await open(scope, primary.url, WAITING);
    await driver.meta.write([put("kept", "1")], soon());
    await replica.kill();
    await failsWith(driver.meta.write([put("unconfirmed", "1")], soon()), "BACKEND_DOWN", /outlive a failover/);
    await failsWith(driver.meta.get(["unconfirmed"], call()), "BACKEND_DOWN", /outlive a failover/);
    // The replica is promoted to the primary's address, and gets a replica of its own.
    await primary.kill();
    await RedisServer.start(scope, { port: primary.port, folder: replica.folder, flags: FLAGS });
    await RedisServer.start(scope, { flags: [...FLAGS, "--replicaof", primary.address.replace(":", " ")] });
    await serves(driver);
    assert.deepEqual(await texts(driver.meta, "kept", "unconfirmed"), ["1", undefined]);
    await driver.meta.write([remove("kept")], soon());
  });

  it("refuses a primary whose replicas are away, at its start and while it runs", async () => {
    const { primary, replica, online } = await replicated();
    const driver = await open(scope, primary.url, WAITING);
    await failsWith(
      open(scope, primary.url, ["--wait-replicas", "2"]),
      "BACKEND_DOWN",
      /has 1 replicas that are connected .* of 2 that --wait-replicas asks for/,
    );
    await replica.kill();
    await until(
      async () => !/slave0:/.test(await primary.cli("INFO", "replication")),
      10_000,
      () => "the replica stays",
    );
    await failsWith(driver.meta.check(signal()), "BACKEND_DOWN", /has 0 replicas/);
    await failsWith(driver.meta.get(["a"], call()), "BACKEND_DOWN", /has 0 replicas/);
    await replica.start();
    await online();
    await serves(driver);
  });
});
