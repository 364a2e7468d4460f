/** Which repositories hold a digest: from the keys of references, over all pairs of stores. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { refsKey } from "../../../registry/repository/keys.ts";
import { createLayerHolders } from "../../../registry/search/holders.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { context, digestOf } from "../repository/world.ts";
import { fakeLedger } from "./fake-ledger.ts";

const ONE = digestOf("one");
const TWO = digestOf("two");

function pair(keys: readonly string[], owns: (name: string) => boolean) {
  const backend = new FakeBackend();
  for (const key of keys) backend.putMeta(key, "");
  return { ledger: fakeLedger(backend.connect()), owns };
}

test("holders are found by a digest and by its beginning, each pair's own alone, and no more than asked for", async () => {
  const main = pair(
    [refsKey(ONE, "b/my-app"), refsKey(ONE, "a"), refsKey(TWO, "a"), refsKey(ONE, "far/x")],
    (n) => !n.startsWith("far/"),
  );
  const far = pair([refsKey(ONE, "far/x"), refsKey(ONE, "c")], (name) => name.startsWith("far/"));
  const holders = createLayerHolders(() => [main, far]);
  const all = [
    { digest: ONE, name: "a" },
    { digest: ONE, name: "b/my-app" },
    { digest: ONE, name: "far/x" },
  ];
  assert.deepEqual(await holders.of(ONE, 10, context()), { holders: all, more: false });
  assert.deepEqual(await holders.of(ONE.slice(0, 15), 10, context()), { holders: all, more: false });
  assert.deepEqual(await holders.of(ONE, 2, context()), { holders: all.slice(0, 2), more: true });
  assert.deepEqual(await holders.of(ONE, 3, context()), { holders: all, more: false });
  assert.deepEqual(await holders.of(digestOf("none"), 10, context()), { holders: [], more: false });
});
