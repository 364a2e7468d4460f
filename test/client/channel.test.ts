/** One connected store: who is accepted, what is refused, deadlines, retries, the breaker (protocol.md sections 4, 10, 11). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Change } from "../../client/channel.ts";
import type { CompatCode } from "../../client/versions.ts";
import { hasReason, OutriggerError, type Reason } from "../../proto/errors.ts";
import type { UploadInfo } from "../../proto/gen/outrigger/blob/v1/UploadInfo.ts";
import { type Bench, bench, error, type FakeTransport, hang, ids, settle } from "./fakes.ts";

const rejected =
  (reason: Reason, text = /./) =>
  (e: unknown) =>
    hasReason(e, reason) && text.test(e.message);

async function refusal(prepare: (t: FakeTransport) => void, target = {}): Promise<Bench> {
  const b = await bench({ prepare, target, start: false });
  b.channel.start();
  await b.clock.advance(500);
  assert.equal(b.channel.isDescribed, false);
  assert.equal(b.channel.health().ready, false);
  return b;
}

function upload(persisted: number): { upload: UploadInfo } {
  return { upload: { uploadId: "u", persisted, idleMs: 0 } };
}

describe("a driver is accepted or refused", () => {
  it("tells what it describes", async () => {
    const b = await bench({
      prepare: (t) => (t.describes = { capabilities: ["DURABLE", "NEWS"], persistStep: 7, outside: 3 }),
    });
    assert.equal(b.channel.facts.id, ids.blob);
    assert.deepEqual([...b.channel.facts.capabilities], ["DURABLE", "NEWS"]);
    assert.equal(b.channel.facts.limits.persistStepBytes, 7);
    assert.equal(b.channel.facts.limits.maxBlobBytes, Number.POSITIVE_INFINITY);
    assert.equal(b.channel.facts.outside, 3);
    assert.deepEqual(b.channel.health(), {
      kind: "blob",
      address: "unix:///fake",
      ready: true,
      id: ids.blob,
      driver: "io.outrigger.fake",
      driverVersion: "1",
    });
  });

  const refusals: [string, Reason, RegExp, (t: FakeTransport) => void, object?][] = [
    ["no outrigger-contract", "PROTOCOL_VIOLATION", /call.contract.01/, (t) => (t.contract = "")],
    ["a clock 10 s ahead", "CLOCK_SKEW", /10.0 s ahead/, (t) => (t.driverSkewMs = 10_000)],
    ["a clock 2.1 s behind", "CLOCK_SKEW", /2.1 s behind/, (t) => (t.driverSkewMs = -2_100)],
    [
      "another version",
      "VERSION_UNSUPPORTED",
      /speaks outrigger.blob 2.0/,
      (t) => (t.describes = { blobVersions: [{ major: 2, minor: 0 }] }),
    ],
    ["an id that is no UUID", "PROTOCOL_VIOLATION", /handshake.describe.04/, (t) => (t.describes = { blobId: "x" })],
    ["another id than pinned", "WRONG_STORE", new RegExp(ids.other), () => undefined, { id: ids.other }],
    [
      "a capability that is missing",
      "CAPABILITY_MISSING",
      /lacks LOCAL_FILE/,
      () => undefined,
      { requiredCapabilities: ["LOCAL_FILE"] },
    ],
    [
      "gRPC that is not Outrigger",
      "NOT_A_DRIVER",
      /not an Outrigger driver/,
      (t) =>
        (t.answers["handshake.Version"] = () => {
          throw new OutriggerError("CAPABILITY_MISSING", "12 UNIMPLEMENTED", { side: "transport" });
        }),
    ],
    [
      "two blob stores",
      "PROTOCOL_VIOLATION",
      /handshake.describe.02/,
      (t) => {
        const one = t.answers["handshake.Describe"];
        t.answers["handshake.Describe"] = async (request, call) => {
          const answer = await one?.(request, call);
          if (!answer) throw new Error();
          return { ...answer, stores: [...answer.stores, ...answer.stores] };
        };
      },
    ],
  ];
  for (const [what, reason, text, prepare, target] of refusals) {
    it(`refuses ${what}: ${reason}`, async () => {
      const b = await refusal(prepare, target);
      await assert.rejects(b.blobs.getUpload("u"), rejected(reason, text));
      assert.equal(b.channel.health().reason, reason);
      assert.equal(b.lines.filter((line) => line.level === 50 && text.test(line.msg)).length, 1, "one line says so");
      assert.equal(b.transport.count("blob.GetUpload"), 0, "nothing was sent");
    });
  }

  it("accepts a clock 2 s off, and one that is right again", async () => {
    await bench({ prepare: (t) => (t.driverSkewMs = 2_000) });
    const b = await bench();
    b.transport.answers["blob.GetUpload"] = () => upload(1);
    b.transport.driverSkewMs = 5_000;
    await b.blobs.getUpload("u");
    await assert.rejects(b.blobs.getUpload("u"), rejected("CLOCK_SKEW"));
    b.transport.driverSkewMs = 0;
    await b.clock.advance(5_000);
    assert.equal((await b.blobs.getUpload("u"))?.persistedBytes, 1);
  });

  it("a slow answer is no skew", async () => {
    const b = await bench();
    b.transport.answers["blob.GetUpload"] = async () => {
      await new Promise<void>((resolve) => b.clock.after(8_000, resolve));
      // It was stamped half-way.
      b.transport.driverSkewMs = -4_000;
      return upload(1);
    };
    const done = b.blobs.getUpload("u");
    await b.clock.until(done);
    assert.equal(b.channel.health().ready, true);
  });

  it("waits while nobody listens, with a line every 10 s, and goes on once somebody does", async () => {
    const b = await bench({ start: false });
    const version = b.transport.answers["handshake.Version"];
    b.transport.answers["handshake.Version"] = () => {
      throw error("UNREACHABLE");
    };
    b.channel.start();
    await b.clock.advance(35_000);
    const waiting = b.lines.filter((line) => /waiting for the blob store/.test(line.msg));
    assert.equal(waiting.length, 4, "at 0, 10, 20 and 30 s");
    assert.equal(b.channel.health().reason, "UNREACHABLE");
    await assert.rejects(b.channel.unary("blob.GetUpload", { uploadId: "u" }), rejected("UNREACHABLE"));
    if (version) b.transport.answers["handshake.Version"] = version;
    await b.clock.advance(3_000);
    assert.equal(b.channel.health().ready, true);
  });

  it("speaks through compat code where that is all there is", async () => {
    const compat: CompatCode = {
      api: "outrigger.blob",
      version: { major: 0, minor: 9 },
      adapt: (transport) => ({
        unary: (method, request, call) => transport.unary(method, request, call),
        stream: (method, request, call) => transport.stream(method, request, call),
        append: (call) => transport.append(call),
        close: () => transport.close(),
      }),
    };
    const b = await bench({
      compat: [compat],
      prepare: (t) => (t.describes = { blobVersions: [{ major: 0, minor: 9 }] }),
    });
    assert.ok(b.lines.some((line) => line.level === 40 && /used as outrigger.blob 0.9/.test(line.msg)));
  });
});

describe("a driver exchanged behind its address", () => {
  it("describes again only on a hash it does not know", async () => {
    const b = await bench();
    b.transport.answers["blob.GetUpload"] = () => upload(1);
    await b.blobs.getUpload("u");
    await b.clock.advance(2_000);
    assert.equal(b.transport.count("handshake.Describe"), 1);
    b.transport.contract = "c2";
    b.transport.describes = { persistStep: 99 };
    await b.blobs.getUpload("u");
    await b.clock.advance(2_000);
    assert.equal(b.transport.count("handshake.Describe"), 2);
    assert.equal(b.channel.facts.limits.persistStepBytes, 99);
    // A rolling exchange: both releases answer in turn, and both are known.
    for (const contract of ["c1", "c2", "c1", "c2"]) {
      b.transport.contract = contract;
      await b.blobs.getUpload("u");
      await b.clock.advance(1_500);
    }
    assert.equal(b.transport.count("handshake.Describe"), 2);
  });

  it("a hash that changes with every answer is described at most once a second", async () => {
    const b = await bench();
    b.transport.answers["blob.GetUpload"] = () => {
      b.transport.contract = `c${Math.random()}`;
      return upload(1);
    };
    for (let i = 0; i < 50; i++) {
      await b.blobs.getUpload("u");
      await b.clock.advance(100);
    }
    assert.ok(b.transport.count("handshake.Describe") <= 8, `${b.transport.count("handshake.Describe")}`);
  });

  it("another store: refused without any effect until the old one is back", async () => {
    const b = await bench();
    const changes: Change[] = [];
    b.channel.onChange((change) => changes.push(change));
    b.transport.describes = { blobId: ids.other };
    b.transport.contract = "c2";
    b.transport.answers["blob.AbortUpload"] = () => {
      throw error("WRONG_STORE");
    };
    await assert.rejects(b.blobs.abortUpload("u"), rejected("WRONG_STORE", /acceptStoreId/));
    await assert.rejects(b.blobs.getUpload("u"), rejected("WRONG_STORE"));
    assert.equal(b.transport.count("blob.GetUpload"), 0);
    assert.equal(b.channel.health().reason, "WRONG_STORE");
    b.transport.describes = {};
    await b.clock.advance(5_000);
    assert.equal(b.channel.health().ready, true);
    assert.deepEqual(changes, []);
  });

  it("another store that is accepted: used, and told to listeners", async () => {
    const b = await bench({ target: { acceptStoreId: ids.other } });
    const changes: Change[] = [];
    b.channel.onChange((change) => changes.push(change));
    b.transport.describes = { blobId: ids.other };
    b.transport.contract = "c2";
    await b.clock.advance(10_000);
    b.transport.answers["blob.GetUpload"] = () => upload(1);
    await b.blobs.getUpload("u");
    await b.clock.advance(2_000);
    assert.equal(b.channel.facts.id, ids.other);
    assert.deepEqual(
      changes.map((one) => [one.facts.id, one.otherStore, one.outsideGrew]),
      [[ids.other, true, false]],
    );
    const last = b.transport.calls.filter((call) => call.method === "blob.GetUpload");
    await b.blobs.getUpload("u");
    assert.equal(last.length, 1);
    assert.equal(b.transport.calls.at(-1)?.call.metadata.store, ids.other);
  });

  it("`outside` that grew is told to listeners", async () => {
    const b = await bench();
    const changes: Change[] = [];
    b.channel.onChange((change) => changes.push(change));
    b.transport.describes = { outside: 1 };
    b.transport.contract = "c2";
    b.transport.answers["blob.GetUpload"] = () => upload(1);
    await b.blobs.getUpload("u");
    await b.clock.advance(2_000);
    assert.deepEqual(
      changes.map((one) => [one.otherStore, one.outsideGrew]),
      [[false, true]],
    );
  });
});

describe("calls", () => {
  it("carry the store, the request's id, and not-after only where they change something", async () => {
    const b = await bench();
    b.transport.answers["blob.GetUpload"] = () => upload(1);
    b.transport.answers["blob.AbortUpload"] = () => ({});
    await b.blobs.getUpload("u", { requestId: "r1" });
    assert.deepEqual(b.transport.calls.at(-1)?.call.metadata, { store: ids.blob, requestId: "r1" });
    await b.blobs.abortUpload("u");
    assert.deepEqual(b.transport.calls.at(-1)?.call.metadata, { store: ids.blob, notAfterMs: b.clock.now() + 10_000 });
    await b.blobs.abortUpload("u", {}, { notAfterMs: 5 });
    assert.equal(b.transport.calls.at(-1)?.call.metadata.notAfterMs, 5);
  });

  for (const reason of [
    "UNREACHABLE",
    "STREAM_BROKEN",
    "DRIVER_STARTING",
    "DRAINING",
    "BACKEND_DOWN",
    "THROTTLED",
  ] as const) {
    it(`a read is tried again after ${reason}, for 10 s in all`, async () => {
      const b = await bench();
      let failures = 3;
      b.transport.answers["blob.GetUpload"] = () => {
        if (failures-- > 0) throw error(reason);
        return upload(5);
      };
      assert.equal((await b.clock.until(b.blobs.getUpload("u")))?.persistedBytes, 5);
      failures = Number.POSITIVE_INFINITY;
      const from = b.clock.monotonic();
      const never = b.blobs.getUpload("u");
      never.catch(() => undefined);
      await assert.rejects(b.clock.until(never), rejected(reason));
      const spent = b.clock.monotonic() - from;
      assert.ok(spent > 8_000 && spent <= 10_050, `${spent} ms`);
    });
  }

  it("a last attempt that is cut short tells why the one before it failed, and opens no breaker", async () => {
    const b = await bench();
    const from = b.clock.monotonic();
    b.transport.answers["blob.GetUpload"] = () => {
      if (b.clock.monotonic() - from > 8_500) return hang();
      throw error("BACKEND_DOWN");
    };
    const never = b.blobs.getUpload("u");
    never.catch(() => undefined);
    await assert.rejects(b.clock.until(never), rejected("BACKEND_DOWN"));
    b.transport.answers["blob.GetUpload"] = () => upload(5);
    assert.equal((await b.blobs.getUpload("u"))?.persistedBytes, 5);
  });

  for (const reason of ["KEY_NOT_FOUND", "STORED_CORRUPT", "INTERNAL", "READ_ONLY", "PROTOCOL_VIOLATION"] as const) {
    it(`a read is not tried again after ${reason}`, async () => {
      const b = await bench();
      b.transport.answers["blob.Count"] = () => {
        throw error(reason);
      };
      await assert.rejects(b.blobs.count(""), rejected(reason));
      assert.equal(b.transport.count("blob.Count"), 1);
    });
  }

  it("a delete is repeated only where it surely had no effect", async () => {
    const b = await bench();
    const faults = [error("UNREACHABLE", { sent: "no" }), error("DRIVER_STARTING"), error("UNREACHABLE")];
    b.transport.answers["blob.Delete"] = () => {
      const fault = faults.shift();
      if (fault) throw fault;
      return { results: [{ key: "k", reason: "", message: "" }] };
    };
    const done = b.blobs.delete(["k"]);
    done.catch(() => undefined);
    await assert.rejects(b.clock.until(done), rejected("UNREACHABLE"));
    assert.equal(b.transport.count("blob.Delete"), 3);
  });

  it("an aborted signal rejects with its reason at once, also between attempts", async () => {
    const b = await bench();
    b.transport.answers["blob.GetUpload"] = () => hang();
    const ending = new AbortController();
    const done = b.blobs.getUpload("u", { signal: ending.signal });
    done.catch(() => undefined);
    await settle();
    ending.abort(new Error("stop"));
    await assert.rejects(done, /stop/);
    assert.equal(b.transport.calls.at(-1)?.call.signal?.aborted, true);
    assert.equal(b.channel.health().ready, true, "no fault of the driver");
  });
});

describe("the breaker", () => {
  it("one timeout (10 s): calls fail at once, health is asked every 2 s, and it closes when it answers", async () => {
    const b = await bench();
    b.transport.answers["blob.GetUpload"] = () => hang();
    const from = b.clock.monotonic();
    const done = b.blobs.getUpload("u");
    done.catch(() => undefined);
    await assert.rejects(b.clock.until(done), rejected("TIMED_OUT"));
    b.transport.healthy = error("TIMED_OUT");
    assert.ok(Math.abs(b.clock.monotonic() - from - 10_000) <= 50);
    const sent = b.transport.count("blob.GetUpload");
    await assert.rejects(b.blobs.getUpload("u"), rejected("BREAKER_OPEN"));
    await assert.rejects(b.blobs.read("k"), rejected("BREAKER_OPEN"));
    assert.equal(b.transport.count("blob.GetUpload"), sent);
    const probes = b.transport.probes;
    await b.clock.advance(10_000);
    assert.equal(b.transport.probes - probes, 5);
    assert.equal(b.channel.health().ready, false);
    b.transport.healthy = true;
    b.transport.answers["blob.GetUpload"] = () => upload(1);
    await b.clock.advance(2_000);
    assert.equal((await b.blobs.getUpload("u"))?.persistedBytes, 1);
    assert.equal(b.channel.health().ready, true);
  });

  it("a listing that waits 30 s is ended when the breaker opens, and the breaker by heartbeats alone", async () => {
    const b = await bench();
    b.transport.answers["blob.List"] = () => hang();
    b.transport.healthy = error("TIMED_OUT");
    const from = b.clock.monotonic();
    const done = b.blobs.list({ prefix: "" });
    done.catch(() => undefined);
    await assert.rejects(b.clock.until(done), rejected("BREAKER_OPEN"));
    assert.ok(b.clock.monotonic() - from <= 10_000, `${b.clock.monotonic() - from} ms`);
  });

  it("stays open while the driver says that its store is not usable", async () => {
    const b = await bench();
    b.transport.answers["blob.GetUpload"] = () => hang();
    const done = b.blobs.getUpload("u");
    done.catch(() => undefined);
    b.transport.healthy = false;
    await assert.rejects(b.clock.until(done));
    await b.clock.advance(9_000);
    await assert.rejects(b.blobs.getUpload("u"), rejected("BREAKER_OPEN"));
    assert.match(b.channel.health().problem ?? "", /not usable/);
  });

  it("asks Version where there is no health service", async () => {
    const b = await bench();
    b.transport.healthy = undefined;
    b.transport.answers["blob.GetUpload"] = () => hang();
    const done = b.blobs.getUpload("u");
    done.catch(() => undefined);
    await assert.rejects(b.clock.until(done));
    const asked = b.transport.count("handshake.Version");
    await b.clock.advance(2_100);
    assert.equal(b.transport.count("handshake.Version"), asked + 1);
    b.transport.answers["blob.GetUpload"] = () => upload(1);
    assert.equal((await b.blobs.getUpload("u"))?.persistedBytes, 1);
  });

  it("an idle core notices that another store is there", async () => {
    const b = await bench();
    b.transport.contract = "c2";
    b.transport.describes = { blobId: "11111111-0000-4000-8000-000000000000" };
    await b.clock.advance(3_500);
    assert.equal(b.channel.health().ready, false);
    assert.equal(b.channel.health().reason, "WRONG_STORE");
    b.transport.contract = "c1";
    b.transport.describes = {};
    await b.clock.advance(10_000);
    assert.equal(b.channel.health().ready, true);
  });

  it("an idle core notices within 10 s that nobody is there, and that somebody is again", async () => {
    const b = await bench();
    b.transport.healthy = error("UNREACHABLE");
    await b.clock.advance(6_500);
    assert.equal(b.channel.health().ready, true, "two misses are none");
    await b.clock.advance(3_500);
    assert.equal(b.channel.health().ready, false);
    assert.equal(b.channel.health().reason, "UNREACHABLE");
    b.transport.healthy = true;
    await b.clock.advance(3_100);
    assert.equal(b.channel.health().ready, true);
  });
});
