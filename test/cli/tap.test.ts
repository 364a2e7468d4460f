/** `outrigger tap` between a real registry and a real driver, also one that dies; and its recordings, replayed. */
import assert from "node:assert/strict";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { paced } from "../helpers/load.ts";
import { image, seededContent } from "../helpers/oci.ts";
import { initialiseRoot, launchOutrigger, listening, startDriver, startRegistry } from "../helpers/outrigger.ts";
import { type Running, Scope } from "../helpers/processes.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { freePort, tempFolder } from "../helpers/temp.ts";
import { onlyLine, outrigger } from "./cli.ts";

const MIB = 1024 * 1024;

describe("outrigger tap", () => {
  const scope = new Scope();
  after(scope.close);

  async function startTap(to: string, ...flags: string[]): Promise<{ address: string; process: Running }> {
    const address = `unix://${join(tempFolder(scope), "t.sock")}`;
    const process = scope.add(launchOutrigger("tap", ["tap", "--listen", address, "--to", to, ...flags]));
    await listening(process, address);
    return { address, process };
  }

  it("is not noticed by a push and a pull, while the driver behind it is killed", async () => {
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    const driver = await startDriver(scope, { root });
    const tap = await startTap(driver.address);
    const registry = await startRegistry(scope, { blobs: tap.address });
    const pushed = image({ seed: "tapped", layerBytes: [1000, 3 * MIB] });
    await registry.client.pushImage("tap/through", pushed, "1");
    await registry.client.pullImage("tap/through", "1", pushed);

    const content = seededContent("killed", 6 * MIB);
    const push = registry.client.pushBlob("tap/through", content, { body: paced(content.read(), 3 * MIB) });
    await tap.process.line((line) => / Meta\.Get {2,}OK /.test(line));
    await new Promise((resolve) => setTimeout(resolve, 700));
    await driver.process.kill();
    await startDriver(scope, { root, address: driver.address });
    await push;
    await registry.client.pullBlob("tap/through", content);

    // A line is printed once the stream's last byte has gone through, which may be after the client had it.
    await tap.process.line((line) => / Blob\.Read .*: 6 MiB in \d+ chunks, 6 MiB from 0$/.test(line));
    const said = tap.process.lines.join("\n");
    assert.match(said, / Blob\.Append +broken by the driver .* attempt 1: \S+ MiB in \d+ chunks, persisted 0 B to /);
    assert.match(
      said,
      / Blob\.Append +OK .* attempt ([2-9]|[1-3]\d) commit .*, persisted \S+ (?:Mi)?B to \S+ .*, committed sha256:/,
    );
    assert.match(said, / Meta\.Write +OK +\d.* \d+ put/);
    assert.equal((await tap.process.stop()).code, 0);
  });

  it("changes no metadata of an answer or an error", async () => {
    const driver = await startDriver(scope, { driver: "memory" });
    const tap = await startTap(driver.address);
    const [direct, tapped] = [new RawClient(driver.address), new RawClient(tap.address)];
    scope.defer(() => {
      direct.close();
      tapped.close();
    });
    for (const [method, request] of [
      ["handshake.Version", {}],
      ["blob.Stat", { keys: ["a"] }],
    ] as const) {
      const [one, other] = [await direct.call(method, request), await tapped.call(method, request)];
      const shown = ({ metadata, ...rest }: typeof one) => {
        const map = metadata.getMap();
        return { ...rest, error: rest.error?.metadata, metadata: { ...map, "outrigger-now": "", date: "" } };
      };
      assert.deepEqual(shown(other), shown(one));
    }
    await tap.process.line((line) =>
      /Blob\.Stat +INVALID_ARGUMENT\/INVALID_FIELD .*a.* \(.*outrigger-store/.test(line),
    );
  });

  it("records what another driver can be asked again", async () => {
    const driver = await startDriver(scope, { driver: "memory" });
    const file = join(tempFolder(scope), "recording");
    const tap = await startTap(driver.address, "--record", file);
    const registry = await startRegistry(scope, { blobs: tap.address });
    const pushed = image({ seed: "recorded", layerBytes: [1000, 2 * MIB] });
    await registry.client.pushImage("tap/recorded", pushed, "1", "2");
    await registry.client.pullImage("tap/recorded", "1", pushed);
    await registry.process.stop();
    assert.equal((await tap.process.stop()).code, 0);

    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    const other = await startDriver(scope, { root });
    const first = await outrigger(["tap", "replay", file, "--to", other.address]);
    assert.equal(first.code, 0, first.stdout + first.stderr);
    assert.match(first.stdout, /^\d+ calls: [1-9]\d* the same, 0 different, 0 not compared\n$/);

    // What is there already answers otherwise, and so does a recording that was tampered with.
    const second = await outrigger(["tap", "replay", file, "--to", other.address]);
    assert.equal(second.code, 1);
    assert.match(second.stdout, /MetaService\.Write: OK in the recording, ABORTED\/CONDITION_FAILED now/);
    assert.match(second.stdout, /MetaService\.Get: results\[0\]\.item: absent in the recording, /);

    // The last line of a tap that was killed is cut: the rest is replayed.
    truncateSync(file, readFileSync(file).length - 20);
    const cut = await outrigger(["tap", "replay", file, "--to", driver.address]);
    assert.match(cut.stdout, /calls: .* 1 not compared\n$/);
    assert.match(
      onlyLine(await outrigger(["tap", "--listen", tap.address, "--to", driver.address, "--record", file])),
      /is there already/,
    );
  });

  it("keeps as little of each message as it is told, and says what cannot be replayed", async () => {
    const driver = await startDriver(scope, { driver: "memory" });
    const file = join(tempFolder(scope), "recording");
    const tap = await startTap(driver.address, "--record", file, "--bytes", "200");
    const put = await outrigger(["call", tap.address, "Put", `{"key":"secret","data":{"text":"${"x".repeat(999)}"}}`]);
    assert.equal(put.code, 0, put.stderr);
    await tap.process.stop();
    assert.ok(!readFileSync(file, "utf8").includes(Buffer.from("x".repeat(300)).toString("base64")));
    const replayed = await outrigger(["tap", "replay", file, "--to", driver.address]);
    assert.match(replayed.stdout, /BlobService\.Put: not compared: its messages are cut/);
  });

  it("refuses what it cannot do, in one line", async () => {
    const text = join(tempFolder(scope), "text");
    writeFileSync(text, "hello\n");
    const port = await freePort();
    for (const [args, said] of [
      [["tap"], /give --listen ADDR/],
      [["tap", "--listen", "0.0.0.0:7000", "--to", `127.0.0.1:${port}`], /beyond loopback.*--insecure/],
      [["tap", "--listen", "127.0.0.1:0", "--to", "nowhere"], /nowhere is not an address/],
      [["tap", "--listen", "127.0.0.1:0", "--to", `127.0.0.1:${port}`, "--bytes", "5"], /give --record FILE/],
      [["tap", "replay", text, "--to", `127.0.0.1:${port}`], /is not a recording of outrigger tap/],
    ] as const)
      assert.match(onlyLine(await outrigger(args)), said);
  });

  it("says nothing is there as the driver's absence does: the connection ends", async () => {
    const tap = await startTap(`127.0.0.1:${await freePort()}`);
    const ended = await outrigger(["describe", tap.address]);
    assert.equal(ended.code, 1);
    await tap.process.line((line) => / cannot be reached: .*ECONNREFUSED/.test(line));
    assert.equal(tap.process.exit, undefined);
  });
});
