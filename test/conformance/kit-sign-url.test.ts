/** The tests of SIGN_URL, which no driver here claims, against one that keeps it and some that do not. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { describe, it } from "node:test";
import { credentials } from "@grpc/grpc-js";
import { fastPaths, noFastPaths } from "../../conformance/groups/fast-paths.ts";
import { runKit } from "../../conformance/runner.ts";
import type { BlobDriver, Driver } from "../../server/contract.ts";
import { type Cleanup, cleanly, hosted } from "../server/grpc-kit.ts";

interface Signed {
  readonly bytes: Buffer;
  readonly expiresMs: number;
}

type Answer = (request: IncomingMessage, response: ServerResponse, signed: Signed) => void;

const right: Answer = (request, response, { bytes, expiresMs }) => {
  if (Date.now() > expiresMs) {
    response.writeHead(403).end();
    return;
  }
  response.writeHead(200, { "content-length": bytes.length });
  response.end(request.method === "HEAD" ? undefined : bytes);
};

/** Signs URLs of an HTTP server beside the driver. */
async function signing(cleanup: Cleanup, answer: Answer): Promise<(driver: Driver) => Driver> {
  const signed = new Map<string, Signed>();
  const server = createServer((request, response) => {
    const found = signed.get(request.url ?? "");
    if (found === undefined) response.writeHead(404).end();
    else answer(request, response, found);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanup.add(() => server.close());
  cleanup.add(() => server.closeAllConnections());
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return (driver) => {
    const { blob } = driver;
    assert.ok(blob);
    const signUrl: BlobDriver["signUrl"] = async (key, ttlMs, call) => {
      const read = await blob.read(key, { offsetBytes: 0 }, call);
      const pieces: Uint8Array[] = [];
      for await (const piece of read.body) pieces.push(piece);
      const path = `/${signed.size}`;
      const expiresMs = Date.now() + ttlMs;
      signed.set(path, { bytes: Buffer.concat(pieces), expiresMs });
      return { url: `http://127.0.0.1:${address.port}${path}`, expiresMs };
    };
    const facts = { ...blob.facts, capabilities: ["SIGN_URL"] };
    // Its methods stay the driver's own.
    return { ...driver, blob: Object.assign(Object.create(blob) as BlobDriver, { facts, signUrl }) };
  };
}

async function states(cleanup: Cleanup, answer: Answer): Promise<Record<string, string>> {
  const { host } = await hosted(cleanup, { wrap: await signing(cleanup, answer) });
  const { groups } = await runKit({
    groups: [fastPaths, noFastPaths],
    targets: [{ address: host.address, credentials: credentials.createInsecure() }],
    only: ["blob.signurl"],
    seed: 1,
    version: "0.0.0",
    patienceMs: 5_000,
  });
  return Object.fromEntries(groups.flatMap((group) => group.tests.map(({ test, state }) => [test, state])));
}

const wrong: Readonly<Record<string, readonly [failed: string, Answer]>> = {
  "other bytes": [
    "blob.signurl.02",
    (request, response, { bytes, expiresMs }) =>
      right(request, response, { bytes: Buffer.from(bytes.map((byte) => byte ^ 1)), expiresMs }),
  ],
  "another size for HEAD": [
    "blob.signurl.02",
    (request, response, signed) =>
      request.method === "HEAD"
        ? response.writeHead(200, { "content-length": "1" }).end()
        : right(request, response, signed),
  ],
  "no end of its time": [
    "blob.signurl.02/expired",
    (request, response, { bytes }) => right(request, response, { bytes, expiresMs: Number.POSITIVE_INFINITY }),
  ],
};

describe("SIGN_URL", { concurrency: true }, () => {
  it(
    "kept is passed, and what is only for those without is not claimed",
    cleanly(async (cleanup) => {
      assert.deepEqual(await states(cleanup, right), {
        "blob.signurl.01": "not-claimed",
        "blob.signurl.02": "passed",
        "blob.signurl.02/expired": "passed",
      });
    }),
  );
  for (const [what, [failed, answer]] of Object.entries(wrong)) {
    it(
      `with ${what} is caught`,
      cleanly(async (cleanup) => {
        const found = await states(cleanup, answer);
        assert.deepEqual(
          Object.keys(found).filter((test) => found[test] === "failed"),
          [failed],
        );
      }),
    );
  }
});
