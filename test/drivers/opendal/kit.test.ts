/** The conformance kit on the opendal driver: a folder, memory, and a real S3 server with two replicas on one bucket. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { Profile } from "../../../conformance/contract.ts";
import type { ProfileState, RunResult } from "../../../conformance/results.ts";
import { assertReported, KIT_MS, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { missing } from "../../helpers/tools.ts";
import { bucketStore, environment, folderStore, memoryStore, type OpendalStore, startCommand } from "./opendal.ts";

type Profiles = Readonly<Record<Profile, ProfileState>>;

const unclaimed: Profiles = {
  handshake: "passed",
  process: "passed",
  meta: "not-claimed",
  blob: "passed",
  resume: "not-claimed",
  replicas: "not-claimed",
  "fast-paths": "not-claimed",
};

function check(name: string, result: RunResult, due: Profiles): void {
  assert.equal(result.driver?.name, "io.outrigger.opendal");
  assert.deepEqual({ ...result.profiles }, due);
  assertReported(`opendal-${name}`, result);
}

describe("the opendal driver under the conformance kit", { skip: missing("opendal-python"), concurrency: true }, () => {
  const scope = new Scope();
  after(scope.close);

  const kit = (store: OpendalStore, starts = 1) =>
    runKit(scope, {
      addresses: [],
      start: Array.from({ length: starts }, () => startCommand(store)),
      env: environment(store),
    });

  it("passes on a folder: lasting, for one process", { timeout: KIT_MS }, async () => {
    check("fs", await kit(await folderStore(scope)), { ...unclaimed, resume: "passed" });
  });

  it("passes in memory: nothing is claimed", { timeout: KIT_MS }, async () => {
    check("memory", await kit(memoryStore), unclaimed);
  });

  it("passes on S3: lasting, for any number of processes", {
    timeout: KIT_MS,
    skip: missing("versitygw"),
  }, async () => {
    check("s3", await kit(await bucketStore(scope), 2), { ...unclaimed, resume: "passed", replicas: "passed" });
  });
});
