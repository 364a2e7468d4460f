/**
 * What can be seen of the process contract from outside. The start command is run with OUTRIGGER_LISTEN in its
 * environment and with flags added to its end; it must obey the newer of both, hand signals on, and end with the driver.
 */
import assert from "node:assert/strict";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import type { Context, Group, Test } from "../contract.ts";
import { listens } from "../control.ts";
import { expectFault, Fault, KitError } from "../faults.ts";
import { freePort } from "../ports.ts";

/** [process.drain.01] */
const EXIT_MS = 5_000;
/** Between the signal and the reading of the clock, on a busy machine. */
const SLACK_MS = 1_000;
/** A start that is to be refused. */
const REFUSAL_MS = 20_000;

const services = { STORE_KIND_BLOB: "outrigger.blob.v1.BlobService", STORE_KIND_META: "outrigger.meta.v1.MetaService" };

function has(ctx: Context, kind: keyof typeof services): boolean {
  return ctx.described.stores.some((store) => String(store.kind) === kind);
}

/** Ends the driver, so that its backend is free for another one. */
async function away(ctx: Context): Promise<void> {
  await ctx.driver.kill();
}

const listenTests: readonly Test[] = [
  {
    id: "process.listen.01/unix",
    title: "it listens on the unix socket that OUTRIGGER_LISTEN names",
    requires: { start: true },
    async run(ctx) {
      await away(ctx);
      await answersAt(ctx, `unix://${join(ctx.folder(), "d.sock")}`, []);
    },
  },
  {
    id: "process.listen.01/tcp",
    title: "it listens on the host:port that OUTRIGGER_LISTEN names",
    requires: { start: true },
    async run(ctx) {
      await away(ctx);
      await answersAt(ctx, `127.0.0.1:${await freePort()}`, []);
    },
  },
  {
    id: "process.listen.01/flag",
    title: "it listens where --listen says",
    requires: { start: true },
    async run(ctx) {
      await away(ctx);
      const address = `unix://${join(ctx.folder(), "f.sock")}`;
      // Told by the flag alone.
      const control = ctx.driver.elsewhere(address);
      await control.start(["--listen", address]);
      await ctx.connect(address).handshake.version({});
    },
  },
  {
    id: "process.listen.02",
    title: "a socket file that a killed driver left is replaced",
    requires: { start: true },
    async run(ctx) {
      await away(ctx);
      const address = `unix://${join(ctx.folder(), "s.sock")}`;
      const control = ctx.driver.elsewhere(address);
      await control.start();
      await control.kill();
      await control.start();
      await ctx.connect(address).handshake.version({});
    },
  },
  {
    id: "process.listen.02/live",
    title: "a start at an address where a driver answers is refused, and the one there goes on",
    requires: { start: true },
    async run(ctx) {
      const { code, signal, said } = await ctx.driver.run([], { withinMs: REFUSAL_MS });
      assert.ok(code !== 0 && signal === null, `the second start ended with ${signal ?? code}: ${said}`);
      await ctx.connect().handshake.version({});
    },
  },
  {
    id: "process.tls.01",
    title: "a start beyond loopback without TLS and without --insecure is refused",
    requires: { start: true },
    async run(ctx) {
      await away(ctx);
      const address = `0.0.0.0:${await freePort()}`;
      const environment = { ADDR: address, OUTRIGGER_LISTEN: address };
      try {
        const { code, said } = await ctx.driver.run([], { environment, withinMs: REFUSAL_MS });
        assert.notEqual(code, 0, `it ended with 0 instead of an error: ${said}`);
      } catch (error) {
        if (!(error instanceof KitError)) throw error;
        assert.fail(`it served at ${address} in plain text (or the start command has TLS or --insecure of its own)`);
      }
    },
  },
];

async function answersAt(ctx: Context, address: string, flags: readonly string[]): Promise<void> {
  await ctx.driver.elsewhere(address).start(flags);
  await ctx.connect(address).handshake.version({});
}

const healthTests: readonly Test[] = [
  {
    id: "process.health.01",
    title: 'health says SERVING for "" and for each store that is served',
    async run(ctx) {
      assert.equal(await ctx.health(""), "SERVING");
      for (const [kind, service] of Object.entries(services)) {
        if (has(ctx, kind as keyof typeof services)) assert.equal(await ctx.health(service), "SERVING", service);
      }
    },
  },
  {
    id: "process.health.01/unknown",
    title: "health of another name is NOT_FOUND",
    async run(ctx) {
      const fault = await ctx.health("outrigger.none.v1.NoService").then(
        (status) => assert.fail(`it says ${status}`),
        (error) => error,
      );
      if (!(fault instanceof Fault)) throw fault;
      assert.equal(fault.code, "NOT_FOUND", fault.message);
    },
  },
];

const CHUNK_BYTES = 64 * 1024;

const drainTests: readonly Test[] = [
  {
    id: "process.drain.01",
    title: "SIGTERM ends it with exit code 0 within 5 s",
    requires: { start: true },
    async run(ctx) {
      const end = await ctx.driver.stop(EXIT_MS + SLACK_MS);
      assert.ok(end !== undefined, `it is still there ${EXIT_MS} ms after SIGTERM`);
      assert.equal(end.code, 0, `it ended with ${end.signal ?? end.code} (is the start command the driver itself?)`);
      assert.ok(!(await listens(ctx.address)), "its process ended, and somebody still answers at its address");
    },
  },
  {
    id: "process.drain.01/streams",
    title: "SIGTERM ends an open Append with UNAVAILABLE / DRAINING, and the process all the same",
    requires: { start: true, store: "blob" },
    async run(ctx) {
      const session = ctx.blob.append();
      await session.open({ uploadId: ctx.uploadId() });
      await session.chunks(0, ctx.random.bytes(CHUNK_BYTES));
      const stopped = ctx.driver.stop(EXIT_MS + SLACK_MS);
      await expectFault(session.rest(), "DRAINING");
      const end = await stopped;
      assert.ok(end !== undefined, `it is still there ${EXIT_MS} ms after SIGTERM`);
      assert.equal(end.code, 0, `it ended with ${end.signal ?? end.code}`);
    },
  },
  {
    id: "process.drain.01/health",
    title: "once a stream was ended by SIGTERM, health no longer says SERVING",
    requires: { start: true, store: "blob" },
    async run(ctx) {
      const session = ctx.blob.append();
      await session.open({ uploadId: ctx.uploadId() });
      const watcher = ctx.connect();
      await watcher.health("");
      const stopped = ctx.driver.stop(EXIT_MS + SLACK_MS);
      await session.rest().catch(() => {});
      // From here on: NOT_SERVING, or nobody at all.
      const said = await watcher.health("").catch(() => "nobody answers");
      assert.notEqual(said, "SERVING", "health said SERVING after a stream was ended");
      await stopped;
    },
  },
  {
    id: "process.drain.01/persist",
    title: "what was received when SIGTERM came is there after a new start",
    requires: { start: true, store: "blob", capability: "DURABLE" },
    async run(ctx) {
      const uploadId = ctx.uploadId();
      const session = ctx.blob.append();
      await session.open({ uploadId });
      const data = ctx.random.bytes(CHUNK_BYTES);
      await session.chunks(0, data);
      // Nothing says when it was received, other than a flush, which would persist it by itself.
      await ctx.sleep(500);
      await ctx.driver.stop(EXIT_MS + SLACK_MS);
      await ctx.driver.start();
      const { upload } = await ctx.connect().blob.getUpload({ uploadId });
      assert.equal(upload?.persisted, data.length, "of the bytes that it had for half a second, some are gone");
    },
  },
];

const readOnlyTests: readonly Test[] = [
  {
    id: "process.readonly.01",
    title: "with --read-only every blob call that would change something is READ_ONLY",
    requires: { start: true, store: "blob" },
    async run(ctx) {
      await sealed(ctx);
      const { blob } = ctx.connect();
      const key = ctx.key("absent");
      await expectFault(blob.put({ key, data: Buffer.from("no") }), "READ_ONLY");
      await expectFault(blob.move({ source: key, destination: ctx.key("b") }).rest(), "READ_ONLY");
      await expectFault(blob.delete({ keys: [key] }), "READ_ONLY");
      await expectFault(blob.abortUpload({ uploadId: ctx.uploadId() }), "READ_ONLY");
      await expectFault(blob.append().open({ uploadId: ctx.uploadId() }), "READ_ONLY");
    },
  },
  {
    id: "process.readonly.01/meta",
    title: "with --read-only a Write is READ_ONLY",
    requires: { start: true, store: "meta" },
    async run(ctx) {
      await sealed(ctx);
      const operations = [{ key: ctx.key(), action: "put" as const, put: Buffer.from("no") }];
      await expectFault(ctx.connect().meta.write({ operations }), "READ_ONLY");
    },
  },
  {
    id: "process.readonly.01/reads",
    title: "with --read-only everything is read as before",
    requires: { start: true, capability: "DURABLE" },
    async run(ctx) {
      const key = ctx.key();
      const lasting = (kind: keyof typeof services) =>
        ctx.described.stores.some((store) => String(store.kind) === kind && store.capabilities.includes("DURABLE"));
      const [blob, meta] = [lasting("STORE_KIND_BLOB"), lasting("STORE_KIND_META")];
      if (blob) await ctx.blob.put({ key, data: Buffer.from("kept") });
      if (meta) await ctx.meta.write({ operations: [{ key, action: "put", put: Buffer.from("kept") }] });
      await sealed(ctx);
      const calls = ctx.connect();
      if (blob) assert.equal((await calls.blob.stat({ keys: [key] })).results[0]?.info?.size, 4);
      if (meta) assert.equal((await calls.meta.get({ keys: [key] })).results[0]?.item?.value.toString(), "kept");
    },
  },
];

async function sealed(ctx: Context): Promise<void> {
  await ctx.driver.kill();
  await ctx.driver.start(["--read-only"]);
}

const initTests: readonly Test[] = [
  {
    id: "process.init.01/again",
    title: "--init on stores that have their ids exits 0 and leaves the ids as they are",
    requires: { start: true, capability: "DURABLE" },
    async run(ctx) {
      const before = ctx.described.stores.map(({ kind, id }) => [kind, id]);
      await away(ctx);
      const { code, said } = await ctx.driver.run(["--init"]);
      assert.equal(code, 0, `--init ended with ${code}: ${said}`);
      await ctx.driver.start();
      const { stores } = await ctx.connect().handshake.describe({ coreName: "outrigger-conformance" });
      assert.deepEqual(
        stores.map(({ kind, id }) => [kind, id]),
        before,
      );
    },
  },
];

const keepaliveTests: readonly Test[] = [
  {
    id: "process.keepalive.01",
    title: "a ping on a connection without calls is answered, and the connection stays",
    async run(ctx) {
      if (ctx.secure) ctx.notRun("pings are tried on plain connections only");
      const unix = ctx.address.startsWith("unix://");
      const target = ctx.address.replace(/^dns:\/\/\//, "");
      const path = ctx.address.slice("unix://".length);
      const session = unix
        ? connectHttp2("http://localhost", { createConnection: () => connect(path) })
        : connectHttp2(`http://${target}`);
      try {
        await pinged(session, ctx.timers.unaryMs);
        // A server that minds pings says GOAWAY after the answer.
        await ctx.sleep(200);
        assert.ok(!session.closed && !session.destroyed, "the connection was closed after one ping");
      } finally {
        session.destroy();
      }
    },
  },
];

function pinged(session: ClientHttp2Session, withinMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the ping was not answered within ${withinMs} ms`)), withinMs);
    const finish = (error?: unknown) => {
      clearTimeout(timer);
      if (error) reject(error instanceof Error ? error : new Error(String(error)));
      else resolve();
    };
    session.on("error", finish);
    session.on("goaway", (code) => finish(new Error(`GOAWAY with code ${code}`)));
    session.once("connect", () => {
      session.ping((error) => finish(error ?? undefined));
    });
  });
}

export const processGroup: Group = {
  name: "process",
  profile: "process",
  summary: "How the process listens, says how it is, ends, and is sealed.",
  requires: {},
  tests: [...healthTests, ...keepaliveTests, ...listenTests, ...drainTests, ...readOnlyTests, ...initTests],
};
