/** Stars and bookmarks in the meta store: together with what counts them, whoever else toggles at the same time. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { createPreferences } from "../../../registry/search/preferences.ts";
import { FakeBackend, type FakeHooks } from "../../helpers/fake-stores.ts";
import { context, silent, testClock } from "../repository/world.ts";
import { fakeLedger } from "./fake-ledger.ts";

function preferencesOn(backend: FakeBackend, hooks: FakeHooks = {}, owns: (name: string) => boolean = () => true) {
  const ledger = fakeLedger(backend.connect(hooks));
  const random = () => 0.5;
  const ledgers = () => [{ ledger, owns }];
  return createPreferences({ ledgerOf: () => ledger, ledgers, clock: testClock, random, log: silent });
}

const ALICE = Buffer.from("alice").toString("hex");
const own = (backend: FakeBackend) =>
  [...backend.metaText("outrigger/").keys()].filter((key) => !key.startsWith("outrigger/search/changes/")).sort();

describe("preferences", () => {
  it("are set and taken away again, each kind by itself", async () => {
    const backend = new FakeBackend();
    const preferences = preferencesOn(backend);
    assert.equal(await preferences.toggle("alice", "star", "team/my-app", context()), true);
    assert.equal(await preferences.toggle("alice", "bookmark", "team/my-app", context()), true);
    assert.deepEqual(own(backend), [
      `outrigger/prefs/${ALICE}/bookmark/team-2my-0app`,
      `outrigger/prefs/${ALICE}/star/team-2my-0app`,
      `outrigger/search/stars/team-2my-0app/${ALICE}`,
    ]);
    const names = new Set(["team/my-app"]);
    assert.deepEqual(await preferences.of("alice", context()), { starred: names, bookmarked: names });
    assert.deepEqual(await preferences.of("alic", context()), { starred: new Set(), bookmarked: new Set() });
    assert.equal(await preferences.toggle("alice", "star", "team/my-app", context()), false);
    assert.deepEqual(await preferences.of("alice", context()), { starred: new Set(), bookmarked: names });
    assert.equal(await preferences.toggle("alice", "bookmark", "team/my-app", context()), false);
    assert.deepEqual(own(backend), []);
  });

  it("of two at the same time both count: none is lost, none is told what is not so", async () => {
    const backend = new FakeBackend();
    const cores = [preferencesOn(backend), preferencesOn(backend), preferencesOn(backend)];
    const answers = await Promise.all(
      Array.from({ length: 9 }, (_, n) => cores[n % 3]?.toggle("alice", "star", "app", context())),
    );
    // One after the other, whichever order: set, unset, set, …
    assert.deepEqual(
      [answers.filter((set) => set === true).length, answers.filter((set) => set === false).length],
      [5, 4],
    );
    assert.deepEqual((await preferencesOn(backend).of("alice", context())).starred, new Set(["app"]));
    assert.equal(own(backend).length, 2);
  });

  it("and their count are one Write: a failure leaves neither, or both", async () => {
    const backend = new FakeBackend();
    let writes = 0;
    const failing = preferencesOn(backend, {
      before: ({ method }) => {
        if (method !== "meta.write") return;
        writes += 1;
        throw new OutriggerError("BACKEND_DOWN", "away");
      },
    });
    await assert.rejects(failing.toggle("alice", "star", "app", context()), /away/);
    assert.equal(writes, 1);
    assert.deepEqual(own(backend), []);
  });

  it("of a user with a name of any length and letters have keys of their own", async () => {
    const backend = new FakeBackend();
    const preferences = preferencesOn(backend);
    const users = ["ä", "名前", "x".repeat(127), "x".repeat(128), "x".repeat(129), "../.."];
    for (const user of users) await preferences.toggle(user, "star", "app", context());
    for (const user of users) assert.deepEqual((await preferences.of(user, context())).starred, new Set(["app"]), user);
    assert.equal([...backend.metaText("outrigger/search/stars/app/").keys()].length, users.length);
  });

  it("of repositories that another pair of stores has by now are not told from here", async () => {
    const backend = new FakeBackend();
    await preferencesOn(backend).toggle("alice", "star", "far/app", context());
    const preferences = preferencesOn(backend, {}, (name) => !name.startsWith("far/"));
    assert.deepEqual((await preferences.of("alice", context())).starred, new Set());
  });

  it("are bounded", async () => {
    const backend = new FakeBackend();
    for (let n = 0; n < 10_000; n += 1) backend.putMeta(`outrigger/prefs/${ALICE}/bookmark/r${n}`, "");
    const preferences = preferencesOn(backend);
    await assert.rejects(
      preferences.toggle("alice", "bookmark", "one-more", context()),
      /10000 bookmarks, and 10000 are/,
    );
    assert.equal(await preferences.toggle("alice", "bookmark", "r7", context()), false, "and can be taken away");
    assert.equal(await preferences.toggle("alice", "bookmark", "one-more", context()), true);
  });
});
