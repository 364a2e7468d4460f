import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { createRequire } from "node:module";
import { connect as connectSocket } from "node:net";
import { test } from "node:test";
import { status as Code, type Metadata, type ServiceError } from "@grpc/grpc-js";
import type { HealthListResponse } from "../../proto/gen/grpc/health/v1/HealthListResponse.ts";
import { limits } from "../../proto/limits.ts";
import { contract } from "../../proto/load.ts";
import type { Driver } from "../../server/contract.ts";
import { RECEIVE_WINDOW_BYTES } from "../../server/receive-window.ts";
import { answered, cleanly, GrpcClient, hosted, received } from "./grpc-kit.ts";
import { bytes, failsWith, gate, lagging, sha256, type UploadHooks } from "./kit.ts";

const MiB = 1024 * 1024;

test(
  "[call.now.01] [call.contract.01] in the initial metadata, or in the trailers of a trailers-only answer",
  cleanly(async (cleanup) => {
    const { client } = await hosted(cleanup);
    const before = Date.now();
    const call = client.handshake.describe({}, () => {});
    const [initial] = (await once(call, "metadata")) as [Metadata];
    const now = Number(initial.get("outrigger-now")[0]);
    assert(now >= before && now <= Date.now());
    const hash = initial.get("outrigger-contract")[0];
    assert.match(String(hash), /^[0-9a-f]{32}$/);

    const failure = await new Promise<ServiceError>((resolve) => {
      client.blob.stat({ keys: [".."] }, client.metadata("blob"), (error) => resolve(error as ServiceError));
    });
    assert.equal(failure.code, Code.INVALID_ARGUMENT);
    assert.equal(failure.metadata.get("outrigger-contract")[0], hash);
    assert.equal(failure.metadata.get("outrigger-now").length, 1);

    const stream = client.blob.read({ key: "absent" }, client.metadata("blob"));
    const [broken] = (await once(stream, "error")) as [ServiceError];
    assert.equal(broken.metadata.get("outrigger-contract")[0], hash);

    const append = client.blob.append(client.metadata("blob"));
    append.write({ open: { uploadId: "a", sender: "s", attempt: 1, create: true } });
    const [opened] = (await once(append, "metadata")) as [Metadata];
    assert.equal(opened.get("outrigger-contract")[0], hash);
    append.cancel();
    await once(append, "error");
  }),
);

test(
  "[call.error.01] errors carry reason and facts in grpc-status-details-bin",
  cleanly(async (cleanup) => {
    const { client } = await hosted(cleanup);
    const write = { operations: [{ key: "a", check: {}, ifPresent: {} }] };
    const error = await failsWith(
      answered((done) => client.meta.write(write, client.metadata("meta"), done)),
      "CONDITION_FAILED",
    );
    assert.equal(error.metadata["index"], "0");
    await failsWith(
      answered((done) => client.meta.get({ keys: [] }, done)),
      "INVALID_FIELD",
      "outrigger-store",
    );
    const { stream } = client.append();
    await stream.open({ uploadId: "a", create: true });
    stream.send({ chunk: { offset: 7, data: bytes(1) } });
    assert.equal((await stream.failsWith("OFFSET_MISMATCH")).metadata["persisted"], "0");
  }),
);

for (const listen of [undefined, "127.0.0.1:0", "[::1]:0"]) {
  test(
    `bytes survive the journey over ${listen ?? "a unix socket"}`,
    cleanly(async (cleanup) => {
      const { client } = await hosted(cleanup, listen === undefined ? {} : { listen });
      const data = Buffer.concat(Array.from({ length: 9 }, (_, seed) => bytes(MiB - seed * 1000, seed)));
      const { stream } = client.append();
      await stream.open({ uploadId: "a", create: true });
      for (let at = 0; at < data.length; at += 300_000) await stream.chunk(at, data.subarray(at, at + 300_000));
      const { digest } = await stream.commit({ key: "k", size: data.length, digest: sha256(data) });
      assert.equal(digest, sha256(data));
      assert.deepEqual(await client.read("k"), data);
    }),
  );
}

test(
  "[blob.append.04] a stream of another connection takes over",
  cleanly(async (cleanup) => {
    const { client, host, driver } = await hosted(cleanup);
    const other = new GrpcClient(host.address, driver);
    cleanup.add(() => other.close());
    const older = client.append().stream;
    await older.open({ uploadId: "a", create: true, sender: "one" });
    await older.chunk(0, bytes(1000));
    await older.flush(1000);
    const newer = other.append().stream;
    assert.equal((await newer.open({ uploadId: "a", sender: "two" })).persisted, 1000);
    await older.failsWith("UPLOAD_FENCED");
    await newer.commit({ key: "k" });
  }),
);

test(
  "a client that breaks off: what it sent is persisted",
  cleanly(async (cleanup) => {
    const closed = gate();
    const { client } = await hosted(cleanup, { wrap: lagging({ onClose: closed.open }) });
    const { stream, call } = client.append();
    await stream.open({ uploadId: "a", create: true });
    await stream.chunk(0, bytes(5000));
    await stream.flush(5000);
    await stream.chunk(5000, bytes(5000));
    call.cancel();
    await closed.passed;
    const again = client.append().stream;
    const { persisted } = await again.open({ uploadId: "a", attempt: 2 });
    assert([5000, 10_000].includes(persisted), String(persisted));
  }),
);

/** A blob store whose only blob is made while it is read. */
function endless(sizeBytes: number, onPiece: (size: number) => void): (driver: Driver) => Driver {
  const piece = Buffer.alloc(limits.preferredChunkBytes);
  return (driver) => {
    assert(driver.blob);
    return {
      ...driver,
      blob: {
        ...driver.blob,
        async read(key) {
          return {
            info: { key, sizeBytes, etag: "e", modifiedMs: 0, digests: [] },
            startBytes: 0,
            lengthBytes: sizeBytes,
            body: (async function* () {
              for (let at = 0; at < sizeBytes; at += piece.length) {
                onPiece(piece.length);
                yield piece;
              }
            })(),
            async cancel() {},
          };
        },
      },
    };
  };
}

test(
  "a reader that stalls holds its driver's reading back",
  cleanly(async (cleanup) => {
    const streams = 10;
    let made = 0;
    const { host, driver } = await hosted(cleanup, {
      wrap: endless(256 * MiB, (size) => {
        made += size;
      }),
    });
    // A client of its own that takes nothing: grpc-js's would take 16 messages ahead.
    const path = host.address.slice("unix://".length);
    const session = connectHttp2("http://localhost", {
      createConnection: () => connectSocket(path),
      settings: { initialWindowSize: MiB },
    });
    cleanup.add(() => session.destroy());
    const message = contract().blob.service.Read.requestSerialize({ key: "k" });
    const frame = Buffer.concat([Buffer.alloc(5), message]);
    frame.writeUInt32BE(message.length, 1);
    await Promise.all(
      Array.from({ length: streams }, async () => {
        const call = session.request({
          ":method": "POST",
          ":path": "/outrigger.blob.v1.BlobService/Read",
          "content-type": "application/grpc",
          te: "trailers",
          "outrigger-store": driver.blob?.facts.id ?? "",
        });
        call.end(frame);
        await once(call, "response");
      }),
    );
    let last = -1;
    while (made !== last) {
      last = made;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert(made >= streams * limits.preferredChunkBytes);
    assert(made <= streams * 3 * MiB, `${made / MiB / streams} MiB a stream were made for readers that stall`);
  }),
);

test(
  "a driver that stalls holds its senders back",
  cleanly(async (cleanup) => {
    const held = gate();
    const { client } = await hosted(cleanup, { wrap: lagging({ write: (_data, next) => held.passed.then(next) }) });
    const { stream, call } = client.append();
    await stream.open({ uploadId: "a", create: true });
    const size = limits.preferredChunkBytes;
    let handedOver = 0;
    for (let at = 0; at < 64; at++) {
      call.write({ chunk: { offset: at * size, data: bytes(size) } }, () => {
        handedOver += size;
      });
    }
    let last = -1;
    while (handedOver !== last) {
      last = handedOver;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    // The window, what one message may span, and what the client's own socket holds.
    assert(handedOver <= RECEIVE_WINDOW_BYTES + 3 * MiB, `${handedOver / MiB} MiB were taken from a sender`);
    held.open();
    call.end();
    await stream.progress(64 * size);
  }),
);

test(
  "[call.size.01] a message above 4 MiB is refused, and nothing else suffers",
  cleanly(async (cleanup) => {
    const { client } = await hosted(cleanup);
    const put = answered((done) =>
      client.blob.put({ key: "k", data: Buffer.alloc(limits.messageBytes) }, client.metadata("blob"), done),
    );
    await assert.rejects(put, { code: Code.RESOURCE_EXHAUSTED });
    await answered((done) => client.blob.put({ key: "k", data: bytes(5) }, client.metadata("blob"), done));
    assert.deepEqual(await client.read("k"), bytes(5));
  }),
);

test(
  "[process.health.01] health of the process and of each store",
  cleanly(async (cleanup) => {
    let broken = false;
    const { FakeClock } = await import("./kit.ts");
    const clock = new FakeClock();
    const { client } = await hosted(cleanup, {
      clock,
      wrap: (driver) => {
        assert(driver.meta);
        const check = async () => {
          if (broken) throw new Error("down");
        };
        return { ...driver, meta: { ...driver.meta, check } };
      },
    });
    const check = (service: string) => answered((done) => client.health.check({ service }, done));
    const blob = "outrigger.blob.v1.BlobService";
    const meta = "outrigger.meta.v1.MetaService";
    for (const service of ["", blob, meta]) assert.deepEqual(await check(service), { status: "SERVING" });
    await assert.rejects(check("outrigger.other"), { code: Code.NOT_FOUND });

    const watched = client.health.watch({ service: meta });
    cleanup.add(() => watched.cancel());
    watched.on("error", () => {});
    const [first] = await once(watched, "data");
    assert.deepEqual(first, { status: "SERVING" });
    broken = true;
    assert.deepEqual(await check(meta), { status: "SERVING" }, "an answer is kept for 5 s");
    const next = once(watched, "data");
    await clock.advance(5_000);
    const [second] = await next;
    assert.deepEqual(second, { status: "NOT_SERVING" });
    assert.deepEqual(await check(meta), { status: "NOT_SERVING" });
    const { statuses } = await answered<HealthListResponse>((done) => client.health.list({}, done));
    assert.deepEqual(statuses, {
      "": { status: "SERVING" },
      [blob]: { status: "SERVING" },
      [meta]: { status: "NOT_SERVING" },
    });
    const [unknown] = await once(
      client.health.watch({ service: "x" }).on("error", () => {}),
      "data",
    );
    assert.deepEqual(unknown, { status: "SERVICE_UNKNOWN" });
  }),
);

test(
  "[process.health.01] a backend that hangs is not usable, and asks nobody to wait for it",
  cleanly(async (cleanup) => {
    const { FakeClock } = await import("./kit.ts");
    const clock = new FakeClock();
    let asked = 0;
    const { client } = await hosted(cleanup, {
      clock,
      wrap: (driver) => {
        assert(driver.blob);
        const check = () => {
          asked++;
          return new Promise<void>(() => {});
        };
        return { ...driver, blob: { ...driver.blob, check } };
      },
    });
    const service = "outrigger.blob.v1.BlobService";
    const both = [1, 2].map(() => answered((done) => client.health.check({ service }, done)));
    while (asked === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await clock.advance(4_000);
    assert.deepEqual(await Promise.all(both), [{ status: "NOT_SERVING" }, { status: "NOT_SERVING" }]);
    assert.equal(asked, 1);
    assert.deepEqual(await answered((done) => client.health.check({ service: "" }, done)), { status: "SERVING" });
  }),
);

test(
  "[process.drain.01] a drain persists what was received, ends streams with DRAINING, and is over soon",
  cleanly(async (cleanup) => {
    const hooks: UploadHooks = {};
    const { client, host, driver } = await hosted(cleanup, { wrap: lagging(hooks) });
    const { stream } = client.append();
    await stream.open({ uploadId: "a", create: true });
    await stream.chunk(0, bytes(1000));
    // Behind it, so that it has arrived.
    await answered((done) => client.blob.stat({ keys: [] }, client.metadata("blob"), done));
    const idle = client.append().stream;
    await idle.open({ uploadId: "b", create: true });
    const watch = client.health.watch({ service: "" });
    const states: unknown[] = [];
    watch.on("data", (state) => states.push(state)).on("error", () => {});
    await once(watch, "data");
    const started = performance.now();
    const closing = host.close();
    await Promise.all([stream.failsWith("DRAINING"), idle.failsWith("DRAINING"), once(watch, "end")]);
    await closing;
    assert(performance.now() - started < 2_500);
    assert.deepEqual(states, [{ status: "SERVING" }, { status: "NOT_SERVING" }]);
    const call = {
      signal: new AbortController().signal,
      log: (await import("./kit.ts")).silent,
      notAfterMs: undefined,
      assertInTime() {},
    };
    const left = await driver.blob?.listUploads({ startAfter: "", limit: 10 }, call);
    assert.deepEqual(
      left?.items.map(({ uploadId, persistedBytes }) => [uploadId, persistedBytes]),
      [
        ["a", 1000],
        ["b", 0],
      ],
    );
  }),
);

test(
  "[process.drain.01] neither a stalled reader nor a stuck driver makes a drain last",
  cleanly(async (cleanup) => {
    const stuck = gate();
    const write = () => {
      stuck.open();
      return new Promise<void>(() => {});
    };
    const { client, host } = await hosted(cleanup, {
      wrap: (driver) => {
        const withRead = endless(256 * MiB, () => {})(driver);
        assert(withRead.blob);
        return lagging({ write })(withRead);
      },
    });
    const reading = client.blob.read({ key: "k" }, client.metadata("blob")).on("error", () => {});
    await once(reading, "readable");
    const { stream } = client.append();
    await stream.open({ uploadId: "a", create: true });
    await stream.chunk(0, bytes(1000));
    await stuck.passed;
    const failure = stream.failure().catch((error) => error);
    const started = performance.now();
    await host.close();
    const took = performance.now() - started;
    assert(took > 1_500 && took < 3_000, `${took} ms`);
    await failure;
  }),
);

test(
  "the server's receive window is raised for streams and for the connection",
  cleanly(async (cleanup) => {
    const { host } = await hosted(cleanup);
    const path = host.address.slice("unix://".length);
    const session = connectHttp2("http://localhost", { createConnection: () => connectSocket(path) });
    cleanup.add(() => session.destroy());
    await once(session, "remoteSettings");
    assert.equal(session.remoteSettings.initialWindowSize, RECEIVE_WINDOW_BYTES);
    while ((session.state.remoteWindowSize ?? 0) < RECEIVE_WINDOW_BYTES) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }),
);

test("grpc-js's server still does not read grpc-node.flow_control_window: else server/receive-window.ts can go", () => {
  const require = createRequire(import.meta.url);
  const source = (name: string) => readFileSync(require.resolve(`@grpc/grpc-js/build/src/${name}`), "utf8");
  assert.match(source("transport.js"), /flow_control_window/, "the option has another name now");
  assert.doesNotMatch(
    source("server.js"),
    /flow_control_window/,
    "grpc-js has learnt the option: pass it in server/grpc.ts and remove openReceiveWindow",
  );
});

test(
  "[blob.read.03] a read that fails in the middle never ends with OK",
  cleanly(async (cleanup) => {
    let pieces = 0;
    const { client } = await hosted(cleanup, {
      wrap: endless(10 * MiB, () => {
        if (++pieces === 5) throw new Error("a bad sector");
      }),
    });
    const reading = (async () => {
      let count = 0;
      for await (const _ of received(client.blob.read({ key: "k" }, client.metadata("blob")))) count++;
      return count;
    })();
    await failsWith(reading, "INTERNAL");
  }),
);
