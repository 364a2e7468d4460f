/** The page of a real registry, with a driver in another process, in a real browser. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Browser, type Page, startBrowser, WAIT_MS } from "../helpers/browser.ts";
import { artifact, bytesContent, image, index, manifestOf } from "../helpers/oci.ts";
import {
  type DriverProcess,
  launchDriver,
  listening,
  type RegistryProcess,
  ready,
  startPair,
  startRegistry,
  until,
} from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { missing } from "../helpers/tools.ts";
import { heading, visit, waitFor } from "./visit.ts";

describe("the page of a registry", { skip: missing("chromium", "playwright-core") }, () => {
  const scope = new Scope();
  const site = { origin: "", closers: [] as (() => Promise<void>)[] };
  let browser: Browser;
  let registry: RegistryProcess;
  let driver: DriverProcess;
  let root: string;
  before(async () => {
    ({ driver, registry, root } = await startPair(scope));
    site.origin = `http://${registry.host}`;
    browser = await startBrowser();
    scope.defer(() => browser.close());
  });
  after(async () => {
    try {
      for (const close of site.closers.reverse()) await close();
    } finally {
      await scope.close();
    }
  });

  it("shows what was pushed, as soon as it was pushed", async () => {
    const { client } = registry;
    const { page, loads } = await visit(site, browser, "/");
    await heading(page, "Repositories");
    assert.match(await page.locator("main").textContent(), /There are no repositories yet/);

    const images = ["amd64", "arm64"].map((architecture) =>
      image({ seed: architecture, layerBytes: [40_000, 900], architecture }),
    );
    for (const each of images) await client.pushImage("team/shop", each);
    const both = index(images, ["amd64", "arm64"]);
    await client.putManifest("team/shop", "2.0", both);
    const sbom = artifact(both, "application/spdx+json", bytesContent(Buffer.from("{}")));
    await client.pushImage("team/shop", sbom);
    await client.pushImage("team/shopping", image({ seed: "other", layerBytes: [1] }), "v1");
    await client.getManifest("team/shop", "2.0");

    await page.keyboard.press("/");
    await page.keyboard.type("shop");
    await waitFor(page, "document.querySelectorAll('tbody tr').length === 2");
    assert.deepEqual(await page.locator("tbody th a").allInnerTexts(), ["team/shop", "team/shopping"]);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await heading(page, "team/shop");
    assert.deepEqual(await page.locator("tbody th a").allInnerTexts(), ["2.0"]);
    assert.deepEqual(await page.locator("tbody .chip").allInnerTexts(), ["linux/amd64", "linux/arm64"]);
    await page.getByRole("link", { name: "2.0" }).click();
    await heading(page, "team/shop:2.0");

    const shown = await page.locator("main").textContent();
    assert.ok(shown.includes(`docker pull ${registry.host}/team/shop:2.0`));
    assert.ok(shown.includes(`docker pull ${registry.host}/team/shop@${both.digest}`));
    assert.match(shown, /Referrers \(1\)[\s\S]*application\/spdx\+json[\s\S]*org\.example\.made-by/);
    assert.equal(await page.locator(".platform").count(), 2);
    const first = page.locator(".platform").first();
    await first.locator("> summary").click();
    assert.deepEqual(
      await page.evaluate(
        "[...document.querySelectorAll('.platform:first-of-type .size')].map((each) => Number(each.value ?? each.getAttribute('value')))",
      ),
      sizesOf(images[0]),
    );
    await first.locator(".config summary").click();
    await waitFor(page, "document.querySelectorAll('.config dt').length > 0");
    assert.match(await first.locator(".config").textContent(), /seedamd64/);
    assert.equal(loads(), 1);
  });

  it("runs nothing that somebody pushed beside it", async () => {
    const { client } = registry;
    const run = "<script>document.title = 'it ran'</script>";
    const manifest = manifestOf({ schemaVersion: 2, mediaType: "text/html", run });
    await client.putManifest("team/evil", "v1", manifest);
    const visiting = await visit(site, browser, "/v2/team/evil/manifests/v1");
    visiting.allowed = /Content Security Policy|sandboxed/;
    // It is shown as the document that it says it is, and that may do nothing.
    assert.match(await visiting.page.content(), /it ran/);
    assert.notEqual(await visiting.page.title(), "it ran");
  });

  it("is left out where nobody wants it", async () => {
    const { client } = await startRegistry(scope, { blobs: driver.address, env: { OUTRIGGER_HTTP_PAGE: "false" } });
    const reply = await client.expect(200, "GET", "/");
    assert.equal(reply.body.toString(), "Outrigger, a container registry: the API is at /v2/\n");
    await client.expect(404, "GET", "/r/team/shop");
    await client.expect(404, "GET", "/assets/page.js");
    await client.expect(200, "GET", "/v2/team/shop/tags/list");
  });

  it("says that the driver is gone, and is itself again when it is back", async () => {
    const visiting = await visit(site, browser, "/members");
    const { page } = visiting;
    visiting.allowed = /status of 503/;
    assert.match(await page.locator("main").textContent(), /io\.outrigger\.filesystem/);
    await driver.process.kill();
    const readyStores = "document.querySelectorAll('td .badge.good').length";
    await waitAfterReload(page, `${readyStores} === 0 && document.querySelectorAll('td .badge.bad').length === 2`);
    await page.goto(`${site.origin}/r/team/shop`);
    await heading(page, "Not to be had now");
    driver = launchDriver(scope, { root, address: driver.address });
    await listening(driver.process, driver.address);
    await ready(registry);
    await page.goto(`${site.origin}/members`);
    await waitAfterReload(page, `${readyStores} === 2`);
    await page.goto(`${site.origin}/r/team/shop`);
    await heading(page, "team/shop");
  });
});

/** Of the platform's line, then of its layers. */
function sizesOf(pushed: ReturnType<typeof image> | undefined): number[] {
  if (pushed === undefined) throw new Error("no image was made");
  const [, ...layers] = pushed.blobs.map(({ sizeBytes }) => sizeBytes);
  const all = pushed.blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, pushed.manifest.bytes.length);
  return [all, ...layers];
}

/** The members' page does not change by itself. */
async function waitAfterReload(page: Page, holds: string): Promise<void> {
  const { host, pathname } = new URL(page.url());
  const look = async () => {
    await page.goto(`http://${host}${pathname}`);
    return page.evaluate<boolean>(holds);
  };
  await until(look, WAIT_MS, () => `never after loading ${pathname} anew: ${holds}`);
}
