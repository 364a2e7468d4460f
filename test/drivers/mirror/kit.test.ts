/** The conformance kit on the mirror: over two folders, and over a folder and a memory. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { assertReported, KIT_MS, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { filesystemMember, initialise, type MemberProcess, memoryMember, startCommand } from "../composed/members.ts";

const lasting = {
  handshake: "passed",
  process: "passed",
  meta: "not-claimed",
  blob: "passed",
  resume: "passed",
  replicas: "not-claimed",
  "fast-paths": "not-claimed",
};

describe("the mirror driver under the conformance kit", () => {
  const scope = new Scope();
  after(scope.close);

  const kit = async (
    primary: MemberProcess,
    secondary: MemberProcess,
    more: readonly string[] = [],
    kitFlags: readonly string[] = [],
  ) => {
    const flags = ["--primary", primary.address, "--secondary", secondary.address, ...more];
    await initialise("mirror", flags);
    return runKit(scope, { addresses: [], start: [startCommand("mirror", flags)], flags: kitFlags });
  };

  it("passes over two folders: lasting", { timeout: KIT_MS }, async () => {
    const result = await kit(await filesystemMember(scope), await filesystemMember(scope));
    assert.equal(result.driver?.name, "io.outrigger.mirror");
    assert.deepEqual({ ...result.profiles }, lasting);
    assertReported("mirror", result);
  });

  it("passes over a folder and a memory that may be behind: nothing is claimed", { timeout: KIT_MS }, async () => {
    const result = await kit(
      await filesystemMember(scope),
      await memoryMember(scope),
      ["--secondary-writes", "behind"],
      ["--only", "handshake,blob.put,blob.delete,blob.move,blob.list,uploads"],
    );
    assert.deepEqual(
      result.driver?.stores.map(({ capabilities }) => [...capabilities]),
      [[]],
    );
  });
});
