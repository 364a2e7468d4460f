/** distribution's registry on Outrigger drivers: what people's tools do with it, and what its other parts ask of a store. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type BridgeRegistry, collectGarbage, launchBridge, startBridge } from "../helpers/bridge.ts";
import { image, index, seededContent, writeLayout } from "../helpers/oci.ts";
import { initialiseRoot, startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { errorCodes, locationOf, type RegistryClient, withDigest } from "../helpers/registry-client.ts";
import { freePort, tempFolder } from "../helpers/temp.ts";
import { command, missing, tool } from "../helpers/tools.ts";

describe("distribution's registry on the filesystem driver", { skip: missing("bridge-registry") }, () => {
  const scope = new Scope();
  let bridge: BridgeRegistry;
  let address: string;
  let folder: string;
  before(async () => {
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    ({ address } = await startDriver(scope, { root }));
    bridge = await startBridge(scope, { blobs: address });
    folder = tempFolder(scope);
  });
  after(scope.close);

  it("takes skopeo's pushes and gives them back byte for byte", { skip: missing("skopeo") }, async () => {
    const pushed = image({ seed: "bridge/skopeo", layerBytes: [1_200_000, 5] });
    const source = join(folder, "skopeo");
    writeLayout(source, pushed.manifest, [pushed]);
    const skopeo = (...args: string[]) => command(tool("skopeo"), ["--insecure-policy", ...args]);
    const at = `docker://${bridge.host}/sk/layout:v1`;
    await skopeo("copy", "--dest-tls-verify=false", `oci:${source}`, at);
    await bridge.client.pullImage("sk/layout", "v1", pushed);
    await skopeo("copy", "--src-tls-verify=false", at, `dir:${join(folder, "pulled")}`);
    assert.deepEqual(readFileSync(join(folder, "pulled/manifest.json")), pushed.manifest.bytes);
    const listed = JSON.parse((await skopeo("list-tags", "--tls-verify=false", at.slice(0, -3))).stdout);
    assert.deepEqual(listed.Tags, ["v1"]);
  });

  it("takes crane's pushes and copies, lists and deletes", { skip: missing("crane") }, async () => {
    const images = ["amd64", "arm64"].map((architecture) =>
      image({ seed: `bridge/crane/${architecture}`, layerBytes: [700_000, 12], architecture }),
    );
    const entry = index(images, ["amd64", "arm64"]);
    const source = join(folder, "crane");
    writeLayout(source, entry, images);
    const crane = async (...args: string[]) =>
      (await command(tool("crane"), args, { env: { DOCKER_CONFIG: folder } })).stdout.trim();
    await crane("push", "--index", source, `${bridge.host}/cr/one:all`);
    await crane("validate", "--remote", `${bridge.host}/cr/one:all`);
    await crane("copy", `${bridge.host}/cr/one:all`, `${bridge.host}/cr/two:all`);
    await crane("tag", `${bridge.host}/cr/two:all`, "other");
    assert.deepEqual((await crane("ls", `${bridge.host}/cr/two`)).split("\n"), ["all", "other"]);
    const pushed = await crane("digest", `${bridge.host}/cr/one:all`);
    assert.equal(await crane("digest", `${bridge.host}/cr/two:other`), pushed);
    for (const one of images) await bridge.client.pullImage("cr/two", one.manifest.digest, one);
    const catalog = (await crane("catalog", bridge.host)).split("\n");
    assert.ok(catalog.includes("cr/one") && catalog.includes("cr/two"), catalog.join());
    await crane("delete", `${bridge.host}/cr/two@${pushed}`);
    await bridge.client.expect(404, "GET", `/v2/cr/two/manifests/${pushed}`);
  });

  it("takes a layer in pieces, tells how far it is, and refuses a wrong digest", async () => {
    const { client } = bridge;
    const content = seededContent("bridge/pieces", 3_000_001);
    const cuts = [0, 1_000_000, 1_000_001, 2_500_000, content.sizeBytes];
    let location = await client.startUpload("up/pieces");
    for (const [position, from] of cuts.slice(0, -1).entries()) {
      const to = cuts[position + 1] ?? 0;
      const reply = await client.expect(202, "PATCH", location, {
        headers: { "content-length": String(to - from), "content-range": `${from}-${to - 1}` },
        body: content.read(from, to),
      });
      assert.equal(reply.headers["range"], `0-${to - 1}`);
      location = locationOf(reply);
      const status = await client.expect(204, "GET", location);
      assert.equal(status.headers["range"], `0-${to - 1}`);
    }
    const wrong = await client.expect(400, "PUT", withDigest(location, `sha256:${"0".repeat(64)}`));
    assert.deepEqual(errorCodes(wrong), ["DIGEST_INVALID"]);
    assert.equal(await client.hasBlob("up/pieces", content.digest), false);
    // The upload is gone with it, its bytes too.
    await client.expect(404, "GET", location);

    location = await client.startUpload("up/pieces");
    const patched = await client.expect(202, "PATCH", location, {
      headers: { "content-length": String(content.sizeBytes) },
      body: content.read(),
    });
    await client.expect(201, "PUT", withDigest(locationOf(patched), content.digest));
    await client.pullBlob("up/pieces", content);
  });

  it("goes on with an upload that another registry on the same stores began, and that one's end", async () => {
    const content = seededContent("bridge/two", 3_000_000);
    const other = await startBridge(scope, { blobs: address });
    const piece = async (client: RegistryClient, location: string, from: number, to: number) =>
      locationOf(
        await client.expect(
          202,
          "PATCH",
          new URL(location, client.base).pathname + new URL(location, client.base).search,
          {
            headers: { "content-length": String(to - from) },
            body: content.read(from, to),
          },
        ),
      );
    let location = await other.client.startUpload("up/two");
    location = await piece(other.client, location, 0, 1_000_000);
    location = await piece(bridge.client, location, 1_000_000, 1_000_003);
    location = await piece(other.client, location, 1_000_003, 2_000_000);
    await other.process.kill();
    const { pathname, search } = new URL(
      await piece(bridge.client, location, 2_000_000, 3_000_000),
      bridge.client.base,
    );
    await bridge.client.expect(201, "PUT", withDigest(pathname + search, content.digest));
    await bridge.client.pullBlob("up/two", content);
  });

  it("hashes anew what has another algorithm's digest, reading the upload back", async () => {
    const content = seededContent("bridge/sha512", 1_500_000, "sha512");
    const location = await bridge.client.startUpload("up/sha512");
    await bridge.client.expect(201, "PUT", withDigest(location, content.digest), {
      headers: { "content-length": String(content.sizeBytes) },
      body: content.read(),
    });
    await bridge.client.pullBlob("up/sha512", content);
  });

  it("takes the empty blob, ranges, a mount, a cancelled upload", async () => {
    const { client } = bridge;
    const empty = seededContent("bridge/empty", 0);
    await client.pushBlob("small/a", empty);
    await client.pullBlob("small/a", empty);

    const content = seededContent("bridge/ranges", 2_000_000);
    await client.pushBlob("small/a", content);
    const part = await client.expect(206, "GET", `/v2/small/a/blobs/${content.digest}`, {
      headers: { range: "bytes=1048570-1048580" },
    });
    assert.deepEqual(part.body, Buffer.concat([...content.read(1_048_570, 1_048_581)]));

    await client.expect(201, "POST", `/v2/small/b/blobs/uploads/?mount=${content.digest}&from=small/a`);
    await client.pullBlob("small/b", content);

    const location = await client.startUpload("small/a");
    const patched = await client.expect(202, "PATCH", location, { body: Buffer.from("some bytes") });
    await client.expect(204, "DELETE", locationOf(patched));
    await client.expect(404, "GET", locationOf(patched));
  });

  it("collects garbage and keeps what is used", async () => {
    const { client } = bridge;
    const kept = image({ seed: "bridge/gc/kept", layerBytes: [200_000] });
    const gone = image({ seed: "bridge/gc/gone", layerBytes: [300_000] });
    await client.pushImage("gc/image", kept, "kept");
    await client.pushImage("gc/image", gone, "gone");
    await client.expect(202, "DELETE", `/v2/gc/image/manifests/${gone.manifest.digest}`);
    const { code, lines } = await collectGarbage(scope, { blobs: address });
    assert.equal(code, 0, lines.join("\n"));
    for (const { digest } of gone.blobs) assert.ok(lines.includes(`blob eligible for deletion: ${digest}`), digest);
    await client.pullImage("gc/image", "kept", kept);
    assert.deepEqual(await client.tags("gc/image"), ["kept"]);
    for (const { digest } of gone.blobs) assert.equal(await client.hasBlob("gc/image", digest), false);
  });
});

describe("what distribution's registry does not start with", { skip: missing("bridge-registry") }, () => {
  const scope = new Scope();
  after(scope.close);

  async function refusal(parameters: Record<string, unknown>): Promise<string> {
    const { blobs = "unix:///nowhere/driver.sock", ...others } = parameters;
    const { process } = await launchBridge(scope, { blobs: blobs as string, parameters: others });
    assert.equal((await process.exited).code, 1);
    return process.lines.join("\n");
  }

  it("a key that there is not", async () => {
    assert.match(
      await refusal({ metadata: "unix:///x" }),
      /storage\.outrigger\.metadata is unknown: there are .*meta,/,
    );
    assert.match(await refusal({ tls: { cafile: "x" } }), /storage\.outrigger\.tls\.cafile is unknown: there are ca, /);
  });

  it("values that cannot be right", async () => {
    assert.match(await refusal({ blobs: "localhost" }), /blobs: .*localhost.* is not an address: write unix:/);
    assert.match(await refusal({ resume: "soon" }), /resume: soon is not a time: write 30s/);
  });

  it("a driver that does not come", async () => {
    assert.match(await refusal({ connectwait: "1s" }), /no Outrigger driver answered at unix:.* for 1s/);
  });

  it("an address where something else answers", async () => {
    for (const server of [createHttp2Server((_, reply) => reply.end()), createHttpServer((_, reply) => reply.end())]) {
      const other = `127.0.0.1:${await freePort()}`;
      await new Promise<void>((resolve) => server.listen(Number(other.split(":")[1]), "127.0.0.1", resolve));
      try {
        assert.match(await refusal({ blobs: other }), /what answers at .* is not an Outrigger driver/);
      } finally {
        server.close();
      }
    }
  });

  it("the blobs of one registry with the metadata of another, nor another store than the pinned one", async () => {
    const first = await startDriver(scope, { driver: "memory" });
    const second = await startDriver(scope, { driver: "memory" });
    const { process } = await startBridge(scope, { blobs: first.address });
    await process.stop();
    assert.match(
      await refusal({ blobs: second.address, meta: first.address }),
      /the meta store at .* belongs to the blob store .*, but the one at .* is /,
    );

    assert.match(
      await refusal({ blobs: first.address, blobsid: "00000000-0000-4000-8000-000000000000" }),
      /the blob store at .* is .*, not 00000000-0000-4000-8000-000000000000/,
    );
  });
});

describe("TLS between distribution's registry and its driver", { skip: missing("bridge-registry") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("is mutual where the driver asks for it; what does not fit is told at once", async () => {
    const folder = tempFolder(scope);
    const pair = async (name: string) => {
      const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
      await command("openssl", [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
        ...["-keyout", key, "-out", cert, "-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`],
      ]);
      return { cert, key };
    };
    const [driver, own, stranger] = [await pair("localhost"), await pair("own"), await pair("stranger")];
    const port = await freePort();
    const flags = ["--tls-cert", driver.cert, "--tls-key", driver.key, "--tls-client-ca", own.cert];
    await startDriver(scope, { driver: "memory", address: `127.0.0.1:${port}`, flags });
    const blobs = `localhost:${port}`;

    const { client } = await startBridge(scope, { blobs, parameters: { tls: { ca: driver.cert, ...own } } });
    const pushed = image({ seed: "bridge/tls", layerBytes: [300_000] });
    await client.pushImage("tls/image", pushed, "v1");
    await client.pullImage("tls/image", "v1", pushed);

    for (const [tls, says] of [
      [{ ca: stranger.cert, ...own }, /TLS with the driver at .* fails, see storage\.outrigger\.tls: .*x509: /],
      [{ ca: driver.cert }, /TLS with the driver at .* fails, .*remote error: tls: /],
      [{ ca: driver.cert, ...own, servername: "elsewhere" }, /TLS with the driver at .* fails, .*x509: .*elsewhere/],
    ] as const) {
      const { process } = await launchBridge(scope, { blobs, parameters: { tls } });
      assert.equal((await process.exited).code, 1);
      assert.match(process.lines.join("\n"), says);
    }
  });
});
