/** What the driver says of a setting, a permission or a server that is wrong, and what it asks of one that is right. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { alone } from "../../../drivers/s3/alone.ts";
import { hasReason } from "../../../proto/errors.ts";
import type { ObjectStore } from "../../../server/objects/contract.ts";
import { type HttpFault, HttpFaults } from "../../helpers/http-faults.ts";
import { bytes } from "../../helpers/object-store-suite.ts";
import { Scope } from "../../helpers/processes.ts";
import { accessKey, type S3Server, secretKey, startS3Server } from "../../helpers/s3-server.ts";
import { freePort, tempFolder } from "../../helpers/temp.ts";
import { missing } from "../../helpers/tools.ts";
import { failing, how, open, optionsOf, refusal, signal, storeOf, useCredentials } from "./in-process.ts";
import { bucketOf } from "./s3.ts";

const skip = missing("versitygw", "s3-sdk");
const ifAbsent = { condition: { ifAbsent: true } as const };

describe("the S3 store with a setting that is wrong", { skip }, () => {
  const scope = new Scope();
  let server: S3Server;
  let faults: HttpFaults;
  let bucket: string;

  before(async () => {
    useCredentials();
    server = await startS3Server(scope);
    faults = await HttpFaults.start(scope, server.address);
    ({ bucket } = bucketOf(server));
  });
  afterEach(() => {
    faults.clear();
    useCredentials();
  });
  after(scope.close);

  async function said(endpoint = server.endpoint, name = bucket, flags: readonly string[] = []): Promise<string> {
    const store = await storeOf(name, endpoint, flags);
    try {
      const { message, cause } = await failing(store.check(signal()), "BACKEND_DOWN");
      for (const text of [message, String(cause)]) assert.ok(!text.includes(secretKey), text);
      assert.equal(message.split("\n").length, 1, message);
      return message;
    } finally {
      await store.close();
    }
  }

  it("says which: bucket, keys, region", async () => {
    assert.match(await said(server.endpoint, "absent"), /bucket absent at .* does not exist: .*--bucket/);
    useCredentials(accessKey, "another");
    assert.match(await said(), /does not know the credentials \(SignatureDoesNotMatch\): correct .* its secret/);
    useCredentials("stranger");
    assert.match(await said(), /does not know the credentials \(\w+\): correct the access key/);
    useCredentials();
    assert.match(await said(server.endpoint, bucket, ["--region", "eu-north-1"]), /region/);
  });

  it("says which address is wrong", async () => {
    assert.match(await said(`http://127.0.0.1:${await freePort()}`), /nobody listens at bucket .*127.*--endpoint/);
    assert.match(await said("http://of-this-test.invalid"), /has no known name: correct --endpoint/);
    const stranger = createServer((_, response) => response.writeHead(404).end("<html>no</html>"));
    stranger.listen(0, "127.0.0.1");
    await new Promise((resolve) => stranger.once("listening", resolve));
    scope.defer(() => {
      stranger.close();
      stranger.closeAllConnections();
    });
    const { port } = stranger.address() as AddressInfo;
    assert.match(await said(`http://127.0.0.1:${port}`), /what answers at .* is no S3: correct --endpoint/);
  });

  for (const [status, code, headers, sentence] of [
    [403, "AccessDenied", {}, /refuses ListObjectsV2 \(AccessDenied\): the credentials need s3:ListBucket/],
    [403, "AllAccessDisabled", {}, /refuses ListObjectsV2/],
    [400, "ExpiredToken", {}, /does not know the credentials \(ExpiredToken\)/],
    [403, "RequestTimeTooSkewed", { date: new Date(Date.now() - 3600_000).toUTCString() }, /clock .* by 60 min ahead/],
    [301, "PermanentRedirect", { "x-amz-bucket-region": "eu-west-1" }, /is in region eu-west-1, not us-east-1/],
    [500, "InternalError", {}, /answers InternalError$/],
    [502, "BadGateway", {}, /answers 502 BadGateway$/],
    [501, "NotImplemented", {}, /does not know ListObjectsV2/],
  ] as const) {
    it(`says what ${code} means`, { timeout: 60_000 }, async () => {
      faults.add({}, { answer: refusal(status, code, headers) });
      assert.match(await said(`http://${faults.address}`), sentence);
    });
  }

  it("says which permission each request lacks", async () => {
    const store = await storeOf(bucket, `http://${faults.address}`);
    const source = await store.put("source", bytes(10, 1), {}, how());
    faults.add({}, { answer: refusal(403, "AccessDenied") });
    for (const [work, permission] of [
      [() => store.put("a", bytes(1, 1), {}, how()), "s3:PutObject"],
      [() => store.delete("a", undefined, how()), "s3:DeleteObject"],
      [() => store.read("a", { offsetBytes: 0 }, signal()), "s3:GetObject"],
      [() => store.head("a", signal()), "s3:GetObject"],
      [() => store.copy(source, "b", {}, how()), "s3:GetObject and s3:PutObject"],
      [() => store.parts.begin("a", how()), "s3:PutObject"],
      [() => store.parts.list("a", "x", signal()), "s3:ListMultipartUploadParts"],
      [() => store.parts.abandon("a", "x", how()), "s3:AbortMultipartUpload"],
      [() => store.parts.begun("", signal())[Symbol.asyncIterator]().next(), "s3:ListBucketMultipartUploads"],
    ] as const) {
      const { message } = await failing(work(), "BACKEND_DOWN");
      assert.ok(message.includes(`the credentials need ${permission}`), message);
    }
    faults.clear();
    faults.add({}, { answer: refusal(403, "QuotaExceeded") });
    await failing(store.put("a", bytes(1, 1), {}, how()), "BACKEND_DOWN").catch((error) => {
      assert.ok(hasReason(error, "QUOTA"), String(error));
    });
    await store.close();
  });

  it("says which option cannot be meant", async () => {
    const file = join(tempFolder(scope), "key");
    writeFileSync(file, accessKey);
    for (const [flags, sentence] of [
      [["--part-size", "1MiB"], /partSize: must be from 5MiB to 64MiB/],
      [["--request-timeout", "10ms"], /requestTimeout: must be at least 1s/],
      [["--prefix", "a//b"], /prefix: must be a path/],
      [["--upload-ttl", "1h"], /uploadTtl: must be at least 24h/],
      [["--upload-memory", "1MiB"], /uploadMemory: must be at least 64MiB/],
      [["--sign-endpoint", "cdn"], /signEndpoint: must be a URL/],
      [["--access-key-id-file", file], /accessKeyIdFile|secretAccessKeyFile: is missing/],
      [["--session-token-file", file], /sessionTokenFile: needs accessKeyIdFile/],
      [["--access-key-id-file", file, "--secret-access-key-file", "/nowhere"], /secretAccessKeyFile: cannot be read/],
    ] as const) {
      await assert.rejects(open(scope, optionsOf(bucket, server.endpoint, flags)), sentence);
    }
  });

  it("takes keys from files, and reads them again", async () => {
    const folder = tempFolder(scope);
    const [id, secret] = [join(folder, "id"), join(folder, "secret")];
    writeFileSync(id, `${accessKey}\n`);
    writeFileSync(secret, `${secretKey}\n`);
    useCredentials("stranger");
    const store = await storeOf(bucket, server.endpoint, [
      "--access-key-id-file",
      id,
      "--secret-access-key-file",
      secret,
    ]);
    await store.check(signal());
    await store.close();
  });
});

/** By the SDK that the driver has. */
async function keepVersions(endpoint: string, bucket: string): Promise<void> {
  const { createClients } = await import("../../../drivers/s3/client.ts");
  const sdk = createRequire(new URL("../../../drivers/s3/client.ts", import.meta.url))("@aws-sdk/client-s3");
  const { once, close } = createClients(optionsOf(bucket, endpoint));
  await once.send(
    new sdk.PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: "Enabled" } }),
  );
  close();
}

describe("the s3 driver", { skip }, () => {
  const scope = new Scope();
  let server: S3Server;
  let faults: HttpFaults;

  before(async () => {
    useCredentials();
    server = await startS3Server(scope, {
      backendFlags: () => ["--versioning-dir", tempFolder(scope, "versions")],
    });
    faults = await HttpFaults.start(scope, server.address);
  });
  afterEach(() => faults.clear());
  after(scope.close);

  const opened = (bucket: string, flags: readonly string[] = []) =>
    open(scope, optionsOf(bucket, `http://${faults.address}`, flags));

  it("tells that the bucket keeps versions, or has a lock; else nothing", async () => {
    const { bucket } = bucketOf(server);
    assert.deepEqual((await opened(bucket)).notices, []);
    await keepVersions(server.endpoint, bucket);
    const [notice = "", ...others] = (await opened(bucket)).notices;
    assert.match(notice, /keeps versions.*lifecycle rule/);
    assert.deepEqual(others, []);
    const locked = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
    faults.add({ path: /object-lock/ }, { answer: { status: 200, body: locked } });
    assert.match((await opened(bucket)).notices.join(), /has an object lock/);
    faults.add({ path: /object-lock|versioning/ }, { answer: refusal(403, "AccessDenied") });
    assert.deepEqual((await opened(bucket)).notices, []);
  });

  it("refuses a server that does not compare, naming what it ignores", async () => {
    const { bucket } = bucketOf(server);
    await opened(bucket);
    const ignores: HttpFault = {
      rewrite: (answer) => (answer.status === 412 ? { status: 200, headers: { etag: '"0"' } } : answer),
    };
    const completed = "<CompleteMultipartUploadResult><ETag>0</ETag></CompleteMultipartUploadResult>";
    for (const [match, fault, sentence] of [
      [{ method: "PUT", headers: { "if-none-match": /./ } }, ignores, /PutObject with If-None-Match:.*--alone/],
      [{ method: "PUT", headers: { "if-match": /./ } }, ignores, /PutObject with If-Match:.*--alone/],
      [
        { method: "POST", headers: { "if-none-match": /./ } },
        { answer: { status: 200, body: completed } },
        /CompleteMultipartUpload with If-None-Match:.*--alone/,
      ],
      [
        { method: "PUT", headers: { "if-match": /./ } },
        {
          answer: refusal(
            501,
            "NotImplemented",
            {},
            "A header you provided implies functionality that is not implemented",
          ),
        },
        /PutObject with If-Match:.*--alone/,
      ],
    ] as const) {
      const rule = faults.add(match, fault);
      await assert.rejects(opened(bucket), sentence);
      const { blob, notices } = await opened(bucket, ["--alone"]);
      assert.ok(!blob.facts.capabilities.includes("REPLICAS"));
      assert.match(notices.join(), /--alone: this must be the only process/);
      rule.remove();
    }
    assert.ok((await opened(bucket)).blob.facts.capabilities.includes("REPLICAS"));
  });

  it("compares by itself with --alone, and asks the server for no condition", async () => {
    const { bucket } = bucketOf(server);
    const store: ObjectStore = alone(await storeOf(bucket, `http://${faults.address}`));
    const before = faults.seen.length;
    const puts = Array.from({ length: 8 }, (_, at) => store.put("one", bytes(10, at), ifAbsent, how()));
    const made = (await Promise.allSettled(puts)).filter(({ status }) => status === "fulfilled");
    assert.equal(made.length, 1);
    const { etag = "" } = (await store.head("one", signal())) ?? {};
    const next = { condition: { ifEtag: etag } };
    const changes = Array.from({ length: 8 }, (_, at) => store.put("one", bytes(20, at), next, how()));
    assert.equal((await Promise.allSettled(changes)).filter(({ status }) => status === "fulfilled").length, 1);
    await failing(store.put("one", bytes(10, 1), next, how()), "ETAG_MISMATCH");
    const seen = faults.seen.slice(before);
    assert.ok(seen.length > 10);
    for (const { headers } of seen) assert.ok(!("if-match" in headers || "if-none-match" in headers));
    await store.close();
  });

  it("sends checksums as it is told", async () => {
    const { bucket } = bucketOf(server);
    for (const [flags, sent] of [
      [[], false],
      [["--checksums", "required"], false],
      [["--checksums", "always"], true],
    ] as const) {
      const store = await storeOf(bucket, `http://${faults.address}`, flags);
      const before = faults.seen.length;
      await store.put("checked", bytes(10, 1), {}, how());
      const [put] = faults.seen.slice(before);
      const names = Object.keys(put?.headers ?? {}).filter((name) => /^x-amz-checksum-crc/.test(name));
      assert.equal(names.length > 0, sent, `${flags}: ${names}`);
      await store.close();
    }
  });

  it("signs URLs for the address that clients reach", async () => {
    for (const [flags, start] of [
      [["--sign-endpoint", "https://cdn.example.com"], "https://cdn.example.com/images/a/b?"],
      [["--sign-endpoint", "https://cdn.example.com", "--no-path-style"], "https://images.cdn.example.com/a/b?"],
      [[], `${server.endpoint}/images/a/b?`],
    ] as const) {
      const store = await storeOf("images", server.endpoint, flags);
      const { url = "", expiresMs = 0 } = (await store.signUrl?.("a/b", 60_000)) ?? {};
      assert.ok(url.startsWith(start), url);
      assert.ok(Math.abs(expiresMs - Date.now() - 60_000) < 5_000);
      assert.ok(!url.includes(secretKey));
      await store.close();
    }
  });
});
