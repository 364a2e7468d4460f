/** `outrigger registry` and `outrigger config`: flags, files, signals, and each bad input's one line. */
import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { image } from "../helpers/oci.ts";
import {
  initialiseRoot,
  launchOutrigger,
  launchRegistry,
  listening,
  ready,
  startDriver,
  startRegistry,
  until,
} from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { RegistryClient } from "../helpers/registry-client.ts";
import { freePort, tempFolder } from "../helpers/temp.ts";
import { onlyLine, outrigger } from "./cli.ts";

function configFile(scope: Scope, text: string): string {
  const path = join(tempFolder(scope), "outrigger.yaml");
  writeFileSync(path, text);
  return path;
}

test("a registry from a file: SIGHUP takes over what changed, a wrong file changes nothing", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { address } = await startDriver(scope, { driver: "memory" });
  const host = `127.0.0.1:${await freePort()}`;
  const text = `http: { listen: "${host}" }\nstores: { blobs: { address: "${address}" } }\n`;
  const file = configFile(scope, text);
  const running = scope.add(launchOutrigger("registry", ["registry", "--config", file]));
  await listening(running, host);
  const client = new RegistryClient(`http://${host}`);
  scope.defer(() => client.close());
  await ready({ process: running, client, host });
  await client.pushImage("a/b", image({ seed: "reload", layerBytes: [1000] }), "v1");

  const push = () => client.request("POST", "/v2/a/b/blobs/uploads/");
  writeFileSync(file, `${text}readOnly: true\n`);
  running.signal("SIGHUP");
  await running.line((line) => line.includes("the configuration was reloaded"));
  assert.notEqual((await push()).status, 202);

  writeFileSync(file, `${text}readOnyl: false\n`);
  running.signal("SIGHUP");
  const refused = await running.line((line) => line.includes("the configuration was not reloaded"));
  assert.match(JSON.parse(refused).msg, /readOnyl is not a setting: did you mean readOnly\?/);
  assert.notEqual((await push()).status, 202);
  assert.equal((await client.request("GET", "/v2/a/b/manifests/v1")).status, 200);
  assert.deepEqual(await running.stop(), { code: 0, signal: null }, running.tail());
});

test("reload: watch needs no signal", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { address } = await startDriver(scope, { driver: "memory" });
  const host = `127.0.0.1:${await freePort()}`;
  const text = `reload: watch\nhttp: { listen: "${host}" }\nstores: { blobs: { address: "${address}" } }\n`;
  const file = configFile(scope, text);
  const running = scope.add(launchOutrigger("registry", ["registry", "--config", file]));
  await running.line((line) => line.includes('"listening"'));
  // Written until it was seen: when the first look was taken, nobody says.
  let written = 0;
  await until(
    () => {
      written += 1;
      writeFileSync(`${file}.new`, `${text}readOnly: true # ${written}\n`);
      renameSync(`${file}.new`, file);
      return running.lines.some((line) => line.includes("the configuration was reloaded"));
    },
    30_000,
    () => running.tail(),
  );
});

test("flags stand over the environment, and that over the file", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const file = configFile(
    scope,
    'http: { listen: "127.0.0.1:1" }\nstores: { blobs: { address: "h:1" } }\ncores: one\n',
  );
  const env = { OUTRIGGER_STORES_BLOBS_ADDRESS: "h:2", OUTRIGGER_HTTP_LISTEN: "127.0.0.1:2" };
  const { stdout, code } = await outrigger(["config", "print", "--config", file, "--listen", "127.0.0.1:3"], { env });
  assert.equal(code, 0);
  const config = parse(stdout);
  assert.equal(config.http.listen, "127.0.0.1:3");
  assert.equal(config.stores.blobs.address, "h:2");
  assert.equal(config.cores, "one");
  assert.equal(config.readOnly, false, "defaults are filled in");
});

test("users of a file may log in, others not", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const file = join(tempFolder(scope), "htpasswd");
  const { hash } = await import("bcryptjs");
  writeFileSync(file, `ann:${await hash("secret", 4)}\n`);
  const { address } = await startDriver(scope, { driver: "memory" });
  const { client } = await startRegistry(scope, { blobs: address, flags: ["--htpasswd", file] });
  const ask = (credentials?: string) =>
    client.request("GET", "/v2/", {
      headers:
        credentials === undefined ? {} : { authorization: `Basic ${Buffer.from(credentials).toString("base64")}` },
    });
  assert.equal((await ask()).status, 401);
  assert.equal((await ask("ann:wrong")).status, 401);
  assert.equal((await ask("ann:secret")).status, 200);
});

test("a registry whose driver is not there yet waits for it", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const address = `unix://${join(tempFolder(scope), "d.sock")}`;
  const registry = await launchRegistry(scope, { blobs: address });
  assert.equal((await registry.client.request("GET", "/livez")).status, 200);
  assert.equal((await registry.client.request("GET", "/readyz")).status, 503);
  await startDriver(scope, { driver: "memory", address });
  await ready(registry);
});

for (const [what, args, line] of [
  ["no store", ["registry"], /^outrigger: stores\.blobs\.address is missing$/],
  ["a wrong address", ["registry", "--blobs", "here"], /stores\.blobs\.address is not an address: write unix:/],
  ["a wrong mode", ["registry", "--blobs", "h:1", "--cores", "two"], /^outrigger: cores is none of one, many$/],
  [
    "an open door",
    ["registry", "--blobs", "h:1", "--listen", "0.0.0.0:5000"],
    /which others can reach: set auth\.htpasswd\.file, or say auth\.anonymous/,
  ],
  ["a file that is not there", ["registry", "--config", "/nowhere.yaml"], /^outrigger: \/nowhere\.yaml cannot be read/],
  ["a file with users that is not there", ["registry", "--blobs", "h:1", "--htpasswd", "/nowhere"], /\/nowhere/],
  ["one of two TLS files", ["registry", "--blobs", "h:1", "--tls-cert", "c.pem"], /http\.tls\.key is missing/],
] as const) {
  test(`registry with ${what} ends with one line`, async () => {
    const ended = await outrigger(args, { env: { OUTRIGGER_LOG_LEVEL: "silent" } });
    assert.match(onlyLine(ended), line);
    assert.equal(ended.code, 1);
  });
}

test("a port in use ends the registry with one line", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { address } = await startDriver(scope, { driver: "memory" });
  const { host } = await startRegistry(scope, { blobs: address });
  const ended = await outrigger(["registry", "--blobs", address, "--listen", host], {
    env: { OUTRIGGER_LOG_LEVEL: "silent" },
  });
  assert.equal(ended.code, 1);
  assert.match(onlyLine(ended), /^outrigger: cannot listen on .*: something else listens there/);
});

test("a meta store of another registry ends it with one line", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const [one, two] = [await startDriver(scope, { driver: "memory" }), await startDriver(scope, { driver: "memory" })];
  const first = await startRegistry(scope, { blobs: one.address });
  await first.process.stop();
  const flags = ["--blobs", two.address, "--meta", one.address];
  const listen = `127.0.0.1:${await freePort()}`;
  const ended = await outrigger(["registry", ...flags, "--listen", listen], { env: { OUTRIGGER_LOG_LEVEL: "silent" } });
  assert.equal(ended.code, 1);
  assert.match(onlyLine(ended), /^outrigger: the meta store at .* belongs to the blob store /);

  const file = configFile(
    scope,
    `stores: { blobs: { address: "${two.address}" }, meta: { address: "${one.address}" } }\n`,
  );
  const checked = await outrigger(["config", "check", file]);
  assert.equal(checked.code, 1);
  assert.match(checked.stderr, /^outrigger: the meta store at .* belongs to the blob store /);
});

test("config check: a right file and its drivers, a wrong one, a driver that is away", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { address } = await startDriver(scope, { driver: "memory" });
  const right = configFile(scope, `stores: { blobs: { address: "${address}" } }\n`);
  const good = await outrigger(["config", "check", right]);
  assert.equal(good.code, 0, good.stderr);
  assert.match(good.stdout, /is well formed\nblob store [0-9a-f-]{36}: io\.outrigger\.memory .*\nmeta store /);
  // Looking must not make a pair of them.
  const nobody = await outrigger(["index", "verify", "--blobs", address, "--json"]);
  assert.equal(nobody.code, 0, nobody.stderr);

  const wrong = configFile(scope, `stores: { blobs: { adress: "${address}" } }\nhtpp: {}\n`);
  const bad = await outrigger(["config", "check", wrong]);
  assert.equal(bad.code, 1);
  assert.match(onlyLine(bad), /adress is not a setting: did you mean address\?/);

  const away = configFile(scope, 'stores: { blobs: { address: "unix:///nowhere/d.sock" } }\n');
  assert.match((await outrigger(["config", "check", away])).stderr, /^outrigger: nobody listens at unix:\/\/\/nowhere/);
  assert.equal((await outrigger(["config", "check", away, "--no-connect"])).code, 0);

  const pinned = configFile(scope, `stores: { blobs: { address: "${address}", requiredCapabilities: [DURABLE] } }\n`);
  assert.match((await outrigger(["config", "check", pinned])).stderr, /lacks DURABLE, which the configuration needs/);
});

test("config check: what is said of the blob store alone is not asked of the meta store at its address", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const root = tempFolder(scope);
  await initialiseRoot(root);
  const { address } = await startDriver(scope, { driver: "filesystem", root });
  const described = JSON.parse((await outrigger(["describe", address, "--json"])).stdout);
  const id = described.stores.find(({ kind }: { kind: string }) => kind === "STORE_KIND_BLOB").id;
  const file = configFile(
    scope,
    `stores: { blobs: { address: "${address}", id: "${id}", requiredCapabilities: [LOCAL_FILE] } }\n`,
  );
  const checked = await outrigger(["config", "check", file]);
  assert.equal(checked.code, 0, checked.stderr);
});

test("config check reads the files that a start would read", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const folder = tempFolder(scope);
  writeFileSync(join(folder, "accounts"), "ann:$apr1$salt$0000000000000000000000\n");
  writeFileSync(join(folder, "short"), "short\n");
  const stores = 'stores: { blobs: { address: "unix:///nowhere/d.sock" } }\n';
  for (const [text, line] of [
    [
      `http: { tls: { cert: ${folder}/none.pem, key: ${folder}/none.key } }`,
      /http\.tls\.cert .*none\.pem cannot be read/,
    ],
    [`auth: { htpasswd: { file: ${folder}/accounts } }`, /line 1 \(ann\) has no bcrypt hash: make it with htpasswd -B/],
    [`http: { secretFile: ${folder}/short }`, /secretFile .*short has 5 bytes: a secret needs at least 16/],
  ] as const) {
    const checked = await outrigger(["config", "check", configFile(scope, `${stores}${text}\n`)]);
    assert.equal(checked.code, 1, checked.stdout);
    assert.match(checked.stderr, line);
  }
});

test("the registry drains within its time while a client holds a connection open", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { address } = await startDriver(scope, { driver: "memory" });
  const registry = await startRegistry(scope, { blobs: address });
  // A kept-alive connection that does nothing must not count.
  assert.equal((await registry.client.request("GET", "/v2/")).status, 200);
  assert.deepEqual(await registry.process.stop(20_000), { code: 0, signal: null }, registry.process.tail());
});
