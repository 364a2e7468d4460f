/** A registry with its blobs on versitygw, over kills of the driver, and over a server that stops, dies, throttles. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HttpFaults } from "../../helpers/http-faults.ts";
import { paced } from "../../helpers/load.ts";
import { image, seededContent, writeLayout } from "../../helpers/oci.ts";
import {
  type DriverProcess,
  initialiseRoot,
  type RegistryProcess,
  runOutrigger,
  startDriver,
  startRegistry,
} from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { type S3Server, secretKey, startS3Server } from "../../helpers/s3-server.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { command, missing, tool } from "../../helpers/tools.ts";
import { environmentFor, pushByPatch, type S3Bucket, s3Store, startS3 } from "./s3.ts";

const MIB = 1024 * 1024;
const KILLS = 4;

describe("a registry with its blobs in S3", { skip: missing("versitygw", "s3-sdk", "skopeo", "crane") }, () => {
  const scope = new Scope();
  let server: S3Server;
  let faults: HttpFaults;
  let store: S3Bucket;
  let blobs: DriverProcess;
  let registry: RegistryProcess;

  before(async () => {
    server = await startS3Server(scope);
    faults = await HttpFaults.start(scope, server.address);
    store = await s3Store(server, `http://${faults.address}`);
    blobs = await startS3(scope, store, { flags: ["--request-timeout", "5s"] });
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    const meta = await startDriver(scope, { root });
    registry = await startRegistry(scope, { blobs: blobs.address, meta: meta.address });
  });
  afterEach(() => faults.clear());
  after(scope.close);

  /** Everything of the driver's own that is still there. */
  const left = (): string[] =>
    readdirSync(join(server.folder, store.bucket, "!outrigger"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== "store")
      .map((entry) => join(entry.parentPath, entry.name));

  it("takes an image from skopeo, gives it to crane byte for byte, and leaves nothing of the uploads", async () => {
    const folder = tempFolder(scope);
    const pushed = image({ seed: "s3/skopeo", layerBytes: [34 * MIB + 7, 1_500_000, 10] });
    const layout = join(folder, "layout");
    writeLayout(layout, pushed.manifest, [pushed]);
    const skopeo = (...args: string[]) =>
      command(tool("skopeo"), ["--insecure-policy", ...args], { timeoutMs: 60_000 });
    const place = `docker://${registry.host}/s3/image:v1`;
    await skopeo("copy", "--dest-tls-verify=false", `oci:${layout}`, place);
    const { stdout } = await command(tool("crane"), ["manifest", "--insecure", `${registry.host}/s3/image:v1`]);
    assert.equal(stdout.trim(), pushed.manifest.bytes.toString().trim());
    const back = join(folder, "back");
    await skopeo("copy", "--src-tls-verify=false", place, `dir:${back}`);
    for (const { digest } of pushed.blobs) {
      const hex = digest.slice("sha256:".length);
      assert.ok(readFileSync(join(back, hex)).equals(readFileSync(join(layout, "blobs/sha256", hex))), digest);
    }
    assert.deepEqual(left(), []);
  });

  it(`gives pushes back whole that saw ${KILLS} kills of the driver`, { timeout: 120_000 }, async (t) => {
    const seed = seedOf(t);
    const random = randomOf(seed);
    const content = seededContent(`s3/${seed}`, 40 * MIB + random.between(0, 999));
    const pushing = registry.client.pushBlob("s3/killed", content, { body: paced(content.read(), 3 * MIB) });
    for (let kill = 0; kill < KILLS; kill++) {
      // Long enough for the core to be there again: it waits up to 2 s between two tries.
      await sleep(random.between(1500, 2500));
      await blobs.process.kill();
      blobs = await startS3(scope, store, { address: blobs.address, flags: ["--request-timeout", "5s"] });
    }
    await pushing;
    await registry.client.pullBlob("s3/killed", content);
    assert.deepEqual(left(), []);
  });

  it("does not notice that the server stands still, or dies by kill -9 and comes back", {
    timeout: 120_000,
  }, async () => {
    const content = seededContent("s3/stopped", 30 * MIB + 5);
    const pushing = registry.client.pushBlob("s3/stopped", content, { body: paced(content.read(), 4 * MIB) });
    await sleep(1500);
    server.process.signal("SIGSTOP");
    await sleep(2500);
    server.process.signal("SIGCONT");
    await sleep(1000);
    await server.process.kill();
    await server.restart();
    await pushing;
    await registry.client.pullBlob("s3/stopped", content);
    assert.deepEqual(left(), []);
  });

  it("is slower, not wrong, where the server throttles and loses answers", { timeout: 120_000 }, async () => {
    const busy = {
      status: 503,
      headers: { "content-type": "application/xml" },
      body: "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
    };
    const failed = {
      status: 500,
      headers: { "content-type": "application/xml" },
      body: "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>",
    };
    const rules = [
      faults.add({ method: "PUT", path: /partNumber=/, times: 1 }, { answer: busy }),
      faults.add({ method: "PUT", path: /partNumber=/, skip: 1, times: 1 }, "cut-after"),
      faults.add({ method: "PUT", path: /partNumber=/, skip: 2, times: 1 }, { answerAfter: failed }),
      faults.add({ method: "POST", path: /uploadId=/, times: 1 }, "cut-after"),
      faults.add({ method: "PUT", path: /uploads\//, skip: 1, times: 1 }, "cut-after"),
      faults.add({ method: "PUT", path: /uploads\//, skip: 2, times: 1 }, { answer: busy }),
      faults.add({ method: "PUT", headers: { "x-amz-copy-source": /./ }, times: 1 }, "cut-after"),
      faults.add({ method: "GET", path: /blobs\/sha256/, times: 1 }, { cutAnswerAtBytes: 10 }),
    ];
    const pushed = image({ seed: "s3/throttled", layerBytes: [60 * MIB + 3] });
    await registry.client.pushImage("s3/throttled", pushed, "v1");
    await registry.client.pullImage("s3/throttled", "v1", pushed);
    const patched = seededContent("s3/throttled/patched", 34 * MIB + 9);
    await pushByPatch(registry.client, "s3/throttled", patched);
    await registry.client.pullBlob("s3/throttled", patched);
    assert.ok(
      rules.every(({ struck }) => struck > 0),
      `struck ${rules.map(({ struck }) => struck)}`,
    );
    assert.deepEqual(left(), []);
  });

  it("holds no more than it was told in memory, with 32 pushes at once", { timeout: 180_000 }, async () => {
    const small = await s3Store(server);
    const bounded = await startS3(scope, small, { flags: ["--upload-memory", "64MiB"] });
    const other = await startDriver(scope, { driver: "memory" });
    const { client } = await startRegistry(scope, { blobs: bounded.address, meta: other.address });
    // Twice what may be held, all of it below a part.
    const contents = Array.from({ length: 32 }, (_, each) => seededContent(`s3/memory/${each}`, 4 * MIB + each));
    await Promise.all(contents.map((content) => client.pushBlob("s3/memory", content)));
    const status = readFileSync(`/proc/${bounded.process.pid}/status`, "utf8");
    const peakMiB = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
    // An idle process has about 110.
    assert.ok(peakMiB > 64 && peakMiB < 400, `${peakMiB.toFixed(0)} MiB`);
    for (const content of contents) assert.ok(await client.hasBlob("s3/memory", content.digest));
  });

  it("keeps secrets out of what it says, which is JSON", () => {
    for (const line of blobs.process.lines) assert.doesNotThrow(() => JSON.parse(line), line);
    for (const line of [...blobs.process.lines, ...registry.process.lines]) assert.ok(!line.includes(secretKey), line);
  });
});

describe("the s3 driver that cannot start", { skip: missing("versitygw", "s3-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("says in a sentence what to change", { timeout: 120_000 }, async () => {
    const server = await startS3Server(scope);
    const faults = await HttpFaults.start(scope, server.address);
    const { bucket } = await s3Store(server);
    server.makeBucket("empty");
    const right = environmentFor(bucket, server.endpoint);
    const start = (env: Readonly<Record<string, string>>) =>
      runOutrigger(["driver", "s3", "--listen", `unix://${join(tempFolder(scope), "d.sock")}`], {
        env: { ...right, ...env },
      });
    for (const [env, sentence] of [
      [{ OUTRIGGER_BUCKET: "empty" }, /is empty.*--init/],
      [{ OUTRIGGER_BUCKET: "absent" }, /does not exist: make it, or correct --bucket or --endpoint/],
      [{ AWS_ACCESS_KEY_ID: "stranger" }, /does not know the credentials \(\w+\): correct the access key/],
      [{ AWS_SECRET_ACCESS_KEY: "another" }, /does not know the credentials \(SignatureDoesNotMatch\)/],
      [{ OUTRIGGER_REGION: "eu-north-1" }, /in region us-east-1, not eu-north-1: correct --region|region/],
      [{ OUTRIGGER_ENDPOINT: "http://127.0.0.1:9" }, /nobody listens at/],
      [{ OUTRIGGER_PART_SIZE: "1MiB" }, /partSize: must be from 5MiB to 64MiB/],
      [{ OUTRIGGER_UPLOAD_TTL: "1h" }, /uploadTtl: must be at least 24h/],
    ] as const) {
      await assert.rejects(start(env), (error: Error) => {
        assert.match(error.message, sentence, JSON.stringify(env));
        assert.ok(!error.message.includes(secretKey));
        return true;
      });
    }
    const answers = (code: string, status: number, headers: Readonly<Record<string, string>> = {}) => ({
      answer: {
        status,
        headers: { "content-type": "application/xml", ...headers },
        body: `<Error><Code>${code}</Code></Error>`,
      },
    });
    for (const [fault, sentence] of [
      [
        answers("RequestTimeTooSkewed", 403, { date: new Date(Date.now() - 3600_000).toUTCString() }),
        /by 60 min ahead/,
      ],
      [answers("AccessDenied", 403), /refuses \w+ \(AccessDenied\): the credentials need s3:/],
    ] as const) {
      faults.clear();
      faults.add({}, fault);
      await assert.rejects(start({ OUTRIGGER_ENDPOINT: `http://${faults.address}` }), sentence);
    }
    // A server that takes conditions and ignores them: two drivers would overwrite each other's work.
    faults.clear();
    faults.add(
      { method: "PUT", headers: { "if-none-match": /./ }, skip: 1, times: 1 },
      { answer: { status: 200, headers: { etag: '"0"' } } },
    );
    await assert.rejects(
      start({ OUTRIGGER_ENDPOINT: `http://${faults.address}` }),
      /ignores the condition of PutObject with If-None-Match.*--alone/,
    );
  });
});
