/** The page in a browser, over three registries with a driver each: what any of them shows is all of it, and who is away. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { memberList } from "../../registry/members/owners.ts";
import { ids, type MemberId, startWorld, type World } from "../cluster/world.ts";
import { type Browser, startBrowser } from "../helpers/browser.ts";
import { image } from "../helpers/oci.ts";
import { Scope } from "../helpers/processes.ts";
import { missing } from "../helpers/tools.ts";
import { heading, visit, waitFor } from "./visit.ts";

const { ownerOf } = memberList(ids, { by: "rendezvous", key: "", rules: [] });
const names = Array.from({ length: 9 }, (_, index) => `team/app-${index}`);

describe("the page of a cluster", { skip: missing("chromium", "playwright-core") }, () => {
  const scope = new Scope();
  let browser: Browser;
  let world: World;
  const pushed = image({ seed: "page", layerBytes: [3000, 200_000], raw: true });
  /** Closed, and held against what went wrong in it, by `end`. */
  const open = async (id: MemberId, path: string) => {
    const closers: (() => Promise<void>)[] = [];
    const visiting = await visit({ origin: world.members[id].url, closers }, browser, path);
    return { ...visiting, end: async () => void (await Promise.all(closers.map((close) => close()))) };
  };

  before(async () => {
    browser = await startBrowser();
    scope.defer(() => browser.close());
    world = await startWorld(scope);
    assert.equal(new Set(names.map(ownerOf)).size, 3, "each member has some");
    for (const [index, name] of names.entries())
      await world.members[ids[index % 3] ?? "a"].client.pushImage(name, pushed, "v1");
  });
  after(scope.close);

  for (const id of ids) {
    it(`shows everything at member ${id}`, async () => {
      const { page, end } = await open(id, "/?sort=name");
      assert.equal(await page.locator(".total").textContent(), "9 repositories");
      assert.deepEqual(await page.locator("tbody th a").allInnerTexts(), names);
      await page.getByRole("link", { name: names[0] ?? "", exact: true }).click();
      await heading(page, names[0] ?? "");
      await page.getByRole("link", { name: "v1" }).first().click();
      await waitFor(
        page,
        `document.querySelector("main")?.textContent.includes(${JSON.stringify(pushed.manifest.digest)})`,
      );
      const host = world.members[id].host;
      assert.match(await page.locator("main").textContent(), new RegExp(`docker pull ${host}/${names[0]}:v1`));
      await end();
    });
  }

  it("shows the members and their drivers, and finds while it is typed", async () => {
    const { page, end } = await open("b", "/members");
    assert.equal(await page.locator(".total").textContent(), "3 of 3 well");
    assert.match(await page.locator("main").textContent(), /a well[\s\S]*io\.outrigger\.memory[\s\S]*c well/);
    await page.keyboard.press("/");
    await page.keyboard.type("app-7");
    await waitFor(page, 'document.body.textContent.includes("team/app-7")');
    await end();
  });

  it("says who is away, and shows the rest", async () => {
    const gone = "c";
    await world.members[gone].process.kill();
    const { page, end } = await open("a", "/?sort=name");
    assert.match(await page.locator("main").textContent(), /Not everything is here[\s\S]*[Mm]ember c/);
    const left = names.filter((name) => ownerOf(name) !== gone);
    assert.deepEqual(await page.locator("tbody th a").allInnerTexts(), left);
    await end();
    const members = await open("a", "/members");
    assert.equal(await members.page.locator(".total").textContent(), "2 of 3 well");
    await members.end();
    const theirs = await world.members.a.client.request("GET", `/r/${names.find((name) => ownerOf(name) === gone)}`);
    assert.equal(theirs.status, 503);
    assert.match(theirs.body.toString(), /[Mm]ember c/);
  });
});
