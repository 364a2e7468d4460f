/** The images: built from the Dockerfile as it is, and run under two uids that share a socket and the data. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { image, writeLayout } from "../helpers/oci.ts";
import { listening, until } from "../helpers/outrigger.ts";
import { type Running, Scope } from "../helpers/processes.ts";
import { freePort, tempFolder } from "../helpers/temp.ts";
import { command, tool } from "../helpers/tools.ts";
import {
  type BuiltImage,
  bytesBelow,
  goCacheVolume,
  groupAndMode,
  ImageBuilder,
  missingForImages,
  runImage,
  volume,
} from "./images.ts";

const MIB = 1024 * 1024;
const DRIVER = { uid: 65532, gid: 65532 };
const REGISTRY = { uid: 65533, gid: 65532 };

describe("the images", { skip: missingForImages() }, () => {
  const scope = new Scope();
  const images = new Map<string, BuiltImage>();
  let builder: ImageBuilder;
  let baseBytes = 0;
  const built = (target: string): BuiltImage => {
    const found = images.get(target);
    assert.ok(found, `${target} was not built`);
    return found;
  };

  before(async () => {
    builder = new ImageBuilder(scope);
    baseBytes = await builder.base();
    for (const target of ["registry", "driver-filesystem", "driver-memory"])
      images.set(target, await builder.build(target));
  });
  after(scope.close);

  it("add at most 40 MiB to their base", () => {
    for (const [target, { root }] of images) {
      const added = bytesBelow(root) - baseBytes;
      assert.ok(added > MIB && added <= 40 * MIB, `${target} adds ${(added / MIB).toFixed(1)} MiB`);
    }
  });

  it("hold compiled JavaScript alone: no sources, no tools", async () => {
    const { stdout } = await command("find", [
      join(built("registry").root, "app"),
      "-name",
      "*.ts",
      "-not",
      "-name",
      "*.d.ts",
    ]);
    assert.equal(stdout, "");
    for (const name of ["typescript", "tsx", "esbuild"])
      await assert.rejects(command("ls", [join(built("registry").root, "app/node_modules", name)]), name);
  });

  it("say who they run as, how they stop and how they are asked for health", () => {
    for (const [target, { config }] of images) {
      assert.equal(config.User, "65532:65532", target);
      assert.equal(config.StopSignal, "SIGTERM", target);
      assert.equal(config.Labels["org.opencontainers.image.licenses"], "Apache-2.0", target);
      assert.deepEqual(config.Healthcheck?.Test.slice(0, 3), ["CMD", "outrigger", "health"], target);
    }
  });

  describe("a registry and a filesystem driver under two uids", () => {
    let data = "";
    let sockets = "";
    let host = "";
    let driver: Running;
    let registry: Running;

    before(async () => {
      data = volume(scope, "data");
      sockets = volume(scope, "sock");
      const mounts = [
        { source: data, target: "/data" },
        { source: sockets, target: "/run/outrigger" },
      ];
      const init = runImage(scope, "init", built("driver-filesystem"), { ...DRIVER, args: ["--init"], mounts });
      assert.deepEqual(await init.exited, { code: 0, signal: null }, init.tail());
      driver = runImage(scope, "driver", built("driver-filesystem"), { ...DRIVER, mounts });
      await listening(driver, `unix://${join(sockets, "driver.sock")}`);
      host = `127.0.0.1:${await freePort()}`;
      registry = runImage(scope, "registry", built("registry"), {
        ...REGISTRY,
        args: ["--blobs=unix:///run/outrigger/driver.sock", "--local-root=/data", "--cores=one", `--listen=${host}`],
        mounts: [
          { source: data, target: "/data", readOnly: true },
          { source: sockets, target: "/run/outrigger" },
        ],
      });
      await listening(registry, host);
      await until(
        async () => (await fetch(`http://${host}/readyz`)).ok,
        30_000,
        () => `the registry is not ready: ${registry.tail()}${driver.tail()}`,
      );
    });

    it("share the socket through their group", () => {
      const { gid, mode } = groupAndMode(join(sockets, "driver.sock"));
      assert.equal(gid, 65532);
      assert.equal(mode, "660");
    });

    it("take and give an image", async () => {
      const folder = tempFolder(scope);
      const pushed = image({ seed: "containers", layerBytes: [3 * MIB, 70_000] });
      const layout = mkdtempSync(join(folder, "layout-"));
      writeLayout(layout, pushed.manifest, [pushed]);
      const skopeo = (...args: string[]) => command(tool("skopeo"), ["--insecure-policy", ...args]);
      const place = `docker://${host}/containers/test:v1`;
      await skopeo("copy", "--dest-tls-verify=false", `oci:${layout}`, place);
      const back = join(folder, "back");
      await skopeo("copy", "--src-tls-verify=false", place, `oci:${back}`);
      const { stdout } = await skopeo("inspect", "--raw", "--tls-verify=false", place);
      assert.equal(stdout, pushed.manifest.bytes.toString());
      for (const { digest } of pushed.blobs) {
        const hex = digest.slice("sha256:".length);
        const [sent, came] = [join(layout, "blobs/sha256", hex), join(back, "blobs/sha256", hex)];
        await command("cmp", [sent, came]);
      }
      // Not through the socket: the registry saw the driver's nonce in its own, read-only mount.
      await registry.line((line) => line.includes("blobs are read from /data"));
    });

    it("let the registry read the data but not write it", async () => {
      const attempt = runImage(scope, "attempt", built("registry"), {
        ...REGISTRY,
        command: ["sh", "-c", "ls /data/docker && ! touch /data/x && ! touch /app/x && touch /tmp/x"],
        mounts: [{ source: data, target: "/data", readOnly: true }],
      });
      assert.deepEqual(await attempt.exited, { code: 0, signal: null }, attempt.tail());
    });

    it("do not let another group in", async () => {
      const stranger = runImage(scope, "stranger", built("registry"), {
        uid: 65534,
        gid: 65534,
        command: ["outrigger", "describe", "unix:///run/outrigger/driver.sock"],
        mounts: [{ source: sockets, target: "/run/outrigger" }],
      });
      assert.equal((await stranger.exited).code, 1);
      assert.match(stranger.tail(), /no permission for/);
    });

    it("answer their own health checks, and fail them once stopped", async () => {
      const ask = async (target: string, who: typeof DRIVER, ...args: string[]) => {
        const asked = runImage(scope, "health", built(target), {
          ...who,
          command: ["outrigger", "health", ...args],
          mounts: [{ source: sockets, target: "/run/outrigger" }],
        });
        return (await asked.exited).code;
      };
      assert.equal(await ask("driver-filesystem", DRIVER), 0);
      assert.equal(await ask("registry", REGISTRY, `http://${host}`), 0);
      assert.deepEqual(await registry.stop(35_000), { code: 0, signal: null }, registry.tail());
      assert.deepEqual(await driver.stop(5_000), { code: 0, signal: null }, driver.tail());
      assert.equal(await ask("driver-filesystem", DRIVER), 1);
      assert.equal(await ask("registry", REGISTRY, `http://${host}`), 1);
    });
  });

  it("driver-memory serves", async () => {
    const sockets = volume(scope, "sock");
    const mounts = [{ source: sockets, target: "/run/outrigger" }];
    const driver = runImage(scope, "driver", built("driver-memory"), { ...DRIVER, mounts });
    await listening(driver, `unix://${join(sockets, "driver.sock")}`);
    assert.deepEqual(await driver.stop(5_000), { code: 0, signal: null }, driver.tail());
  });

  it("the kit asks a driver through its socket", async () => {
    const kit = await builder.build("conformance");
    const sockets = volume(scope, "sock");
    const mounts = [{ source: sockets, target: "/run/outrigger" }];
    const driver = runImage(scope, "driver", built("driver-memory"), { ...DRIVER, mounts });
    await listening(driver, `unix://${join(sockets, "driver.sock")}`);
    const args = ["unix:///run/outrigger/driver.sock", "--only", "handshake", "--report", "/tmp/report"];
    const run = runImage(scope, "conformance", kit, { ...DRIVER, args, mounts });
    assert.deepEqual(await run.exited, { code: 0, signal: null }, run.tail());
    assert.match(
      run.lines.join("\n"),
      /io\.outrigger\.memory[\s\S]*handshake +passed[\s\S]*\/tmp\/report\/badge\.json/,
    );
    assert.deepEqual(await driver.stop(5_000), { code: 0, signal: null }, driver.tail());
  });

  describe("driver-bolt", () => {
    let bolt: BuiltImage;
    before(async () => {
      await builder.goBase();
      bolt = await builder.build("driver-bolt", [goCacheVolume()]);
    });

    it("is a static binary and nothing else", async () => {
      const { stdout } = await command("find", [bolt.root, "-type", "f"]);
      const files = stdout.trim().split("\n");
      assert.deepEqual(files.sort(), [join(bolt.root, "LICENSE"), join(bolt.root, "bin/outrigger-driver-bolt")]);
      const bytes = bytesBelow(bolt.root);
      assert.ok(bytes <= 40 * MIB, `${(bytes / MIB).toFixed(1)} MiB`);
      assert.equal(bolt.config.User, "65532:65532");
      assert.equal(bolt.config.StopSignal, "SIGTERM");
    });

    it("makes a store, serves it to the registry's group, answers its health check, and ends", async () => {
      const data = volume(scope, "data");
      const sockets = volume(scope, "sock");
      for (const [place, mode] of [
        ["data", "750"],
        ["run/outrigger", "2770"],
      ] as const) {
        assert.deepEqual(groupAndMode(join(bolt.root, place)), { gid: 65532, mode }, place);
      }
      const mounts = [
        { source: data, target: "/data" },
        { source: sockets, target: "/run/outrigger" },
      ];
      const unmade = runImage(scope, "unmade", bolt, { ...DRIVER, mounts });
      assert.equal((await unmade.exited).code, 1);
      assert.match(unmade.tail(), /NOT_INITIALISED/);
      const init = runImage(scope, "init", bolt, { ...DRIVER, args: ["--init"], mounts });
      assert.deepEqual(await init.exited, { code: 0, signal: null }, init.tail());
      const driver = runImage(scope, "driver", bolt, { ...DRIVER, mounts });
      const socket = join(sockets, "meta.sock");
      await listening(driver, `unix://${socket}`);
      assert.deepEqual(groupAndMode(socket), { gid: 65532, mode: "660" });
      const [, ...check] = bolt.config.Healthcheck?.Test ?? [];
      const ask = async () =>
        (await runImage(scope, "health", bolt, { ...DRIVER, command: check, mounts }).exited).code;
      assert.equal(await ask(), 0);
      assert.deepEqual(await driver.stop(5_000), { code: 0, signal: null }, driver.tail());
      assert.equal(await ask(), 1);
    });
  });

  /** Enough for each to get as far as its backend, which is not there: its SDK is loaded, and no other's is. */
  const vendors: Readonly<Record<string, { readonly args: readonly string[]; readonly says: RegExp }>> = {
    s3: {
      args: [
        "--bucket=bucket",
        "--endpoint=http://127.0.0.1:9",
        "--access-key-id-file=/etc/hostname",
        "--secret-access-key-file=/etc/hostname",
      ],
      says: /nobody listens/,
    },
    azure: {
      args: [
        "--container=b",
        "--account=a",
        `--account-key=${Buffer.alloc(64).toString("base64")}`,
        "--endpoint=http://127.0.0.1:9",
      ],
      says: /nobody listens/,
    },
    gcs: { args: ["--bucket=bucket", "--api-endpoint=http://127.0.0.1:9", "--anonymous"], says: /cannot be reached/ },
    redis: { args: ["--url=redis://127.0.0.1:9"], says: /nobody listens there/ },
    dynamodb: {
      args: ["--table=table", "--endpoint=http://127.0.0.1:9", "--region=x"],
      says: /credentials|127\.0\.0\.1:9/,
    },
  };
  for (const [name, { args, says }] of Object.entries(vendors)) {
    it(`driver-${name} holds its vendor's SDK and no other's`, async () => {
      const made = await builder.build(`driver-${name}`);
      const { stdout } = await command("sh", ["-c", "ls -d drivers/*/node_modules"], {
        cwd: join(made.root, "app/dist"),
      });
      assert.equal(stdout.trim(), `drivers/${name}/node_modules`);
      const mounts = [{ source: volume(scope, "sock"), target: "/run/outrigger" }];
      const driver = runImage(scope, name, made, { ...DRIVER, args, mounts });
      assert.equal((await driver.exited).code, 1, driver.tail());
      assert.match(driver.tail(), says);
    });
  }

  it("driver-lmdb makes a store with its native part, and serves it", async () => {
    const made = await builder.build("driver-lmdb");
    const sockets = volume(scope, "sock");
    const mounts = [
      { source: volume(scope, "data"), target: "/data" },
      { source: sockets, target: "/run/outrigger" },
    ];
    const init = runImage(scope, "init", made, { ...DRIVER, args: ["--init"], mounts });
    assert.deepEqual(await init.exited, { code: 0, signal: null }, init.tail());
    const driver = runImage(scope, "driver", made, { ...DRIVER, mounts });
    await listening(driver, `unix://${join(sockets, "driver.sock")}`);
    assert.deepEqual(await driver.stop(5_000), { code: 0, signal: null }, driver.tail());
  });

  it("the registry image refuses to open the door to everybody by itself", async () => {
    const sockets = volume(scope, "sock");
    const mounts = [{ source: sockets, target: "/run/outrigger" }];
    const registry = runImage(scope, "registry", built("registry"), { ...REGISTRY, mounts });
    assert.equal((await registry.exited).code, 1);
    assert.match(registry.tail(), /auth\.htpasswd\.file|--htpasswd/);
  });
});
