/** A driver that is stopped (SIGSTOP) hangs nobody: 503 within bounds, then at once; it recovers when it is continued. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { paced } from "../helpers/load.ts";
import { image, seededContent } from "../helpers/oci.ts";
import { ready, startPair } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { errorCodes, locationOf, type Reply, withDigest } from "../helpers/registry-client.ts";

const MIB = 1024 * 1024;
const FIRST_ANSWER_MS = 12_000;
const AT_ONCE_MS = 1000;
const UPLOAD_ANSWER_MS = 35_000;

for (const cores of ["many", "one"] as const) {
  describe(`a stopped driver, cores: ${cores}`, () => {
    const scope = new Scope();
    after(scope.close);

    it("answers 503 in time, says so in /readyz, and recovers", async (t) => {
      const { driver, registry } = await startPair(scope, { cores });
      const { client } = registry;
      const pushed = image({ seed: "stopped", layerBytes: [200_000] });
      await client.pushImage("stopped/image", pushed, "tag");
      const layer = pushed.blobs[1]?.digest;
      assert.ok(layer);
      const content = seededContent("upload", 20 * MIB);
      const location = await client.startUpload("stopped/upload");

      const timed = async (request: Promise<Reply>) => {
        const started = performance.now();
        const reply = await request;
        return { reply, tookMs: performance.now() - started };
      };
      // The upload is under way when the driver stops, and its client goes on sending.
      const upload = timed(
        client.request("PATCH", location, {
          headers: { "content-length": String(content.sizeBytes), "content-type": "application/octet-stream" },
          body: paced(content.read(), 2 * MIB),
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, 2000));
      driver.process.signal("SIGSTOP");
      const stoppedMs = performance.now();
      scope.defer(() => driver.process.signal("SIGCONT"));

      const firsts = await Promise.all(
        [
          ["GET", `/v2/stopped/image/blobs/${layer}`],
          ["HEAD", `/v2/stopped/image/blobs/${layer}`],
          ["GET", `/v2/stopped/image/manifests/${pushed.manifest.digest}`],
          ["GET", "/v2/stopped/image/tags/list"],
          ["PUT", "/v2/stopped/image/manifests/new"],
        ].map(async ([method = "", path = ""]) => ({
          what: `${method} ${path}`,
          method,
          ...(await timed(
            client.request(method, path, {
              timeoutMs: 60_000,
              ...(method === "PUT"
                ? { headers: { "content-type": pushed.manifest.mediaType }, body: pushed.manifest.bytes }
                : {}),
            }),
          )),
        })),
      );
      for (const { what, method, reply, tookMs } of firsts) {
        // In mode one a core may answer from what it knows is still true; a wrong answer or a hang it may not give.
        if (cores === "one" && method !== "PUT" && reply.status === 200) continue;
        assert.equal(reply.status, 503, `${what}: ${reply.status} ${reply.body}`);
        if (method !== "HEAD") assert.deepEqual(errorCodes(reply), ["UNAVAILABLE"], what);
        assert.ok(tookMs < FIRST_ANSWER_MS, `${what} took ${Math.round(tookMs)} ms`);
      }
      t.diagnostic(`first answers: ${firsts.map(({ tookMs }) => `${Math.round(tookMs)} ms`).join(", ")}`);
      assert.ok(firsts.some(({ reply }) => reply.status === 503));

      await ready(registry, 503, 15_000);
      const readiness = await client.expect(503, "GET", "/readyz");
      assert.match(readiness.body.toString(), /blob|meta/);
      await client.expect(200, "GET", "/livez", { timeoutMs: AT_ONCE_MS });

      const second = await timed(client.request("GET", `/v2/stopped/image/blobs/${layer}`));
      assert.equal(second.reply.status, 503);
      assert.ok(second.tookMs < AT_ONCE_MS, `the second read took ${Math.round(second.tookMs)} ms`);

      const ended = await upload;
      assert.equal(ended.reply.status, 503, ended.reply.body.toString());
      const uploadMs = performance.now() - stoppedMs;
      assert.ok(uploadMs < UPLOAD_ANSWER_MS, `the upload was answered after ${Math.round(uploadMs)} ms`);
      t.diagnostic(`the upload was answered ${Math.round(uploadMs)} ms after the stop`);

      driver.process.signal("SIGCONT");
      await ready(registry, 200, 15_000);
      await client.pullImage("stopped/image", "tag", pushed);
      // What was acknowledged as persisted is there, and the client goes on from it.
      const state = await client.expect(204, "GET", location);
      const from = Number(String(state.headers["range"]).split("-")[1]) + 1;
      assert.ok(from > 0 && from <= content.sizeBytes, `range ${state.headers["range"]}`);
      await client.expect(201, "PUT", withDigest(locationOf(state), content.digest), {
        headers: {
          "content-range": `${from}-${content.sizeBytes - 1}`,
          "content-length": String(content.sizeBytes - from),
          "content-type": "application/octet-stream",
        },
        body: content.read(from),
      });
      await client.pullBlob("stopped/upload", content);
      // A write that was sent to the stopped driver must not take effect after its caller was told 503.
      await client.expect(404, "GET", "/v2/stopped/image/manifests/new");
    });
  });
}
