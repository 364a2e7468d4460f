import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { copyFile, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { status as Code, credentials } from "@grpc/grpc-js";
import { pino } from "pino";
import { openMemoryDriver } from "../../drivers/memory/index.ts";
import { type HostOptions, hostDriver } from "../../server/host.ts";
import { startMetrics } from "../../server/metrics.ts";
import { answered, cleanly, GrpcClient, hosted } from "./grpc-kit.ts";
import { bytes, FakeClock, failsWith, settle, silent } from "./kit.ts";

const start = (options: Partial<HostOptions> & { listen: string }) =>
  hostDriver({ open: () => openMemoryDriver(), log: silent, ...options });

test(
  "[process.listen.02] a unix socket: 0660, a stale one replaced, a live one refused, gone at the end",
  cleanly(async (cleanup) => {
    const folder = await cleanup.folder();
    const path = join(folder, "d.sock");
    const listen = `unix://${path}`;
    // What a killed process leaves behind: a socket that nobody accepts on.
    const dead = createServer().listen(join(folder, "dead.sock"));
    await once(dead, "listening");
    renameSync(join(folder, "dead.sock"), path);
    dead.close();
    const host = await start({ listen });
    cleanup.add(() => host.close());
    const { mode } = await stat(path);
    assert.equal(mode & 0o777, 0o660);
    assert.equal(host.address, listen);
    await assert.rejects(start({ listen }), /another process serves at/);
    const client = new GrpcClient(host.address, host.driver);
    await answered((done) => client.handshake.version({}, done));
    client.close();
    await host.close();
    await assert.rejects(stat(path), { code: "ENOENT" });

    await writeFile(path, "precious");
    await assert.rejects(start({ listen }), /is no socket/);
    assert.equal(await readFile(path, "utf8"), "precious");
    await assert.rejects(start({ listen: `unix://${folder}/${"x".repeat(100)}` }), /longer than/);
    await assert.rejects(start({ listen: `unix://${folder}/absent/d.sock` }), /there is no folder .*\/absent: make it/);
  }),
);

test("[process.listen.01] addresses that are none", async () => {
  for (const listen of ["", "nowhere", "host:port", "127.0.0.1:70000", "http://127.0.0.1:80"]) {
    await assert.rejects(start({ listen }), /neither unix:\/\/\/path\/x.sock nor host:port/);
  }
});

test("[process.tls.01] beyond loopback plain text is refused before anything is opened, unless insecure", async () => {
  let opened = 0;
  const open = () => {
    opened++;
    return openMemoryDriver();
  };
  for (const listen of ["0.0.0.0:0", "[::]:0", "10.1.2.3:7000", "registry.example:7000"]) {
    await assert.rejects(start({ listen, open }), /beyond loopback/);
  }
  assert.equal(opened, 0);
  const host = await start({ listen: "0.0.0.0:0", open, insecure: true });
  await host.close();
});

test(
  "a port that is taken is one sentence, and the driver is closed again",
  cleanly(async (cleanup) => {
    const first = await start({ listen: "127.0.0.1:0" });
    cleanup.add(() => first.close());
    let closed = 0;
    const open = async () => ({
      ...(await openMemoryDriver()),
      async close() {
        closed++;
      },
    });
    await assert.rejects(start({ listen: first.address, open }), /cannot be listened on/);
    assert.equal(closed, 1);
  }),
);

/** A CA and certificates in a folder, made by openssl; undefined where there is none. */
function certificates(folder: string): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
  } catch {
    return false;
  }
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test-ca", "-days", "2");
  for (const name of ["server", "server2", "core", "stranger"]) {
    openssl("req", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    writeFileSync(join(folder, `${name}.ext`), `subjectAltName=DNS:localhost,DNS:${name}.example,IP:127.0.0.1\n`);
    const sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", `${name}.ext`];
    openssl("x509", "-req", "-in", `${name}.csr`, ...sign, "-out", `${name}.pem`);
  }
  return true;
}

test(
  "TCP with mutual TLS: allowed names only, and certificates reread when they change",
  cleanly(async (cleanup, t) => {
    const folder = await cleanup.folder();
    if (!certificates(folder)) return t.skip("no openssl");
    const file = (name: string) => join(folder, name);
    const read = (name: string) => readFile(file(name));
    await copyFile(file("server.pem"), file("tls.pem"));
    await copyFile(file("server.key"), file("tls.key"));
    const clock = new FakeClock();
    const logged: string[] = [];
    const tls = {
      cert: file("tls.pem"),
      key: file("tls.key"),
      clientCa: file("ca.pem"),
      allowClients: ["core.example"],
    };
    const log = pino({ level: "info" }, { write: (line: string) => void logged.push(line) });
    const { host, driver } = await hosted(cleanup, { listen: "127.0.0.1:0", tls, clock, log });
    const channel = async (name: string) =>
      credentials.createSsl(await read("ca.pem"), await read(`${name}.key`), await read(`${name}.pem`));
    const connect = (creds: Awaited<ReturnType<typeof channel>>) => {
      const client = new GrpcClient(host.address, driver, creds);
      cleanup.add(() => client.close());
      return client;
    };

    const core = connect(await channel("core"));
    const { stream } = { stream: core.append().stream };
    await stream.open({ uploadId: "a", create: true });
    await stream.chunk(0, bytes(500_000));
    await stream.commit({ key: "k" });
    assert.deepEqual(await core.read("k"), bytes(500_000));

    const stranger = connect(await channel("stranger"));
    await failsWith(
      answered((done) => stranger.blob.stat({ keys: ["k"] }, stranger.metadata("blob"), done)),
      "NOT_ALLOWED",
    );
    const nobody = connect(credentials.createSsl(await read("ca.pem")));
    const deadline = Date.now() + 2_000;
    await assert.rejects(
      answered((done) => nobody.handshake.version({}, { deadline }, done)),
      (error: { code?: number }) => error.code === Code.UNAVAILABLE || error.code === Code.DEADLINE_EXCEEDED,
    );

    const subject = async () => {
      const port = Number(host.address.split(":")[1]);
      const ca = await read("ca.pem");
      const socket = connectTls({ host: "127.0.0.1", port, ca, ALPNProtocols: ["h2"], servername: "localhost" });
      socket.on("error", () => {});
      await once(socket, "secureConnect");
      const { CN } = socket.getPeerCertificate().subject;
      socket.destroy();
      return CN;
    };
    assert.equal(await subject(), "server");
    // Half a rotation: the key does not belong to the certificate yet.
    await copyFile(file("server2.pem"), file("tls.pem"));
    const until = async (holds: () => boolean) => {
      await clock.advance(5_000);
      for (let turn = 0; turn < 400 && !holds(); turn++) await new Promise((resolve) => setTimeout(resolve, 5));
      assert(holds(), logged.join(""));
    };
    await until(() => logged.some((line) => line.includes("last good ones stay")));
    assert.equal(await subject(), "server");
    await copyFile(file("server2.key"), file("tls.key"));
    await until(() => logged.some((line) => line.includes("is in use")));
    assert.equal(await subject(), "server2");
    await answered((done) => core.blob.stat({ keys: ["k"] }, core.metadata("blob"), done));
    await settle();
  }),
);

test(
  "TLS files that cannot be used end the start with one sentence",
  cleanly(async (cleanup) => {
    const folder = await cleanup.folder();
    mkdirSync(join(folder, "real"));
    symlinkSync(join(folder, "real"), join(folder, "link"));
    const tls = { cert: join(folder, "link/tls.pem"), key: join(folder, "link/tls.key") };
    await assert.rejects(start({ listen: "127.0.0.1:0", tls }), /the TLS files cannot be used: ENOENT/);
    writeFileSync(tls.cert, "nonsense");
    writeFileSync(tls.key, "nonsense");
    await assert.rejects(start({ listen: "127.0.0.1:0", tls }), /the TLS files cannot be used/);
    await assert.rejects(
      start({ listen: "127.0.0.1:0", tls: { ...tls, allowClients: ["x"] } }),
      /--tls-allow-client needs --tls-client-ca/,
    );
  }),
);

test(
  "[blob.expiry.01] a host looks for idle uploads soon after its start, and each hour",
  cleanly(async (cleanup) => {
    const clock = new FakeClock();
    const looks: number[] = [];
    const started = clock.now();
    await hosted(cleanup, {
      clock,
      wrap: (driver) => {
        assert(driver.blob);
        const { blob } = driver;
        const listUploads: typeof blob.listUploads = (...args) => {
          looks.push(clock.now() - started);
          return blob.listUploads(...args);
        };
        return { ...driver, blob: { ...blob, listUploads } };
      },
    });
    await clock.advance(3 * 60 * 60 * 1000);
    assert.deepEqual(looks, [60_000, 3_660_000, 7_260_000]);
  }),
);

test(
  "metrics: calls by code, bytes and calls under way",
  cleanly(async (cleanup) => {
    const metrics = await startMetrics("127.0.0.1:0");
    cleanup.add(() => metrics.close());
    const { client } = await hosted(cleanup, { instruments: [metrics] });
    const { stream } = client.append();
    await stream.open({ uploadId: "a", create: true });
    await stream.chunk(0, bytes(3000));
    await stream.flush(3000);
    const scrape = async () => (await fetch(`http://${metrics.address}/metrics`)).text();
    assert.match(await scrape(), /outrigger_driver_open_calls\{method="blob.Append"\} 1/);
    await stream.commit({ key: "k" });
    await client.read("k");
    await assert.rejects(answered((done) => client.blob.stat({ keys: [".."] }, client.metadata("blob"), done)));
    const text = await scrape();
    assert.match(text, /outrigger_driver_calls_total\{method="blob.Append",code="OK"\} 1/);
    assert.match(text, /outrigger_driver_calls_total\{method="blob.Stat",code="INVALID_ARGUMENT"\} 1/);
    assert.match(text, /outrigger_driver_received_bytes_total 3000/);
    assert.match(text, /outrigger_driver_sent_bytes_total 3000/);
    assert.match(text, /outrigger_driver_open_calls\{method="blob.Append"\} 0/);
    assert.match(text, /outrigger_driver_call_seconds_count\{method="blob.Read"\} 1/);
    assert.match(text, /process_resident_memory_bytes/);
    assert.equal((await fetch(`http://${metrics.address}/`)).status, 404);
  }),
);

test(
  "spans continue the core's trace, and end with the call's code",
  cleanly(async (cleanup) => {
    const sdk = await import("@opentelemetry/sdk-trace-node");
    const { trace, context, propagation } = await import("@opentelemetry/api");
    const exporter = new sdk.InMemorySpanExporter();
    const provider = new sdk.NodeTracerProvider({ spanProcessors: [new sdk.SimpleSpanProcessor(exporter)] });
    provider.register();
    cleanup.add(async () => {
      await provider.shutdown();
      trace.disable();
      context.disable();
      propagation.disable();
    });
    const { createTracing } = await import("../../server/tracing.ts");
    const inner: (string | undefined)[] = [];
    const { client } = await hosted(cleanup, {
      instruments: [createTracing()],
      wrap: (driver) => {
        assert(driver.meta);
        const { meta } = driver;
        const list: typeof meta.list = async (...args) => {
          inner.push(trace.getActiveSpan()?.spanContext().traceId);
          return meta.list(...args);
        };
        return { ...driver, meta: { ...meta, list } };
      },
    });
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const traceparent = `00-${traceId}-b7ad6b7169203331-01`;
    const metadata = client.metadata("meta", { traceparent, "outrigger-request-id": "r-1" });
    await answered((done) => client.meta.list({}, metadata, done));
    await assert.rejects(answered((done) => client.meta.get({ keys: ["."] }, metadata, done)));
    const spans = exporter.getFinishedSpans();
    assert.deepEqual(
      spans.map((span) => [span.name, span.spanContext().traceId, span.parentSpanContext?.spanId]),
      [
        ["meta.List", traceId, "b7ad6b7169203331"],
        ["meta.Get", traceId, "b7ad6b7169203331"],
      ],
    );
    assert.deepEqual(inner, [traceId]);
    assert.equal(spans[0]?.attributes["outrigger.request_id"], "r-1");
    assert.equal(spans[1]?.attributes["rpc.grpc.status_code"], Code.INVALID_ARGUMENT);
  }),
);
