/** The page in a browser without scripts, behind a login, and with a member that is down. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Authenticator } from "../../registry/auth/contract.ts";
import { type Browser, startBrowser } from "../helpers/browser.ts";
import { missing } from "../helpers/tools.ts";
import { startPage } from "./page-server.ts";
import { visit } from "./visit.ts";

describe("the page without its script", { skip: missing("chromium", "playwright-core") }, () => {
  let browser: Browser;
  before(async () => {
    browser = await startBrowser();
  });
  after(() => browser?.close());

  it("lists, searches, filters, turns pages, and shows an image whole", async (t) => {
    const server = await startPage(t);
    const { page } = await visit(server, browser, "/", { javaScriptEnabled: false });
    const total = () => page.locator(".total").textContent();
    const links = () => page.locator("tbody th a").allInnerTexts();
    assert.equal(await total(), "1–50 of 123 repositories");
    await page.getByRole("link", { name: "Next →" }).click();
    await page.waitForURL(/page=2/);
    assert.equal(await total(), "51–100 of 123 repositories");

    await page.getByLabel(/^Search/).fill("library");
    await page.getByRole("button", { name: "Search" }).click();
    await page.waitForURL(/q=library/);
    assert.deepEqual(await links(), ["library/alpine", "library/node"]);
    await page.getByLabel("Order").selectOption("name-desc");
    await page.getByRole("button", { name: "Apply" }).click();
    await page.waitForURL(/sort=name-desc/);
    assert.deepEqual(await links(), ["library/node", "library/alpine"]);

    await page.getByRole("link", { name: "library/node", exact: true }).click();
    await page.waitForURL(/\/r\/library\/node$/);
    assert.deepEqual(await links(), ["22-bookworm", "20-alpine"]);
    await page.getByRole("link", { name: "22-bookworm" }).click();
    await page.waitForURL(/22-bookworm$/);
    assert.equal(await page.locator("h1").textContent(), "library/node:22-bookworm signed");
    assert.equal(await page.locator(".copy").first().isVisible(), false);
    const platforms = page.locator(".platform");
    assert.equal(await platforms.count(), 5);
    assert.equal(await platforms.nth(1).locator("table").isVisible(), false);
    await platforms.nth(1).locator("> summary").click();
    assert.match(await platforms.nth(1).textContent(), /linux\/arm64\/v8[\s\S]*46\.2 MiB/);
    await page.getByRole("link", { name: "Members" }).click();
    await page.waitForURL(/members/);
    assert.match(await page.locator("main").textContent(), /io\.example\.files[\s\S]*ready/);
  });

  it("works behind the registry's login", async (t) => {
    const server = await startPage(t);
    const wanted = `Basic ${Buffer.from("jo:secret").toString("base64")}`;
    const challenge = 'Basic realm="Outrigger", charset="UTF-8"';
    const jo = { name: "jo", mayRead: (name: string) => name.startsWith("library/"), mayWrite: () => false };
    const authenticator: Authenticator = {
      asksAtBase: true,
      authenticate: (given) => (given === wanted ? { account: jo } : { challenge }),
    };
    server.authenticator = authenticator;
    const httpCredentials = { username: "jo", password: "secret" };
    const { page } = await visit(server, browser, "/", { httpCredentials });
    assert.equal(await page.locator(".who").textContent(), "jo");
    assert.deepEqual(await page.locator("tbody th a").allInnerTexts(), ["library/node", "library/alpine"]);
    // Also what its script fetches.
    await page.getByRole("link", { name: "library/alpine", exact: true }).click();
    await page.getByRole("heading", { name: "library/alpine" }).waitFor();
  });

  it("says that a member is down, and shows the rest", async (t) => {
    const server = await startPage(t);
    server.search.errors = [{ message: "connection refused", extensions: { member: "west" } }];
    const { page } = await visit(server, browser, "/");
    assert.match(await page.getByRole("status").first().textContent(), /Member west did not answer/);
    assert.equal(await page.locator("tbody tr").count(), 50);
  });
});
