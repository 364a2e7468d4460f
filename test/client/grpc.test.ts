/** gRPC as a transport: addresses, peers that are no drivers, TLS files that change, backpressure. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync, utimesSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import { pino } from "pino";
import type { StoreTarget } from "../../client/contract.ts";
import { grpcTransport } from "../../client/grpc.ts";
import { grpcTarget } from "../../client/grpc-channels.ts";
import { handshake } from "../../client/handshake.ts";
import { connect } from "../../client/stores.ts";
import { openMemoryDriver } from "../../drivers/memory/index.ts";
import { type Clock, systemClock } from "../../proto/clock.ts";
import { hasReason, type Reason } from "../../proto/errors.ts";
import { type Host, hostDriver } from "../../server/host.ts";

const log = pino({ level: "silent" });
const rejected =
  (...wanted: Reason[]) =>
  (e: unknown) =>
    hasReason(e, ...wanted);

async function shake(target: StoreTarget, clock: Clock = systemClock) {
  const transport = grpcTransport(target, { clock, log });
  try {
    return await handshake({
      transport,
      clock,
      log,
      kind: "blob",
      address: target.address,
      core: { name: "test", version: "0" },
      requiredCapabilities: [],
      compat: [],
    });
  } finally {
    transport.close();
  }
}

async function listening(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("addresses", () => {
  for (const [address, target] of Object.entries({
    "unix:///run/d.sock": "unix:///run/d.sock",
    "localhost:5000": "dns:localhost:5000",
    "127.0.0.1:5000": "dns:127.0.0.1:5000",
    "[::1]:5000": "dns:[::1]:5000",
    "dns:///driver.ns.svc:5000": "dns:///driver.ns.svc:5000",
  }))
    it(address, () => assert.equal(grpcTarget(address), target));
  for (const address of [
    "",
    "localhost",
    "unix://run/d.sock",
    "http://localhost:5000",
    "/run/d.sock",
    "a b:1",
    "::1:5000",
    "xds:///x:1",
  ])
    it(`refuses ${JSON.stringify(address)}`, () => assert.throws(() => grpcTarget(address), rejected("INVALID_FIELD")));
});

describe("who answers at an address", () => {
  it("nobody: UNREACHABLE, and surely nothing was sent", async () => {
    const server = createServer();
    const address = await listening(server);
    await new Promise((resolve) => server.close(resolve));
    for (const nobody of [address, "unix:///nonexistent/x.sock"])
      await assert.rejects(
        shake({ address: nobody }),
        (e) => hasReason(e, "UNREACHABLE") && e.metadata["sent"] === "no",
      );
  });

  it("HTTP/1.1: NOT_A_DRIVER", async () => {
    const server = createHttpServer((_, response) => response.end("<html>"));
    const address = await listening(server);
    await assert.rejects(shake({ address }), rejected("NOT_A_DRIVER"));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it("something that talks nonsense: NOT_A_DRIVER", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.resume().end("SSH-2.0-OpenSSH_9.6\r\n");
    });
    const address = await listening(server);
    await assert.rejects(shake({ address }), rejected("NOT_A_DRIVER", "UNREACHABLE"));
    await new Promise((resolve) => server.close(resolve));
  });

  it("gRPC that is not Outrigger: NOT_A_DRIVER", async () => {
    const server = new GrpcServer();
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    await assert.rejects(shake({ address: `127.0.0.1:${port}` }), rejected("NOT_A_DRIVER"));
    server.forceShutdown();
  });

  it("one that accepts and says nothing: TIMED_OUT by the deadline", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => sockets.push(socket));
    const address = await listening(server);
    const transport = grpcTransport({ address }, { clock: systemClock, log });
    await assert.rejects(
      transport.unary("handshake.Version", {}, { metadata: {}, deadlineMs: 300 }),
      rejected("TIMED_OUT"),
    );
    transport.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("streams over gRPC", () => {
  let host: Host;
  const folder = mkdtempSync(join(tmpdir(), "gr-"));
  before(async () => {
    host = await hostDriver({ open: () => openMemoryDriver(), listen: `unix://${folder}/d.sock`, log });
  });
  after(async () => {
    await host.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("a reader that stalls holds about a window, and small calls go on beside it", async () => {
    const stores = connect({ blobs: { address: host.address } }, { log });
    await stores.ready();
    const piece = Buffer.alloc(1024 * 1024, 1);
    async function* body() {
      for (let i = 0; i < 64; i++) yield piece;
    }
    const commit = { key: "large" };
    await stores.blobs.append({
      uploadId: "u",
      create: true,
      algorithm: "sha256",
      offsetBytes: 0,
      body: body(),
      commit,
    });
    const stalled = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const read = await stores.blobs.read("large");
        const iterator = read.body[Symbol.asyncIterator]();
        await iterator.next();
        return iterator;
      }),
    );
    global.gc?.();
    const started = performance.now();
    for (let i = 0; i < 50; i++) await stores.blobs.stat(["large"]);
    assert.ok(performance.now() - started < 5_000);
    let bytes = 0;
    const [first] = stalled;
    for (let step = await first?.next(); step && !step.done; step = await first?.next()) bytes += step.value.length;
    assert.equal(bytes, 64 * 1024 * 1024 - 256 * 1024);
    for (const iterator of stalled) await iterator.return?.();
    await stores.close();
  });

  it("a driver's own reasons arrive, with their metadata", async () => {
    const transport = grpcTransport({ address: host.address }, { clock: systemClock, log });
    await assert.rejects(
      transport.unary(
        "blob.Stat",
        { keys: ["a"] },
        { metadata: { store: "00000000-0000-4000-8000-000000000000" }, deadlineMs: 5_000 },
      ),
      (e) => hasReason(e, "WRONG_STORE") && e.side === "driver",
    );
    assert.equal(await transport.health?.("outrigger.blob.v1.BlobService", { metadata: {}, deadlineMs: 5_000 }), true);
    assert.equal(await transport.health?.("unknown", { metadata: {}, deadlineMs: 5_000 }), undefined);
    transport.close();
    assert.throws(() => transport.append({ metadata: {} }), rejected("UNREACHABLE"));
  });

  it("an aborted signal cancels a call under way", async () => {
    const transport = grpcTransport({ address: host.address }, { clock: systemClock, log });
    const ending = new AbortController();
    const stream = transport.append({ metadata: {}, signal: ending.signal });
    const next = stream.incoming[Symbol.asyncIterator]().next();
    next.catch(() => undefined);
    ending.abort(new Error("stop"));
    await assert.rejects(next, /stop/);
    await assert.rejects(stream.send({ flush: {} }));
    transport.close();
  });
});

describe("TLS", () => {
  const folder = mkdtempSync(join(tmpdir(), "tl-"));
  const path = (name: string) => join(folder, name);
  after(() => rmSync(folder, { recursive: true, force: true }));

  function certificate(name: string): void {
    execFileSync(
      "openssl",
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout ${path(`${name}.key`)} -out ${path(`${name}.pem`)}`.split(
        " ",
      ),
      { stdio: "ignore" },
    );
  }

  it("trusts what its CA file says, and looks at it again when it changes", async () => {
    certificate("one");
    certificate("two");
    const host = await hostDriver({
      open: () => openMemoryDriver(),
      listen: "127.0.0.1:0",
      log,
      tls: { cert: path("one.pem"), key: path("one.key") },
    });
    let skipMs = 0;
    const clock: Clock = { ...systemClock, monotonic: () => systemClock.monotonic() + skipMs };
    copyFileSync(path("two.pem"), path("ca.pem"));
    const transport = grpcTransport({ address: host.address, tls: { ca: path("ca.pem") } }, { clock, log });
    const version = () => transport.unary("handshake.Version", {}, { metadata: {}, deadlineMs: 5_000 });
    await assert.rejects(version(), rejected("UNREACHABLE", "NOT_A_DRIVER"));
    copyFileSync(path("one.pem"), path("ca.pem"));
    utimesSync(path("ca.pem"), new Date(), new Date(Date.now() + 5_000));
    let answered = false;
    for (let i = 0; i < 40 && !answered; i++) {
      skipMs += 6_000;
      answered = await version().then(
        () => true,
        () => false,
      );
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    assert.equal(answered, true);
    transport.close();
    await assert.rejects(shake({ address: host.address }), rejected("UNREACHABLE", "NOT_A_DRIVER"));
    await host.close();
  });
});
