import assert from "node:assert/strict";
import { test } from "node:test";
import type { Exchange } from "../../../registry/http/exchange.ts";
import { answerNewOwner } from "../../../registry/members/give-up.ts";
import type { View } from "../../../registry/members/view.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { context, pushImage, startCore } from "../repository/world.ts";

test("nothing is left of a repository whose manifests and layers were given up, of another one everything", async () => {
  const backend = new FakeBackend();
  const { repositories } = await startCore({ backend });
  const [name, other] = ["team/app", "team/other"];
  for (const each of [name, other]) await pushImage(repositories, each, ["v1"], { layers: ["one"] });
  const choices = (of: string) => [
    keys.preferenceKey("ann", "star", of),
    keys.starKey(of, "ann"),
    keys.preferenceKey("ann", "bookmark", of),
  ];
  await repositories.ledger.write(
    [name, other].flatMap(choices).map((key) => ({ kind: "put", key, value: Buffer.alloc(0) }) as const),
    context(),
  );
  const layers = (await repositories.handover?.contents(name, "layers", "", context()))?.items ?? [];
  const view = { self: "a", list: { ownerOf: () => "c" } } as unknown as View;
  const peer = { id: "c" } as Parameters<typeof answerNewOwner>[2];
  const purge = async (parameters: Record<string, string>) => {
    let status = 0;
    const exchange = {
      route: { kind: "members", name: "", reference: "purge" },
      query: new URLSearchParams({ name, ...parameters }),
      request: { method: "POST" },
      response: {
        writeHead(said: number) {
          status = said;
          return this;
        },
        end() {},
      },
      shared: { repositories, traffic: { bytesOut: 0 } },
      context: context(),
    } as unknown as Exchange;
    await answerNewOwner(exchange, view, peer);
    assert.equal(status, 200);
  };
  await purge({ kind: "manifests" });
  await purge({ kind: "layers", digest: layers.map(({ digest }) => digest).join(",") });
  const left = [...backend.metaText().keys()].filter((key) => !key.startsWith(keys.changesPrefix));
  assert.deepEqual(
    left.filter((key) => key.includes(name) || [keys.catalogKey(name), ...choices(name)].includes(key)),
    [],
  );
  for (const key of [...choices(other), keys.tagKey(other, "v1")]) assert.ok(left.includes(key), key);
});
