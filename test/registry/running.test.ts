import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { hashSync } from "bcryptjs";
import { pino } from "pino";
import type { ObserveCall } from "../../client/observed.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { type Config, checkConfig } from "../../registry/config.ts";
import { signRequest } from "../../registry/members/peers.ts";
import type { Ledger } from "../../registry/repository/ledger.ts";
import { MemberListOfCores } from "../../registry/repository/member-list.ts";
import { type RunningRegistry, startWith } from "../../registry/running.ts";
import { createAuthority } from "../helpers/authority.ts";
import { type FakeClock, fakeClock } from "./auth/fake-clock.ts";
import { type FakeStores, fakeStores } from "./fake-stores.ts";
import { type FakeRepositories, fakeRepositories } from "./http/fake-repositories.ts";

interface World {
  readonly stores: FakeStores;
  readonly repositories: FakeRepositories;
  readonly clock: FakeClock;
  readonly lines: Record<string, unknown>[];
  readonly folder: string;
  /** One for each start: told of calls to the stores. */
  readonly observers: ObserveCall[];
  /** One for each time that the rules were told of it. */
  readonly writable: boolean[];
  start(input?: object): Promise<RunningRegistry>;
  config(input?: object): Config;
}

async function world(t: TestContext): Promise<World> {
  const stores = fakeStores();
  const observers: ObserveCall[] = [];
  const repositories = fakeRepositories();
  const clock = fakeClock();
  const lines: Record<string, unknown>[] = [];
  const writable: boolean[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const folder = await mkdtemp(join(tmpdir(), "outrigger-running-"));
  t.after(() => rm(folder, { recursive: true }));
  const config = (input: object = {}) =>
    checkConfig({ http: { listen: "127.0.0.1:0" }, stores: { blobs: { address: "unix:///one.sock" } }, ...input });
  const start = async (input?: object) => {
    const parts = {
      connect: (_: unknown, { onCall }: { onCall: ObserveCall }) => {
        observers.push(onCall);
        return stores;
      },
      createRepositories: (options: { locationSecret?: Buffer }) => ({
        ...repositories,
        start: () => stores.ready(),
        close: async () => {},
        becameWritable: () => void writable.push(true),
        locationSecret: () => options.locationSecret ?? Buffer.alloc(32, 7),
        // No search is asked.
        ledger: {} as Ledger,
        list: new MemberListOfCores({ mode: "one", ledger: {} as Ledger, clock, log }),
        searchAnew() {},
      }),
    };
    const running = startWith(parts, config(input), { log, clock });
    // The fake clock stands still: the start's patience for a refusal is over when it is told.
    const patience = setInterval(() => clock.advance(1_000), 20);
    const registry = await running.finally(() => clearInterval(patience));
    t.after(() => {
      const time = setInterval(() => clock.advance(1_000), 20);
      return registry.close().finally(() => clearInterval(time));
    });
    return registry;
  };
  return { stores, repositories, clock, lines, folder, observers, writable, config, start };
}

async function get(url: string, authorization?: string): Promise<{ status: number; body: string }> {
  const response = await fetch(url, authorization === undefined ? {} : { headers: { authorization } });
  return { status: response.status, body: await response.text() };
}

test("it listens before the stores are there, and serves once they are", async (t) => {
  const { stores, start } = await world(t);
  const registry = await start();
  assert.equal((await get(`${registry.address}/livez`)).status, 200);
  const early = await get(`${registry.address}/readyz`);
  assert.equal(early.status, 503);
  assert.match(early.body, /not reached yet/);
  assert.doesNotMatch(early.body, /secret/);
  assert.equal((await get(`${registry.address}/v2/_catalog`)).status, 503);
  stores.accept();
  await registry.ready;
  assert.equal((await get(`${registry.address}/readyz`)).status, 200);
  assert.equal((await get(`${registry.address}/v2/_catalog`)).status, 200);
});

test("refused stores end the start with their sentence, and leave nothing behind", async (t) => {
  const { stores, start } = await world(t);
  stores.refuse(new OutriggerError("VERSION_UNSUPPORTED", "the driver is too old"));
  await assert.rejects(start(), /the driver is too old/);
  assert.equal(stores.closed, true);
});

test("refused later: ready says why", async (t) => {
  const { stores, start } = await world(t);
  const registry = await start();
  stores.refuse(new OutriggerError("WRONG_STORE", "another store"));
  await assert.rejects(registry.ready, /another store/);
});

test("/readyz: false after three looks at a store that is away, true as soon as it is back", async (t) => {
  const { stores, clock, start } = await world(t);
  stores.accept();
  const registry = await start();
  const [blob, meta] = stores.state;
  assert.ok(blob && meta);
  stores.state = [blob, { ...meta, ready: false, problem: "no answer", reason: "TIMED_OUT" }];
  clock.advance(1_000);
  assert.equal((await get(`${registry.address}/readyz`)).status, 200, "one miss is no outage");
  clock.advance(9_000);
  const away = await get(`${registry.address}/readyz`);
  assert.equal(away.status, 503);
  assert.deepEqual(JSON.parse(away.body).stores[1], {
    kind: "meta",
    ready: false,
    reason: "TIMED_OUT",
    problem: "no answer",
  });
  assert.equal((await get(`${registry.address}/livez`)).status, 200);
  stores.state = [blob, meta];
  assert.equal((await get(`${registry.address}/readyz`)).status, 200);
});

test("/metrics: with the API, on a listener of its own, or not at all", async (t) => {
  const { stores, start, observers } = await world(t);
  stores.accept();
  const together = await start();
  await get(`${together.address}/v2/_catalog`);
  await get(`${together.address}/v2/a/manifests/x`);
  const [observe] = observers;
  observe?.({ method: "meta.Get", durationMs: 3 });
  observe?.({ method: "blob.Append", durationMs: 700, reason: "UPLOAD_FENCED" });
  const { body } = await get(`${together.address}/metrics`);
  assert.match(body, /outrigger_http_request_duration_seconds_count\{route="catalog",method="GET",status="200"\} 1/);
  assert.match(body, /outrigger_http_request_duration_seconds_count\{route="manifest",method="GET",status="404"\} 1/);
  assert.match(body, /outrigger_store_ready\{kind="meta",role="main",prefix=""\} 1/);
  assert.match(
    body,
    /outrigger_store_call_duration_seconds_bucket\{le="0.01",method="meta.Get",reason="",prefix=""\} 1/,
  );
  assert.match(
    body,
    /outrigger_store_call_duration_seconds_sum\{method="blob.Append",reason="UPLOAD_FENCED",prefix=""\} 0.7/,
  );
  assert.match(body, /outrigger_http_body_sent_bytes_total [1-9]/);

  const apart = await start({ http: { listen: "127.0.0.1:0", metrics: { listen: "127.0.0.1:0" } } });
  assert.equal((await get(`${apart.address}/metrics`)).status, 404);
  assert.match((await get(`${apart.metricsAddress}/metrics`)).body, /outrigger_/);
  assert.equal((await get(`${apart.metricsAddress}/v2/_catalog`)).status, 503);
  const off = await start({ http: { listen: "127.0.0.1:0", metrics: { enabled: false } } });
  assert.equal((await get(`${off.address}/metrics`)).status, 404);
});

test("what keeps it from starting is one sentence that names the setting", async (t) => {
  const { folder, start } = await world(t);
  const short = join(folder, "short");
  await writeFile(short, "tiny\n");
  for (const [input, message] of [
    [{ http: { listen: "127.0.0.1:0", secretFile: join(folder, "none") } }, /http\.secretFile .* cannot be read/],
    [{ http: { listen: "127.0.0.1:0", secretFile: short } }, /http\.secretFile .* has 4 bytes/],
    [{ auth: { htpasswd: { file: short } } }, /auth\.htpasswd\.file .*line 1 is not name:hash/],
    [
      { http: { listen: "127.0.0.1:0", tls: { cert: join(folder, "c"), key: short } } },
      /http\.tls\.cert .* cannot be read/,
    ],
    [{ http: { listen: "127.0.0.1:0", tls: { cert: short, key: short } } }, /http\.tls/],
  ] as const) {
    await assert.rejects(start(input), message);
  }
  const { stores, start: again } = await world(t);
  stores.accept();
  const first = await again();
  const listen = new URL(first.address).host;
  await assert.rejects(again({ http: { listen } }), /cannot listen on .*something else listens there/);
});

test("reload: stores are switched, accounts and modes taken over; what needs a restart is told", async (t) => {
  const { stores, folder, start, config, lines } = await world(t);
  stores.accept();
  const registry = await start();
  const file = join(folder, "people");
  await writeFile(file, `alice:${hashSync("a", 4)}\n`);
  const next = config({
    http: { listen: "127.0.0.1:0" },
    stores: { blobs: { address: "unix:///two.sock", acceptStoreId: "7f3d1b9a-97a3-4b0e-9d8e-3c6fbb8e7f10" } },
    auth: { htpasswd: { file }, readOnly: [] },
    cores: "one",
    uploadBudgetMiB: 64,
  });
  const report = await registry.reload(next);
  assert.deepEqual(report.changed, ["stores.blobs", "stores.meta", "auth"]);
  assert.deepEqual(report.ignored, ["cores", "uploadBudgetMiB"]);
  assert.deepEqual(stores.switched, [
    [
      "both",
      { address: "unix:///two.sock", acceptStoreId: "7f3d1b9a-97a3-4b0e-9d8e-3c6fbb8e7f10" },
      { address: "unix:///two.sock" },
    ],
  ]);
  assert.equal((await get(`${registry.address}/v2/_catalog`)).status, 401);
  assert.equal((await get(`${registry.address}/v2/_catalog`, `Basic ${btoa("alice:a")}`)).status, 200);
  assert.ok(lines.some(({ msg }) => String(msg).includes("need a restart")));
  const same = await registry.reload(next);
  assert.deepEqual(same.changed, []);
  assert.equal(stores.switched.length, 1);
});

test("reload: what is wrong leaves everything as it was", async (t) => {
  const { stores, folder, start, config } = await world(t);
  stores.accept();
  const registry = await start();
  const catalog = async () => (await get(`${registry.address}/v2/_catalog`)).status;
  const htpasswd = { file: join(folder, "absent") };
  await assert.rejects(
    registry.reload(config({ stores: { blobs: { address: "unix:///two.sock" } }, auth: { htpasswd } })),
    /auth\.htpasswd\.file/,
  );
  assert.equal(stores.switched.length, 0, "nothing was switched");
  stores.refusals.set("both", new OutriggerError("WRONG_STORE", "not that one"));
  await assert.rejects(
    registry.reload(config({ stores: { blobs: { address: "unix:///two.sock" } }, readOnly: true })),
    /not that one/,
  );
  assert.equal(await catalog(), 200);
  const post = await fetch(`${registry.address}/v2/a/blobs/uploads/`, { method: "POST" });
  assert.equal(post.status, 202, "not read-only");

  stores.refusals.set("meta", new OutriggerError("WRONG_STORE", "not that meta store"));
  const apart = { blobs: { address: "unix:///one.sock" }, meta: { address: "unix:///meta.sock" } };
  await assert.rejects(registry.reload(config({ stores: apart })), /not that meta store/);
  assert.equal(stores.switched.length, 0);
  await registry.reload(config({ readOnly: true }));
  assert.equal((await fetch(`${registry.address}/v2/a/blobs/uploads/`, { method: "POST" })).status, 405);
});

test("reload: the rules are told when pushes are taken that were refused before", async (t) => {
  const { stores, start, config, writable } = await world(t);
  stores.accept();
  const registry = await start({ readOnly: true });
  await registry.reload(config({ readOnly: true }));
  assert.deepEqual(writable, []);
  await registry.reload(config());
  await registry.reload(config());
  assert.deepEqual(writable, [true]);
});

test("TLS: served, and a new certificate is used for new connections; a broken one is not", async (t) => {
  const { stores, folder, start, clock, lines } = await world(t);
  const pair = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  await certificate(pair, "first");
  stores.accept();
  const registry = await start({ http: { listen: "127.0.0.1:0", tls: pair } });
  assert.match(registry.address, /^https:/);
  assert.equal(await subject(registry.address), "first");
  const logged = async (text: string) => {
    while (!lines.some(({ msg }) => String(msg).includes(text))) {
      clock.advance(2_000);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await certificate(pair, "second");
  await logged("read again");
  assert.equal(await subject(registry.address), "second");
  await writeFile(pair.cert, "no certificate");
  await logged("the old one stays");
  assert.equal(await subject(registry.address), "second");
});

test("members' certificates: asked for from the start on, and read again when they change", async (t) => {
  const { stores, folder, config, start, clock, lines } = await world(t);
  const [one, other] = await Promise.all([createAuthority(folder, "one"), createAuthority(folder, "other")]);
  const pair = await one.issue("a", "IP:127.0.0.1,URI:outrigger-member:a");
  const ca = join(folder, "authorities.crt");
  await copyFile(one.ca, ca);
  const keyFile = join(folder, "keys");
  await writeFile(keyFile, "k".repeat(32));
  stores.accept();
  const given = (peers: object) => ({
    http: { listen: "127.0.0.1:0", tls: pair },
    cluster: { self: "a", members: { a: { url: "https://127.0.0.1" } }, peers },
  });
  const plain = await start(given({ keyFile }));
  await assert.rejects(
    plain.reload(config(given({ keyFile, tls: { ca, ...pair } }))),
    /^Error: cluster\.peers\.tls needs .* restart it/,
  );
  assert.equal(await isAsked(plain.address), false);
  const registry = await start(given({ tls: { ca, ...pair } }));
  assert.equal(await isAsked(registry.address), true);
  const stranger = await other.issue("b", "URI:outrigger-member:b");
  const headers = signRequest(
    undefined,
    { method: "GET", path: "/v2/", account: "", from: "b", to: "a", listHash: "", role: "owner" },
    0,
  );
  const ask = async () => {
    const shown = { cert: await readFile(stranger.cert), key: await readFile(stranger.key) };
    const sent = httpsRequest(`${registry.address}/v2/`, {
      agent: false,
      rejectUnauthorized: false,
      headers,
      ...shown,
    });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  };
  assert.equal(await ask(), 401);
  const logged = async (text: string) => {
    while (!lines.some(({ msg }) => String(msg).includes(text))) {
      clock.advance(2_000);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await writeFile(ca, `${await readFile(one.ca)}${await readFile(other.ca)}`);
  await logged("the members' certificates were read again");
  assert.equal(await ask(), 200);
  await writeFile(ca, "no certificate");
  await logged("the members' certificates changed and cannot be used: the old ones stay");
  assert.equal(await ask(), 200);
});

test("drain: short requests end, a long upload is ended and goes on elsewhere, new connections are refused", async (t) => {
  const { stores, repositories, start, clock } = await world(t);
  stores.accept();
  const registry = await start();
  const started = await fetch(`${registry.address}/v2/a/blobs/uploads/`, { method: "POST" });
  const location = started.headers.get("location") ?? "";
  const upload = httpRequest(`${registry.address}${location}`, { method: "PATCH", agent: false });
  const received = new Promise<void>((resolve) => {
    repositories.onReceived = () => resolve();
  });
  upload.write("0123456789");
  await received;
  let drained = false;
  const draining = registry.drain().then(() => {
    drained = true;
  });
  await assert.rejects(get(`${registry.address}/livez`));
  clock.advance(29_000);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(drained, false, "it has 30 s");
  const answered = once(upload, "response");
  clock.advance(2_000);
  const [response] = (await answered) as [IncomingMessage];
  assert.equal(response.statusCode, 503);
  assert.equal(response.headers["retry-after"], "1");
  response.resume();
  upload.on("error", () => {});
  upload.end();
  await draining;
  const id = /uploads\/([^?]+)/.exec(location)?.[1] ?? "";
  assert.equal(repositories.uploads.get(id)?.toString(), "0123456789");
});

async function certificate(pair: { cert: string; key: string }, name: string): Promise<void> {
  const subjectLine = [
    "-subj",
    `/CN=${name}`,
    "-days",
    "2",
    "-nodes",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
  ];
  await promisify(execFile)("openssl", ["req", ...subjectLine, "-keyout", pair.key, "-out", pair.cert]);
}

/** Whether clients are asked for a certificate: the question names the signatures that one may have (TLS 1.2). */
async function isAsked(address: string): Promise<boolean> {
  const only = { rejectUnauthorized: false, maxVersion: "TLSv1.2" } as const;
  const request = httpsRequest(`${address}/livez`, { agent: false, ...only });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.resume();
  return (response.socket as TLSSocket).getSharedSigalgs().length > 0;
}

async function subject(address: string): Promise<string> {
  const request = httpsRequest(`${address}/livez`, { agent: new Agent(), rejectUnauthorized: false });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const { CN } = (response.socket as TLSSocket).getPeerCertificate().subject;
  response.resume();
  response.socket.destroy();
  return String(CN);
}
