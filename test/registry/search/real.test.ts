/** The answers that were recorded of zot, over images pushed into a real registry: rules, index and view are its own. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { systemClock } from "../../../proto/clock.ts";
import { createRepositories, type RunningRepositories } from "../../../registry/repository/index.ts";
import { createLayerHolders } from "../../../registry/search/holders.ts";
import { createSearch } from "../../../registry/search/index.ts";
import { createPreferences } from "../../../registry/search/preferences.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { context, silent } from "../repository/world.ts";
import { ALICE, askerOf, explain, fixture, searching, WORLD } from "./world.ts";

/** Time of the world that was recorded: each push takes a second. */
function worldClock() {
  let nowMs = Date.now();
  return {
    clock: { ...systemClock, now: () => nowMs },
    tick: () => {
      nowMs += 1;
    },
  };
}

/** The world's images were made before June. */
const withoutServerTimes = (value: unknown) =>
  JSON.parse(JSON.stringify(value).replace(/"20(?:26-1[0-2]|2[7-9]-|[3-9])[^"]*Z"/g, '"now"'));

/** Layers' bytes are not kept with the world: others of the same digest stand in for them, put there behind the rules. */
async function pushWorld(repositories: RunningRepositories, backend: FakeBackend, tick: () => void): Promise<void> {
  for (const { name, reference, mediaType, text } of WORLD.manifests) {
    const manifest = JSON.parse(text);
    for (const { digest } of [...(manifest.layers ?? []), ...(manifest.config ? [manifest.config] : [])]) {
      const config = WORLD.configs[digest];
      if (config !== undefined) {
        const session = repositories.startUpload(name, "sha256");
        const bytes = (async function* () {
          yield Buffer.from(config);
        })();
        await repositories.finishUpload(session, digest, { offsetBytes: 0, bytes }, context());
      } else {
        const hex = digest.slice(7);
        backend.putMeta(`docker/registry/v2/repositories/${name}/_layers/sha256/${hex}/link`, digest);
        backend.putMeta(
          `outrigger/refs/sha256/${hex}/${name.replace(/[-./]/g, (c: string) => ({ "-": "-0", ".": "-1", "/": "-2" })[c] ?? "")}`,
          "",
        );
        backend.blobs.set(`docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, {
          bytes: Buffer.alloc(1),
          etag: "x",
        } as never);
      }
    }
    const tags = reference.startsWith("sha256:") ? [] : [reference];
    const pushed = await repositories.putManifest(
      name,
      { bytes: Buffer.from(text), contentType: mediaType, tags },
      context(),
    );
    assert.equal(pushed.digest, `sha256:${createHash("sha256").update(text).digest("hex")}`);
    tick();
  }
}

test("a real registry answers what the world's fake one does, that is: what zot did", async (t) => {
  const backend = new FakeBackend();
  const { clock, tick } = worldClock();
  const repositories = createRepositories({ stores: backend.connect(), mode: "many", clock, log: silent });
  await repositories.start();
  t.after(() => repositories.close());
  await pushWorld(repositories, backend, tick);
  const { ledger } = repositories;
  const ledgers = () => [{ ledger, owns: () => true }];
  const search = createSearch(
    {
      source: repositories.search,
      holders: createLayerHolders(ledgers),
      preferences: createPreferences({ ledgerOf: () => ledger, ledgers, clock, random: Math.random, log: silent }),
    },
    explain,
  );
  const fake = searching();
  const queries = [
    ...fixture<{ query: string }[]>("zot-answers.json"),
    ...fixture<{ query: string }[]>("client-documents.json"),
  ].map(({ query }) => query);
  for (const query of queries) {
    const { status, answer } = await search.answer({ query }, askerOf(ALICE));
    const { status: wanted, ...rest } = await fake.ask(query, undefined, askerOf(ALICE));
    assert.deepEqual(withoutServerTimes(answer), withoutServerTimes(rest), query);
    assert.equal(status, wanted);
  }
});
