/** The conformance kit on the shard driver: over three folders, and over a folder and a memory. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { assertReported, KIT_MS, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { filesystemMember, initialise, type MemberProcess, memoryMember, startCommand } from "../composed/members.ts";

describe("the shard driver under the conformance kit", () => {
  const scope = new Scope();
  after(scope.close);

  const kit = async (members: readonly MemberProcess[], flags: readonly string[] = []) => {
    const shards = members.map(({ address }, index) => `${"abc"[index]}=${address}`).join(",");
    await initialise("shard", ["--shards", shards]);
    return runKit(scope, { addresses: [], start: [startCommand("shard", ["--shards", shards])], flags });
  };

  it("passes over three folders: lasting", { timeout: KIT_MS }, async () => {
    const folders = [await filesystemMember(scope), await filesystemMember(scope), await filesystemMember(scope)];
    const result = await kit(folders);
    assert.equal(result.driver?.name, "io.outrigger.shard");
    assert.deepEqual(
      { ...result.profiles },
      {
        handshake: "passed",
        process: "passed",
        meta: "not-claimed",
        blob: "passed",
        resume: "passed",
        replicas: "not-claimed",
        "fast-paths": "not-claimed",
      },
    );
    assertReported("shard", result);
  });

  it("claims no more than a memory among its shards, and loses no upload between the two", {
    timeout: KIT_MS,
  }, async () => {
    const result = await kit(
      [await filesystemMember(scope), await memoryMember(scope)],
      ["--only", "handshake,uploads"],
    );
    assert.deepEqual(
      result.driver?.stores.map(({ capabilities }) => [...capabilities]),
      [[]],
    );
  });
});
