/**
 * A driver that names files which are not its own (LOCAL_FILE, protocol.md section 9): the registry opens none of them, says
 * so, and serves the blob's own bytes over gRPC.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { honest, withChanges } from "../../conformance/wrong/habits.ts";
import { startDriver } from "../../conformance/wrong/honest/driver.ts";
import { seededContent } from "../helpers/oci.ts";
import { startRegistry } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";

describe("a driver that names a file outside its root", () => {
  const scope = new Scope();
  after(scope.close);

  it("is read over gRPC, and no file of somebody else is opened", async () => {
    const folder = tempFolder(scope);
    const root = join(folder, "root");
    mkdirSync(root);
    const content = seededContent("outside", 300_000);
    // As long as the blob: its size alone would not give it away.
    const secret = join(folder, "secret");
    writeFileSync(secret, Buffer.alloc(content.sizeBytes, "s"));
    symlinkSync(secret, join(root, "link"));
    symlinkSync(folder, join(root, "folder"));
    const names = [
      "../secret",
      secret,
      "link",
      "folder/secret",
      "./blob/../../secret",
      "blob/files/../../../secret",
      "",
      ".",
      "blob",
      "/proc/self/environ",
    ];

    let named: string | undefined;
    const driver = await startDriver({
      folder: root,
      listen: `unix://${join(folder, "d.sock")}`,
      habits: withChanges({
        wire: {
          answer: (method, response) =>
            method === "blob.LocateFile" && named !== undefined ? { ...response, path: named } : response,
        },
        process: { ...honest.process, refusesEmpty: false },
      }),
    });
    scope.defer(() => driver.close());
    const { client, process: running } = await startRegistry(scope, { blobs: driver.address, localRoot: root });
    await client.pushBlob("a/b", content);
    await client.pullBlob("a/b", content);
    await running.line((line) => line.includes(`blobs are read from ${root}`));

    for (named of names) {
      await client.pullBlob("a/b", content);
      const quoted = JSON.stringify(JSON.stringify(named)).slice(1, -1);
      const said = (line: string) => line.includes(`the driver names the file ${quoted}`) && line.includes("not used");
      assert.ok(running.lines.some(said), `${named} is said`);
    }
    assert.ok(readFileSync(secret).every((byte) => byte === "s".charCodeAt(0)));
  });
});
