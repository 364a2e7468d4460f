/** What ends a copy, or spoils a part of it: said in a line, nothing lost, and the next run goes on. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../client/index.ts";
import { blobKey, copyHolderKey } from "../../registry/repository/keys.ts";
import { onlyLine, outrigger } from "../cli/cli.ts";
import { type Image, image } from "../helpers/oci.ts";
import { initialiseRoot, type RegistryProcess, startDriver, startRegistry, until } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { mountProblem, smallDisk } from "../helpers/small-disk.ts";
import { freePort, tempFolder } from "../helpers/temp.ts";
import { begin } from "./copying.ts";

const MIB = 1024 * 1024;
const LARGE_BYTES = 48 * MIB;

describe("a copy", () => {
  const scope = new Scope();
  let sourceRoot = "";
  let from = "";
  let metrics = "";
  let registry: RegistryProcess;
  const large = image({ seed: "copy/large", layerBytes: [LARGE_BYTES], raw: true });
  const small = Array.from({ length: 5 }, (_, at) =>
    image({ seed: `copy/${at}`, layerBytes: [200_000, 10], raw: true }),
  );

  before(async () => {
    sourceRoot = tempFolder(scope, "source");
    await initialiseRoot(sourceRoot);
    metrics = `127.0.0.1:${await freePort()}`;
    const driver = await startDriver(scope, { root: sourceRoot, flags: ["--metrics-listen", metrics] });
    from = driver.address;
    registry = await startRegistry(scope, { blobs: from });
    await registry.client.pushImage("team/large", large, "v1");
    for (const [at, one] of small.entries()) await registry.client.pushImage("team/small", one, `v${at}`);
  });
  after(scope.close);

  /** A new, empty target. */
  async function newTarget(options: { readonly root?: string; readonly flags?: readonly string[] } = {}) {
    const root = options.root ?? tempFolder(scope, "target");
    await initialiseRoot(root);
    return startDriver(scope, { root, ...(options.flags === undefined ? {} : { flags: options.flags }) });
  }

  async function storesAt(address: string) {
    const opened = connect({ blobs: { address } });
    scope.defer(() => opened.close());
    await opened.ready();
    return opened;
  }

  /** Bytes of blobs that the source's driver has sent. */
  async function sentBytes(): Promise<number> {
    const text = await (await fetch(`http://${metrics}/metrics`)).text();
    return Number(/^outrigger_driver_sent_bytes_total(?:\{[^}]*\})? (\S+)$/m.exec(text)?.[1] ?? "NaN");
  }

  async function assertEqual(to: string): Promise<void> {
    const compared = await outrigger(["diff", from, to]);
    assert.equal(compared.code, 0, compared.stdout + compared.stderr);
  }

  it("that is killed within a large blob goes on within it", async () => {
    const target = await newTarget({ flags: ["--persist-step", "1MiB"] });
    const stores = await storesAt(target.address);
    const uploaded = async () => (await stores.blobs.listUploads({})).items[0]?.persistedBytes ?? 0;
    const killed = begin(scope, ["copy", from, target.address, "--rate", "10MiB"]);
    await until(
      async () => (await uploaded()) > LARGE_BYTES / 3,
      60_000,
      () => killed.tail(),
    );
    await killed.kill();
    const persisted = await uploaded();
    const before = await sentBytes();
    const again = await outrigger(["copy", from, target.address]);
    assert.equal(again.code, 0, again.stderr);
    const sent = (await sentBytes()) - before;
    const rest = LARGE_BYTES - persisted + 4 * MIB;
    assert.ok(sent > 0 && sent < rest, `${sent} bytes were read again, ${persisted} were persisted`);
    assert.deepEqual((await stores.blobs.listUploads({})).items, []);
    await assertEqual(target.address);
  });

  it("ends at Ctrl-C, says how to go on, and keeps nobody waiting", async () => {
    const target = await newTarget();
    const stopped = begin(scope, ["copy", from, target.address, "--rate", "2MiB"]);
    const stores = await storesAt(target.address);
    await until(
      async () => (await stores.meta.get([copyHolderKey]))[0] !== undefined,
      30_000,
      () => stopped.tail(),
    );
    await sleep(500);
    stopped.signal("SIGINT");
    assert.deepEqual(await stopped.exited, { code: 1, signal: null });
    assert.match(
      stopped.lines.at(-1) ?? "",
      /^outrigger: stopped: what was copied stays, run the same command to go on$/,
    );
    assert.deepEqual(await stores.meta.get([copyHolderKey]), [undefined]);
    assert.equal((await outrigger(["copy", from, target.address])).code, 0);
    await assertEqual(target.address);
  });

  it("is refused while another copies into the same target", async () => {
    const target = await newTarget();
    const first = begin(scope, ["copy", from, target.address, "--rate", "4MiB"]);
    const stores = await storesAt(target.address);
    await until(
      async () => (await stores.meta.get([copyHolderKey]))[0] !== undefined,
      30_000,
      () => first.tail(),
    );
    const second = await outrigger(["copy", from, target.address]);
    assert.equal(second.code, 1);
    assert.match(onlyLine(second), /^outrigger: another copy into this target is at work since 20/);
    assert.deepEqual(await first.exited, { code: 0, signal: null }, first.tail());
    await assertEqual(target.address);
  });

  it("of blobs alone may be made twice at once, and needs no meta store", async () => {
    const target = await newTarget();
    const args = ["copy", from, target.address, "--only", "blobs", "--rate", "16MiB"];
    const both = [begin(scope, args), begin(scope, args)];
    for (const one of both) assert.deepEqual(await one.exited, { code: 0, signal: null }, one.tail());
    const compared = await outrigger(["diff", from, target.address, "--only", "blobs", "--digest"]);
    assert.equal(compared.code, 0, compared.stdout);
    const stores = await storesAt(target.address);
    assert.deepEqual((await stores.meta.list({ prefix: "docker/" })).items, []);
  });

  it("names a damaged blob, copies the rest, and sets no tag that needs it", async () => {
    const digest = small[0]?.blobs[1]?.digest ?? "";
    const file = fileOf(sourceRoot, digest);
    const bytes = readFileSync(file);
    writeFileSync(file, Buffer.from(bytes.map((byte, at) => (at === 100 ? byte ^ 1 : byte))));
    const target = await newTarget();
    try {
      const copied = await outrigger(["copy", from, target.address, "--json"]);
      assert.equal(copied.code, 1);
      const { blobs, tags, problems } = JSON.parse(copied.stdout);
      assert.equal(problems.first[0].what, digest);
      assert.match(problems.first[0].why, /damaged/);
      const all =
        large.blobs.length +
        1 +
        new Set(small.flatMap(({ blobs: own }) => own.map((blob) => blob.digest))).size +
        small.length;
      assert.deepEqual([blobs.copied, tags.copied], [all - 1, small.length]);
      const told = await outrigger(["copy", from, target.address]);
      assert.equal(told.code, 1);
      assert.match(told.stderr, new RegExp(`^${digest}: .*damaged`, "m"));
      assert.match(told.stderr, /^team\/small:v0: its manifest sha256:\S+ is not at the target/m);
    } finally {
      writeFileSync(file, bytes);
    }
    assert.equal((await outrigger(["copy", from, target.address])).code, 0);
    await assertEqual(target.address);
  });

  it("takes nothing away in a target that is not its own, and all the source has not in one that is", async () => {
    const other = await newTarget();
    const its = await startRegistry(scope, { blobs: other.address });
    const own = image({ seed: "copy/own", layerBytes: [1000] });
    await its.client.pushImage("own/app", own, "v1");
    const refused = await outrigger(["copy", from, other.address, "--delete"]);
    assert.equal(refused.code, 1);
    assert.match(
      onlyLine(refused),
      /^outrigger: the target was not made by copies of FROM, so nothing is deleted in it: .*--accept-target [0-9a-f-]{36}$/,
    );
    const id = /--accept-target (\S+)$/.exec(onlyLine(refused))?.[1] ?? "";
    await its.client.pullImage("own/app", "v1", own);
    const meant = await outrigger(["copy", from, other.address, "--delete", "--accept-target", id]);
    assert.equal(meant.code, 0, meant.stderr);
    assert.deepEqual(await its.client.catalog(), ["team/large", "team/small"]);
    await its.client.pullImage("team/small", "v1", small[1] as Image);
    await assertEqual(other.address);
  });

  it("tells a wrong command line in one line", async () => {
    const nobody = `127.0.0.1:${await freePort()}`;
    const lines: readonly (readonly [readonly string[], number, RegExp])[] = [
      [["copy", from], 2, /missing required argument 'to'/],
      [["copy", from, from], 1, /FROM and TO have the same meta store/],
      [["copy", from, nobody], 1, /nobody listens at 127/],
      [["copy", from, "nowhere"], 1, /nowhere is not an address/],
      [["copy", from, nobody, "--rate", "fast"], 2, /--rate is "fast": write a size like/],
      [["copy", from, nobody, "--rate", "1KiB"], 2, /--rate is at least 64KiB/],
      [["copy", from, nobody, "--jobs", "0"], 2, /--jobs is "0": write a number from 1 to 64/],
      [["copy", from, nobody, "--only", "tags"], 2, /--only is "tags": write blobs or meta/],
      [["copy", from, nobody, "--only", "blobs", "--delete"], 2, /--delete needs both stores/],
      [["copy", from, nobody, "--from-tls-cert", "x"], 2, /--from-tls-cert and --from-tls-key belong together/],
      [["diff", from, nobody], 2, /nobody listens at 127/],
      [["verify", "--blobs", nobody], 2, /nobody listens at 127/],
    ];
    for (const [args, code, line] of lines) {
      const ended = await outrigger(args);
      assert.equal(ended.code, code, args.join(" "));
      assert.match(onlyLine(ended), line);
    }
  });

  it("into a disk that fills up ends with a line, and goes on when there is room", {
    skip: mountProblem(),
  }, async () => {
    const disk = smallDisk(scope, 200 * MIB);
    const root = join(disk.folder, "root");
    mkdirSync(root);
    const target = await newTarget({ root, flags: ["--persist-step", "1MiB"] });
    disk.leave(20 * MIB);
    const full = await outrigger(["copy", from, target.address, "--jobs", "1"]);
    assert.equal(full.code, 1);
    assert.match(
      full.stderr,
      /^outrigger: the target is full \(.*\): make room there and run this again, it goes on where it stopped$/m,
    );
    disk.clear();
    const before = await sentBytes();
    assert.equal((await outrigger(["copy", from, target.address])).code, 0);
    const sent = (await sentBytes()) - before;
    assert.ok(sent < LARGE_BYTES - 10 * MIB, `${sent} bytes were read again`);
    await assertEqual(target.address);
    assert.equal((await outrigger(["verify", "--blobs", target.address])).code, 0);
    await target.process.stop();
  });
});

function fileOf(root: string, digest: string): string {
  const file = join(root, blobKey(digest));
  assert.ok(existsSync(file), file);
  return file;
}
