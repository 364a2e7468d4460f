/** A push that began before its repository went to another member, at a core that others have overtaken. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { after, before, describe, it } from "node:test";
import { image, manifestOf, mediaTypes } from "../helpers/oci.ts";
import { Scope } from "../helpers/processes.ts";
import { exchange, nameThatGoes, reload, takenOver } from "./resizing.ts";
import { startWorld, type World } from "./world.ts";

describe("a push that is under way when its repository goes to another member", () => {
  const scope = new Scope();
  let world: World;
  before(async () => {
    world = await startWorld(scope, { first: ["a", "b"], running: ["a", "b"], cores: 2 });
  });
  after(scope.close);

  it("is refused where the repository is no longer this member's, and goes on where it is", async () => {
    const { a, b } = world.members;
    const [, second] = a.cores;
    assert.ok(second);
    const [gone, stays] = [nameThatGoes("a to b"), nameThatGoes("a to a")];
    const pushed = image({ seed: "under way", layerBytes: [1000], raw: true });
    for (const name of [gone, stays]) await a.client.pushImage(name, pushed, "v1");
    // It needs nothing that goes with the repository.
    const { bytes, mediaType } = manifestOf({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
    /** Begun: who owns it was looked up. */
    const begin = async (name: string) => {
      const [host = "", port] = second.host.split(":");
      const headers = { "Content-Type": mediaType, "Content-Length": bytes.length, Expect: "100-continue" };
      const put = request({ host, port, method: "PUT", path: `/v2/${name}/manifests/v2`, headers });
      const answered = once(put, "response") as Promise<[IncomingMessage]>;
      answered.catch(() => {});
      scope.defer(() => void put.destroy());
      put.flushHeaders();
      await once(put, "continue");
      return async () => {
        put.end(bytes);
        const [answer] = await answered;
        answer.resume();
        return answer.statusCode;
      };
    };
    const ends = { gone: await begin(gone), stays: await begin(stays) };
    await reload([...a.cores, ...b.cores], exchange(world));
    await takenOver(b, gone);
    assert.deepEqual([await ends.gone(), await ends.stays()], [503, 201]);
    for (const { client } of [...a.cores, ...b.cores]) {
      assert.deepEqual(await client.tags(gone), ["v1"]);
      assert.deepEqual(await client.tags(stays), ["v1", "v2"]);
    }
  });
});
