/** `outrigger up`: two processes, supervised. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { image } from "../helpers/oci.ts";
import { launchOutrigger, until } from "../helpers/outrigger.ts";
import { type Running, Scope } from "../helpers/processes.ts";
import { RegistryClient } from "../helpers/registry-client.ts";
import { freePort, tempFolder } from "../helpers/temp.ts";
import { onlyLine, outrigger } from "./cli.ts";

interface Up {
  readonly process: Running;
  readonly client: RegistryClient;
  readonly data: string;
  readonly host: string;
}

async function up(scope: Scope, data: string, flags: readonly string[] = []): Promise<Up> {
  const host = `127.0.0.1:${await freePort()}`;
  const process = scope.add(launchOutrigger("up", ["up", "--data", data, "--listen", host, ...flags]));
  await process.line((line) => line.startsWith("Outrigger is up at"));
  const client = new RegistryClient(`http://${host}`);
  scope.defer(() => client.close());
  return { process, client, data, host };
}

/** Pids of its children by their subcommand. */
function childrenOf(pid: number): Map<string, number> {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .trim()
    .split(" ")
    .filter(Boolean)
    .map(Number);
  return new Map(
    children.map((child) => {
      const words = readFileSync(`/proc/${child}/cmdline`, "utf8").split("\0");
      return [words[words.findIndex((word) => /cli\/main\.[tj]s$/.test(word)) + 1] ?? "", child];
    }),
  );
}

const alive = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));

test("up makes its folder, starts both, and what was pushed is there after a restart", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const data = join(tempFolder(scope), "data");
  const first = await up(scope, data);
  await first.process.line((line) => new RegExp(`^ +skopeo copy .* docker://${first.host}/alpine:latest$`).test(line));
  const pushed = image({ seed: "up", layerBytes: [300_000, 10] });
  await first.client.pushImage("up/test", pushed, "v1");
  const children = childrenOf(first.process.pid);
  assert.deepEqual([...children.keys()].sort(), ["driver", "registry"]);
  assert.deepEqual(await first.process.stop(), { code: 0, signal: null }, first.process.tail());
  for (const [name, pid] of children) assert.ok(!alive(pid), `${name} is left`);
  assert.ok(!existsSync(join(data, "driver.sock")), "the socket is left");

  const second = await up(scope, data);
  const found = await second.client.request("GET", "/v2/up/test/manifests/v1");
  assert.equal(found.status, 200);
  assert.equal(found.body.toString(), pushed.manifest.bytes.toString());
});

test("up starts a driver that was killed again, and the registry goes on", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { process: running, client } = await up(scope, join(tempFolder(scope), "data"));
  const pushed = image({ seed: "killed", layerBytes: [100_000] });
  await client.pushImage("up/killed", pushed, "v1");
  const driver = childrenOf(running.pid).get("driver");
  assert.ok(driver);
  process.kill(driver, "SIGKILL");
  await running.line((line) => line.startsWith("driver: killed by SIGKILL; starting it again in"));
  await until(
    async () => (await client.request("GET", "/v2/up/killed/manifests/v1")).status === 200,
    30_000,
    () => running.tail(),
  );
  const again = childrenOf(running.pid).get("driver");
  assert.notEqual(again, driver);
});

test("whoever kills up with -9 leaves no children", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { process: running } = await up(scope, join(tempFolder(scope), "data"));
  const children = childrenOf(running.pid);
  assert.equal(children.size, 2);
  await running.kill();
  await until(
    () => [...children.values()].every((pid) => !alive(pid)),
    20_000,
    () => `still there: ${[...children].filter(([, pid]) => alive(pid))}`,
  );
});

test("up takes a folder whose path is too long for a socket", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const above = join(tempFolder(scope), "n".repeat(100));
  mkdirSync(above);
  const { process: running, client } = await up(scope, join(above, "data"));
  assert.equal((await client.request("GET", "/readyz")).status, 200);
  assert.deepEqual(await running.stop(), { code: 0, signal: null }, running.tail());
});

test("SIGHUP reaches the registry and stops nothing", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { process: running, client } = await up(scope, join(tempFolder(scope), "data"), ["--log-level", "info"]);
  running.signal("SIGHUP");
  await running.line((line) => /registry info: the configuration was reloaded/.test(line));
  assert.equal((await client.request("GET", "/readyz")).status, 200);
});

test("a port in use is one sentence, and nothing is made", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const port = await freePort();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  scope.defer(() => server.close());
  const folder = tempFolder(scope);
  const ended = await outrigger(["up", "--listen", `127.0.0.1:${port}`], { cwd: folder });
  assert.equal(ended.code, 1);
  assert.equal(
    onlyLine(ended),
    `outrigger: port ${port} of 127.0.0.1 is in use: stop what listens there, or choose another with --listen 127.0.0.1:${port + 1}`,
  );
  assert.deepEqual(readdirSync(folder), []);
});

test("an empty folder that is already there is not taken for a new registry", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const data = tempFolder(scope);
  const ended = await outrigger(["up", "--data", data, "--listen", `127.0.0.1:${await freePort()}`]);
  assert.equal(ended.code, 1);
  assert.match(onlyLine(ended), /is empty, as a volume that is not mounted would be: mount it, .* --init$/);
  assert.deepEqual(readdirSync(data), []);
});

test("a folder that holds other things, a file, and a folder below nothing are refused", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const folder = tempFolder(scope);
  const listen = `127.0.0.1:${await freePort()}`;
  const file = join(folder, "file");
  writeFileSync(file, "mine");
  const onFile = await outrigger(["up", "--data", file, "--listen", listen]);
  assert.equal(onlyLine(onFile), `outrigger: ${file} is not a folder: name another with --data`);
  const below = await outrigger(["up", "--data", join(folder, "no/data"), "--listen", listen]);
  assert.match(onlyLine(below), /^outrigger: the folder above .* does not exist/);
});

test("beyond loopback up needs users or --anonymous", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const data = join(tempFolder(scope), "data");
  const ended = await outrigger(["up", "--data", data, "--listen", `0.0.0.0:${await freePort()}`]);
  assert.equal(ended.code, 1);
  assert.match(onlyLine(ended), /which others can reach: set auth\.htpasswd\.file, or say auth\.anonymous/);
  assert.ok(!existsSync(data), "the folder was made all the same");
});

test("a second up on the same folder says that the first has it", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { data, client } = await up(scope, join(tempFolder(scope), "data"));
  const ended = await outrigger(["up", "--data", data, "--listen", `127.0.0.1:${await freePort()}`]);
  assert.equal(ended.code, 1);
  assert.match(onlyLine(ended), /^outrigger: the driver does not start: /);
  assert.equal((await client.request("GET", "/readyz")).status, 200);
});

test("up told to stop while it starts ends at once and leaves nothing", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const data = join(tempFolder(scope), "data");
  const running = scope.add(launchOutrigger("up", ["up", "--data", data, "--listen", `127.0.0.1:${await freePort()}`]));
  await until(
    () => childrenOf(running.pid).size > 0,
    30_000,
    () => running.tail(),
  );
  const children = childrenOf(running.pid);
  await running.stop();
  assert.ok(
    [...children.values()].every((pid) => !alive(pid)),
    running.tail(),
  );
});
