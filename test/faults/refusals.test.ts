/** What is wrong at the start gets its own one line that says what to change, and exit code 1; or the registry waits. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { contract } from "../../proto/load.ts";
import { startGoMeta } from "../helpers/go-meta.ts";
import {
  type DriverProcess,
  initialiseRoot,
  launchOutrigger,
  launchRegistry,
  ready,
  startDriver,
  startRegistry,
} from "../helpers/outrigger.ts";
import { launch, type Running, Scope } from "../helpers/processes.ts";
import { errorCodes } from "../helpers/registry-client.ts";
import { freePort, tempFolder } from "../helpers/temp.ts";
import { missing, repository } from "../helpers/tools.ts";

/** Lines that are an error: plain ones, and log lines of level error and above. */
function errorLines(lines: readonly string[]): string[] {
  return lines.filter((line) => {
    if (!line.startsWith("{")) return line.trim() !== "";
    return Number(JSON.parse(line).level) >= 50;
  });
}

/** It ends with exit code 1 (2 for a wrong command line) and exactly one error line. @returns that line */
async function refused(running: Running, code = 1): Promise<string> {
  const timer = setTimeout(() => running.child.kill("SIGKILL"), 40_000);
  const exit = await running.exited.finally(() => clearTimeout(timer));
  assert.deepEqual(exit, { code, signal: null }, running.tail());
  const lines = errorLines(running.lines);
  assert.equal(lines.length, 1, `one line, not:\n${running.lines.join("\n")}`);
  return lines[0] ?? "";
}

describe("what is wrong at the start", () => {
  const scope = new Scope();
  let root: string;
  let driver: DriverProcess;
  before(async () => {
    root = tempFolder(scope, "root");
    await initialiseRoot(root);
    driver = await startDriver(scope, { root });
  });
  after(scope.close);

  const registry = async (blobs: string, ...more: string[]) =>
    scope.add(
      launchOutrigger("registry", ["registry", "--listen", `127.0.0.1:${await freePort()}`, "--blobs", blobs, ...more]),
    );
  const configured = async (config: object) => {
    const file = join(tempFolder(scope), "registry.yaml");
    writeFileSync(file, JSON.stringify({ http: { listen: `127.0.0.1:${await freePort()}` }, ...config }));
    return scope.add(launchOutrigger("registry", ["registry", "--config", file]));
  };

  it("nobody listens: the registry waits, says so, answers 503, and is ready once the driver is there", async () => {
    const later = tempFolder(scope, "root");
    await initialiseRoot(later);
    const address = `unix://${join(tempFolder(scope), "late.sock")}`;
    const waiting = await launchRegistry(scope, { blobs: address });
    const line = await waiting.process.line((text) => text.includes(address));
    assert.doesNotMatch(line, /\n\s+at /);
    await waiting.client.expect(200, "GET", "/livez");
    await waiting.client.expect(503, "GET", "/readyz");
    const reply = await waiting.client.expect(503, "GET", "/v2/a/tags/list", { timeoutMs: 15_000 });
    assert.deepEqual(errorCodes(reply), ["UNAVAILABLE"]);
    await startDriver(scope, { root: later, address });
    await ready(waiting);
    await waiting.client.expect(404, "GET", "/v2/a/tags/list");
  });

  it("the address speaks HTTP, not gRPC", async () => {
    const server = createServer((_, response) => response.end("hello"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    scope.defer(() => server.close());
    const { port } = server.address() as AddressInfo;
    const line = await refused(await registry(`127.0.0.1:${port}`));
    assert.match(line, /not an Outrigger driver/);
    assert.match(line, new RegExp(`127.0.0.1:${port}`));
  });

  it("the address speaks gRPC, but is no Outrigger driver", async () => {
    const server = new Server();
    server.addService(contract().health.service, {
      check: (_: unknown, done: (error: null, response: object) => void) => done(null, { status: "SERVING" }),
      list: (_: unknown, done: (error: null, response: object) => void) => done(null, { statuses: {} }),
      watch: (call: { end(): void }) => call.end(),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    scope.defer(() => server.forceShutdown());
    assert.match(await refused(await registry(`127.0.0.1:${port}`)), /not an Outrigger driver/);
  });

  it("an address that is none", async () => {
    assert.match(
      await refused(await registry("nonsense"), 2).catch(async () => refused(await registry("nonsense"))),
      /nonsense|address/,
    );
  });

  it("the driver is too new, or too old", { skip: missing("go-meta") }, async () => {
    for (const major of ["2", "0"]) {
      const meta = await startGoMeta(scope, { flags: ["--api-major", major] });
      const line = await refused(await registry(driver.address, "--meta", meta.address));
      assert.match(line, /outrigger\.meta/, line);
      assert.match(line, new RegExp(`\\b${major}\\.0`), line);
    }
  });

  it("the driver lacks a capability that the configuration requires", async () => {
    const line = await refused(
      await configured({ stores: { blobs: { address: driver.address, requiredCapabilities: ["SIGN_URL"] } } }),
    );
    assert.match(line, /SIGN_URL/);
  });

  it("another store than the pinned one is behind the address", async () => {
    const id = "00000000-0000-4000-8000-000000000000";
    const line = await refused(await configured({ stores: { blobs: { address: driver.address, id } } }));
    assert.match(line, new RegExp(id));
  });

  it("the meta store belongs to another blob store", async () => {
    const other = tempFolder(scope, "root");
    await initialiseRoot(other);
    const others = await startDriver(scope, { root: other });
    // Both pairs are in use, so that each meta store knows its blob store.
    for (const { address } of [driver, others]) {
      const used = await startRegistry(scope, { blobs: address });
      await used.process.stop();
    }
    const line = await refused(await registry(driver.address, "--meta", others.address));
    assert.match(line, /pair|belongs|store/);
  });

  it("the driver's clock is 10 s off", { skip: missing("go-meta") }, async () => {
    const meta = await startGoMeta(scope, { flags: ["--clock-offset", "-10s"] });
    const host = `127.0.0.1:${await freePort()}`;
    const running = scope.add(
      launchOutrigger("registry", ["registry", "--listen", host, "--blobs", driver.address, "--meta", meta.address]),
    );
    assert.match(await running.line((line) => /clock/.test(line)), /(9|10)\.\d s behind/);
    // Whether it waits for the clock to be set or ends: it serves nothing.
    assert.ok(!running.lines.some((line) => /"msg":"ready"/.test(line)));
  });

  it("an unknown key in the configuration", async () => {
    const line = await refused(await configured({ stores: { blobs: { adress: driver.address } } })).catch(
      (error) => error,
    );
    assert.match(String(line), /adress/);
    assert.match(String(line), /address/);
  });

  it("the backend is empty", async () => {
    const empty = tempFolder(scope, "empty");
    const running = scope.add(
      launchOutrigger("driver", [
        "driver",
        "filesystem",
        "--root",
        empty,
        "--listen",
        `unix://${join(empty, "d.sock")}`,
      ]),
    );
    assert.match(await refused(running), /--init/);
  });

  it("the backend is not there", async () => {
    const gone = join(tempFolder(scope), "gone");
    const running = scope.add(
      launchOutrigger("driver", ["driver", "filesystem", "--root", gone, "--listen", "127.0.0.1:0"]),
    );
    assert.match(await refused(running), new RegExp(gone));
  });

  it("a second driver wants the same root", async () => {
    const running = scope.add(
      launchOutrigger("driver", [
        "driver",
        "filesystem",
        "--root",
        root,
        "--listen",
        `unix://${join(tempFolder(scope), "d")}`,
      ]),
    );
    const line = await refused(running);
    assert.match(line, /another|in use|lock/i);
    assert.match(line, new RegExp(root));
  });

  it("a second driver wants the same socket", async () => {
    const other = tempFolder(scope, "root");
    await initialiseRoot(other);
    const running = scope.add(
      launchOutrigger("driver", ["driver", "filesystem", "--root", other, "--listen", driver.address]),
    );
    assert.match(await refused(running), /d\.sock/);
    await ready(await startRegistry(scope, { blobs: driver.address }));
  });

  it("the driver may not write into its root", {
    skip: process.getuid?.() !== 0 && "another user's process needs root",
  }, async () => {
    const folder = tempFolder(scope, "root");
    chmodSync(folder, 0o755);
    const closed = join(folder, "closed");
    mkdirSync(closed, { mode: 0o755 });
    await initialiseRoot(closed);
    const nobody = 65_534;
    const args = [
      "--import",
      "tsx",
      "cli/main.ts",
      "driver",
      "filesystem",
      "--root",
      closed,
      "--listen",
      "127.0.0.1:0",
    ];
    const sees = spawnSync(process.execPath, ["-e", `fs.accessSync(${JSON.stringify(repository)})`], { uid: nobody });
    let running: Running;
    if (sees.status === 0) {
      const own = tempFolder(scope);
      chownSync(own, nobody, nobody);
      running = launch("driver", "setpriv", [`--reuid=${nobody}`, "--clear-groups", process.execPath, ...args], {
        cwd: repository,
        env: { TMPDIR: own, HOME: own },
      });
    } else {
      // A repository that nobody else may read: the same refusal by a read-only mount.
      execFileSync("mount", ["--bind", closed, closed]);
      scope.defer(() => execFileSync("umount", [closed]));
      execFileSync("mount", ["-o", "remount,bind,ro", closed]);
      running = launch("driver", process.execPath, args, { cwd: repository });
    }
    const line = await refused(scope.add(running));
    assert.match(line, new RegExp(closed));
    assert.match(line, /may not be|read-only/i);
  });

  it("a folder that takes two names that differ by case for one", async () => {
    const folding = tempFolder(scope, "root");
    await initialiseRoot(folding);
    const env = {
      OUTRIGGER_TEST_FOLDS: folding,
      NODE_OPTIONS: `--import ${pathToFileURL(join(repository, "test/helpers/fold-case.mjs"))}`,
    };
    const held = () =>
      readdirSync(folding, { encoding: "utf8", recursive: true }).filter((name) => !/lock\./.test(name));
    const before = held().sort();
    const args = ["driver", "filesystem", "--root", folding, "--listen", "127.0.0.1:0"];
    const line = await refused(scope.add(launchOutrigger("driver", args, { env })));
    assert.match(line, new RegExp(`${folding} takes "a" and "A" for one name`.replaceAll('"', '[\\\\]*"')));
    assert.match(line, /use a file system that tells them apart/);
    assert.deepEqual(held().sort(), before, "nothing was written");
  });

  it("beyond loopback without a lock on the door", async () => {
    const running = scope.add(
      launchOutrigger("registry", ["registry", "--listen", `0.0.0.0:${await freePort()}`, "--blobs", driver.address]),
    );
    assert.match(await refused(running), /--anonymous|auth\.anonymous/);
    const plain = scope.add(launchOutrigger("driver", ["driver", "memory", "--listen", `0.0.0.0:${await freePort()}`]));
    assert.match(await refused(plain), /--insecure/);
  });
});
