/** A driver that dies after each of its requests, and one whose answers are lost, against what a core may rely on. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../../proto/errors.ts";
import type { Upload } from "../../../server/contract.ts";
import type { FakeFault } from "../../helpers/fake-objects.ts";
import { bytes } from "../kit.ts";
import { call, commit, goOn, ObjectsRig, PART, type Replica, writeAll } from "./rig.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

interface Told {
  toldBytes: number;
  commitSent: boolean;
  committed: boolean;
}

/** Resolves when the push has ended, or nothing of it goes on because its process is dead. */
async function push(driver: Replica["driver"], data: Buffer, told: Told, key: string | undefined): Promise<void> {
  const half = Math.floor(data.length * 0.6);
  let upload: Upload = await driver.open("u", { create: true, ...(key === undefined ? {} : { key }) }, call);
  const note = () => {
    told.toldBytes = Math.max(told.toldBytes, upload.persistedBytes);
  };
  await writeAll(upload, data.subarray(0, half));
  note();
  await upload.flush();
  note();
  await upload.close();
  // A second request of the client: another stream.
  upload = await driver.open("u", { create: false, key: "k" }, call);
  note();
  assert.equal(upload.persistedBytes, half);
  await writeAll(upload, data.subarray(half));
  note();
  told.commitSent = true;
  await commit(upload, "k", data, { ifAbsent: true });
  told.committed = true;
}

/** A run with a fault: what was told holds, the upload can be finished by another replica, and nothing is left in the end. */
async function survive(
  rig: ObjectsRig,
  data: Buffer,
  key: string | undefined,
  faultOf: (index: number, replica: () => Replica) => FakeFault,
): Promise<{ readonly requests: number; readonly committed: boolean }> {
  const replica: Replica = rig.replica({ fault: ({ index }) => faultOf(index, () => replica) });
  const told: Told = { toldBytes: 0, commitSent: false, committed: false };
  const ended = push(replica.driver, data, told, key).catch((error: unknown) => {
    if (!hasReason(error, "BACKEND_DOWN", "UPLOAD_NOT_FOUND")) throw error;
  });
  // A dead process answers nothing more: whatever can still happen has happened after some turns of the loop.
  await Promise.race([ended, quiet(replica)]);
  const visible = rig.content("k");
  if (!told.commitSent) assert.equal(visible, undefined, "visible before its commit");
  if (told.committed || visible !== undefined) assert.deepEqual(visible, data);
  const requests = replica.store.seen.length;
  const other = rig.replica();
  if (!told.committed) await goOn(other.driver, "u", "k", data, told);
  assert.deepEqual(rig.content("k"), data);
  const list = async () => (await other.driver.listUploads({ startAfter: "", limit: 10 }, call)).items;
  assert.deepEqual(await list(), [], "an upload is left");
  const orphans = [...rig.backend.assemblies.values()].filter(({ parts }) => parts.size > 0);
  assert.deepEqual(orphans, [], "parts are left for the sweep, a day later");
  rig.clock.pass(3 * DAY_MS);
  // As the host does, to expire them.
  assert.deepEqual(await list(), [], "an upload is left");
  await other.driver.sweep();
  assert.deepEqual(rig.left(), []);
  return { requests, committed: told.committed };
}

async function quiet(replica: Replica): Promise<void> {
  for (let seen = -1, same = 0; same < 30; same++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (replica.store.seen.length !== seen) {
      seen = replica.store.seen.length;
      same = 0;
    }
  }
}

const cases: readonly {
  readonly name: string;
  readonly size: number;
  readonly direct: boolean;
  readonly key: string | undefined;
  readonly partsStay?: boolean;
}[] = [
  { name: "a few bytes", size: 61, direct: true, key: "k" },
  { name: "parts under their key", size: 5 * PART + 33, direct: true, key: "k" },
  { name: "parts that are copied", size: 5 * PART + 33, direct: true, key: undefined },
  { name: "parts of a backend that always stages", size: 4 * PART, direct: false, key: "k" },
  { name: "parts that are objects, under their key", size: 5 * PART + 33, direct: true, key: "k", partsStay: true },
  { name: "parts that are objects, copied", size: 5 * PART + 33, direct: true, key: undefined, partsStay: true },
];

for (const digests of [true, false]) {
  for (const { name, size, direct, key, partsStay = false } of cases) {
    describe(`${name}, ${digests ? "with" : "without"} digests told by the backend`, () => {
      const options = { direct, digests, partsStay };
      const data = bytes(size);

      it("survives the death of the driver after each request, and before it had its effect", async () => {
        let points = 0;
        for (const effect of ["lost", "cut"] as const) {
          for (let point = 1; ; point++) {
            const { requests, committed } = await survive(new ObjectsRig(options), data, key, (index, replica) => {
              if (index !== point) return "pass";
              setImmediate(() => replica().store.kill());
              if (effect === "cut") replica().store.kill();
              return effect === "cut" ? "pass" : "lost";
            }).catch((error) => assert.fail(`${effect} at request ${point}: ${error.stack}`));
            points++;
            if (committed && requests < point) break;
          }
        }
        assert.ok(points > 20, `${points} points`);
      });

      it("survives each answer that is lost, and each request that never arrived", async () => {
        for (const effect of ["lost", "cut"] as const) {
          for (let point = 1; ; point++) {
            const { requests, committed } = await survive(new ObjectsRig(options), data, key, (index) =>
              index === point ? effect : "pass",
            ).catch((error) => assert.fail(`${effect} at request ${point}: ${error.stack}`));
            if (committed && requests < point) break;
          }
        }
      });
    });
  }
}

describe("two deaths", () => {
  it("are survived wherever the second one comes", async () => {
    const data = bytes(4 * PART + 20);
    for (const key of ["k", undefined]) {
      for (let first = 4; first <= 34; first += 3) {
        for (let second = 1; second <= 24; second++) {
          const rig = new ObjectsRig();
          const killing = (at: number): Replica => {
            const replica: Replica = rig.replica({
              fault: ({ index }) => {
                if (index === at) setImmediate(() => replica.store.kill());
                return index === at ? "lost" : "pass";
              },
            });
            return replica;
          };
          const told: Told = { toldBytes: 0, commitSent: false, committed: false };
          const one = killing(first);
          await Promise.race([push(one.driver, data, told, key).catch(() => {}), quiet(one)]);
          if (told.committed) continue;
          const two = killing(second);
          // Whether the second one sent its commit is not known here: as if it had.
          const again = { ...told };
          let done = false;
          await Promise.race([
            goOn(two.driver, "u", "k", data, again).then(
              () => {
                done = true;
              },
              () => {},
            ),
            quiet(two),
          ]);
          if (!done) await goOn(rig.replica().driver, "u", "k", data, { toldBytes: told.toldBytes, commitSent: true });
          assert.deepEqual(rig.content("k"), data, `deaths at ${first} and ${second}`);
        }
      }
    }
  });
});
