/** Real processes: a filesystem driver is killed with -9 and started again while blobs are pushed and pulled. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { connect } from "../../client/index.ts";
import { hasReason } from "../../proto/errors.ts";
import { type DriverProcess, initialiseRoot, startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { randomOf, seedOf } from "../helpers/random.ts";
import { tempFolder } from "../helpers/temp.ts";

const KILLS = 8;
const BLOB_BYTES = 8 * 1024 * 1024;

describe("kill -9", () => {
  const scope = new Scope();
  after(scope.close);

  it("pushes and pulls go on over every death of the driver", { timeout: 120_000 }, async (t) => {
    const random = randomOf(seedOf(t));
    const root = tempFolder(scope, "k");
    await initialiseRoot(root);
    let driver: DriverProcess = await startDriver(scope, { root });
    const { address } = driver;
    const log = pino({ level: "silent" });
    const stores = connect({ blobs: { address } }, { log });
    scope.defer(() => stores.close());
    await stores.ready();

    const first = Buffer.alloc(BLOB_BYTES, 255);
    const firstDigest = `sha256:${createHash("sha256").update(first).digest("hex")}`;
    await stores.blobs.append({
      uploadId: "first",
      create: true,
      algorithm: "sha256",
      offsetBytes: 0,
      body: (async function* () {
        yield first;
      })(),
      commit: { key: "blobs/first/data", digest: firstDigest },
    });
    const pushed = [{ key: "blobs/first/data", digest: firstDigest, bytes: first }];

    let over = false;
    const met = async () => {
      for (;;) {
        try {
          await stores.meta.get(["met"]);
          return;
        } catch (error) {
          if (!hasReason(error, "UNREACHABLE", "STREAM_BROKEN", "DRIVER_STARTING", "BREAKER_OPEN")) throw error;
        }
      }
    };
    const killing = (async () => {
      for (let kills = 0; kills < KILLS; kills++) {
        await sleep(random.between(50, 500));
        driver.process.signal("SIGKILL");
        await driver.process.exited;
        driver = await startDriver(scope, { root, address });
        // A life that no call has met is none: on a busy machine a start alone can take a good part of a read's 10 s.
        await met();
      }
      over = true;
    })();

    let pulls = 0;
    const push = async (lane: number) => {
      for (let n = 0; !over; n++) {
        const bytes = Buffer.alloc(BLOB_BYTES, lane * 16 + (n % 16));
        bytes.writeUInt32LE(n, 0);
        const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
        const key = `blobs/${lane}-${n}/data`;
        async function* body() {
          for (let at = 0; at < bytes.length; at += 65_536) {
            yield bytes.subarray(at, at + 65_536);
            if (at % (1024 * 1024) === 0) await sleep(2);
          }
        }
        const commit = { key, digest, sizeBytes: bytes.length };
        const append = { uploadId: `u-${lane}-${n}`, create: true, algorithm: "sha256", offsetBytes: 0 } as const;
        const result = await stores.blobs.append({ ...append, body: body(), commit });
        assert.equal(result.committed?.digest, digest);
        pushed.push({ key, digest, bytes });
      }
    };
    const pull = async () => {
      while (!over) {
        const one = pushed[random.between(0, pushed.length - 1)];
        if (one === undefined) await sleep(20);
        else {
          const read = await stores.blobs.read(one.key);
          let at = 0;
          for await (const piece of read.body) {
            assert.ok(piece.equals(one.bytes.subarray(at, at + piece.length)), `bytes of ${one.key} at ${at}`);
            at += piece.length;
            if (at % (1024 * 1024) === 0) await sleep(2);
          }
          assert.equal(at, one.bytes.length);
          pulls++;
        }
      }
    };
    const write = async () => {
      for (let n = 0; !over; n++) {
        const key = `meta/${n}`;
        await stores.meta.write([{ kind: "put", key, value: Buffer.from(String(n)), condition: { ifAbsent: true } }]);
        assert.equal((await stores.meta.get([key]))[0]?.value.toString(), String(n));
        await sleep(5);
      }
    };
    await Promise.all([killing, push(0), push(1), pull(), write()]);
    t.diagnostic(`${KILLS} kills, ${pushed.length} pushed, ${pulls} pulled`);
    assert.ok(pushed.length > 1 && pulls > 0);
    const infos = await stores.blobs.stat(pushed.map((one) => one.key));
    assert.ok(infos.every((info) => info?.sizeBytes === BLOB_BYTES));
  });
});
