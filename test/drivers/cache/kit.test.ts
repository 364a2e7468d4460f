/** The conformance kit on the cache: a folder before a folder, and two caches of memory before one bucket of versitygw. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { Profile } from "../../../conformance/contract.ts";
import type { ProfileState, RunResult } from "../../../conformance/results.ts";
import { assertReported, KIT_MS, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { startS3Server } from "../../helpers/s3-server.ts";
import { missing } from "../../helpers/tools.ts";
import { filesystemMember, initialise, memoryMember, startCommand } from "../composed/members.ts";
import { s3Store, startS3 } from "../s3/s3.ts";

const lasting: Readonly<Record<Profile, ProfileState>> = {
  handshake: "passed",
  process: "passed",
  meta: "not-claimed",
  blob: "passed",
  resume: "passed",
  replicas: "not-claimed",
  "fast-paths": "not-claimed",
};

describe("the cache driver under the conformance kit", () => {
  const scope = new Scope();
  after(scope.close);

  function check(result: RunResult, due: Partial<typeof lasting>): void {
    assert.equal(result.driver?.name, "io.outrigger.cache");
    assert.deepEqual({ ...result.profiles }, due);
  }

  it("passes with a folder before a folder: lasting", { timeout: KIT_MS }, async () => {
    const [slow, fast] = [await filesystemMember(scope), await filesystemMember(scope)];
    // Little enough that copies are given up all the time.
    const flags = ["--slow", slow.address, "--fast", fast.address, "--max", "16MiB"];
    await initialise("cache", flags);
    const result = await runKit(scope, { addresses: [], start: [startCommand("cache", flags)] });
    check(result, lasting);
    assertReported("cache", result);
  });

  it("passes as two caches, each with a memory of its own, before one store in S3: lasting, for any number", {
    timeout: KIT_MS,
    skip: missing("versitygw", "s3-sdk"),
  }, async () => {
    const slow = await startS3(scope, await s3Store(await startS3Server(scope)));
    const starts: string[] = [];
    for (const fast of [await memoryMember(scope), await memoryMember(scope)]) {
      const flags = ["--slow", slow.address, "--fast", fast.address, "--max", "16MiB"];
      await initialise("cache", flags);
      starts.push(startCommand("cache", flags));
    }
    const flags = ["--only", "handshake,resume,replicas,fast-paths"];
    check(await runKit(scope, { addresses: [], start: starts, flags }), {
      handshake: "passed",
      resume: "passed",
      replicas: "passed",
      "fast-paths": "passed",
    });
  });
});
