/** The page with its script: it searches while somebody types, loads no document twice, and needs no mouse. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Browser, type Page, startBrowser } from "../helpers/browser.ts";
import { missing } from "../helpers/tools.ts";
import { startPage } from "./page-server.ts";
import { focused, heading, visit, waitFor } from "./visit.ts";

const rows = (page: Page) =>
  page.evaluate<string[]>("[...document.querySelectorAll('tbody th a')].map((a) => a.textContent)");
const found = (page: Page, total: string) =>
  waitFor(page, `document.querySelector(".total")?.textContent === ${JSON.stringify(total)}`);

describe("the page with its script", { skip: missing("chromium", "playwright-core") }, () => {
  let browser: Browser;
  before(async () => {
    browser = await startBrowser();
  });
  after(() => browser?.close());

  it("searches while somebody types, without loading a document", async (t) => {
    const server = await startPage(t);
    const { page, loads } = await visit(server, browser, "/");
    await page.keyboard.press("/");
    assert.equal(await focused(page), "q");
    await page.keyboard.type("ledger");
    await heading(page, "Search: ledger");
    await found(page, "1 repository");
    assert.deepEqual(await rows(page), ["team-payments/ledger-service"]);
    assert.equal(new URL(page.url()).search, "?q=ledger");
    assert.equal(await focused(page), "q");
    assert.equal(await page.locator("#said").textContent(), "1 repository");
    await page.keyboard.type("-nothing");
    await found(page, "no repositories");
    // A search is one step back, however long it was typed.
    await page.goBack();
    await heading(page, "Repositories");
    assert.equal(await page.locator("#q").inputValue(), "ledger-nothing");
    assert.equal(loads(), 1);
  });

  it("asks once for keys that come together, and not while a character is being composed", async (t) => {
    const server = await startPage(t);
    const { page } = await visit(server, browser, "/");
    const asked = server.search.requests.length;
    await page.evaluate(`(() => {
      const field = document.getElementById("q");
      const type = (text) => {
        field.value = text;
        field.dispatchEvent(new InputEvent("input", { bubbles: true }));
      };
      for (const text of ["n", "no", "nod", "node"]) type(text);
    })()`);
    await heading(page, "Search: node");
    const questions = () => server.search.requests.slice(asked).map(({ variables }) => variables?.["query"]);
    assert.deepEqual(questions(), ["node"]);
    // Twice as long as a pause: what is asked for too early would have been.
    await page.evaluate(`new Promise((resolve) => {
      const field = document.getElementById("q");
      field.value = "ledgé";
      field.dispatchEvent(new InputEvent("input", { bubbles: true, isComposing: true }));
      setTimeout(resolve, 300);
    })`);
    assert.deepEqual(questions(), ["node"]);
    await page.evaluate(`(() => {
      const field = document.getElementById("q");
      field.value = "ledger";
      field.dispatchEvent(new CompositionEvent("compositionend", { bubbles: true }));
    })()`);
    await heading(page, "Search: ledger");
    assert.deepEqual(questions(), ["node", "ledger"]);
  });

  it("shows the newest answer, whichever comes last, and gives the older question up", async (t) => {
    const server = await startPage(t);
    const { page } = await visit(server, browser, "/");
    let release = () => {};
    let givenUp = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const ended = new Promise<void>((resolve) => {
      givenUp = resolve;
    });
    const begun = new Promise<void>((resolve) => {
      server.search.gate = ({ variables }) => {
        if (variables?.["query"] !== "node") return Promise.resolve();
        resolve();
        return held;
      };
    });
    server.watch = (signal, { variables }) => {
      if (variables?.["query"] === "node") signal.addEventListener("abort", () => givenUp(), { once: true });
    };
    await page.locator("#q").fill("node");
    await begun;
    await page.locator("#q").fill("alpine");
    await ended;
    await heading(page, "Search: alpine");
    release();
    // Whatever the older one would still do, it would have done before the next answer.
    await page.locator("#q").fill("ingress");
    await heading(page, "Search: ingress");
    assert.deepEqual(await rows(page), ["charts/ingress"]);
  });

  it("goes from page to page and back without loading one, with the focus, the title and the place kept", async (t) => {
    const server = await startPage(t);
    const { page, loads } = await visit(server, browser, "/");
    await page.evaluate("scrollTo({ top: 400, behavior: 'instant' })");
    await page.getByRole("link", { name: "mirror/k8s/component-011", exact: true }).click();
    await heading(page, "mirror/k8s/component-011");
    assert.equal(await page.title(), "mirror/k8s/component-011 · Outrigger");
    await waitFor(page, "scrollY === 0 && document.activeElement.id === 'main'");
    await page.getByRole("link", { name: "latest", exact: true }).first().click();
    await heading(page, "mirror/k8s/component-011:latest");
    await page.goBack();
    await heading(page, "mirror/k8s/component-011");
    await page.goBack();
    await heading(page, "Repositories");
    await waitFor(page, "scrollY === 400");
    await page.goForward();
    await heading(page, "mirror/k8s/component-011");
    await page.getByRole("link", { name: "Members" }).click();
    await heading(page, "This registry");
    assert.equal(await page.locator("#nav [aria-current]").textContent(), "Members");
    assert.equal(loads(), 1);
  });

  it("filters and orders at once, with the search kept", async (t) => {
    const server = await startPage(t);
    const { page, loads } = await visit(server, browser, "/?q=library");
    assert.equal(await page.locator(".apply").first().isVisible(), false);
    await page.getByLabel("System").selectOption("linux");
    await waitFor(page, "location.search === '?q=library&os=linux'");
    await found(page, "2 repositories");
    await page.getByLabel("Signed").check();
    await found(page, "1 repository");
    assert.deepEqual(await rows(page), ["library/node"]);
    await page.goto(`${server.origin}/r/library/node`);
    await page.getByLabel("Tags that begin with").fill("20");
    await page.keyboard.press("Enter");
    await found(page, "1 tag");
    assert.deepEqual(await rows(page), ["20-alpine"]);
    assert.equal(loads(), 2);
  });

  it("is used by keyboard alone", async (t) => {
    const server = await startPage(t);
    const { page, loads } = await visit(server, browser, "/");
    const order: string[] = [];
    for (let step = 0; step < 11; step++) {
      await page.keyboard.press("Tab");
      order.push(await focused(page));
    }
    assert.deepEqual(order.slice(0, 6), ["Skip to the content", "Outrigger", "q", "Search", "Repositories", "Members"]);
    assert.match(order[6] ?? "", /^Newest first/);
    assert.deepEqual(order.slice(9), ["signed", "library/node"]);
    const outline =
      "getComputedStyle(document.activeElement).outlineStyle + parseFloat(getComputedStyle(document.activeElement).outlineWidth)";
    assert.equal(await page.evaluate(outline), "solid2");

    await page.keyboard.press("/");
    await page.keyboard.type("library");
    await page.keyboard.press("Enter");
    await heading(page, "Search: library");
    await found(page, "2 repositories");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    assert.equal(await focused(page), "library/node");
    await page.keyboard.press("ArrowUp");
    assert.equal(await focused(page), "library/alpine");
    await page.keyboard.press("ArrowUp");
    assert.equal(await focused(page), "q");
    await page.keyboard.press("Escape");
    await heading(page, "Repositories");
    assert.equal(await page.locator("#q").inputValue(), "");
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate("document.activeElement === document.body"), true);
    assert.equal(loads(), 1);

    // A slash is a slash where somebody writes.
    await page.keyboard.press("/");
    await page.keyboard.type("team-payments/ledger");
    assert.equal(await page.locator("#q").inputValue(), "team-payments/ledger");
    await heading(page, "Search: team-payments/ledger");

    await page.goto(`${server.origin}/r/library/node:22-bookworm`);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await waitFor(page, "document.activeElement.id === 'main'");
  });

  it("leaves to the browser what is the browser's: other buttons, downloads, what is no page", async (t) => {
    const server = await startPage(t);
    const visiting = await visit(server, browser, "/r/library/node:22-bookworm");
    const { page } = visiting;
    // The slash is the search's only without a modifier.
    await page.keyboard.press("Control+/");
    assert.notEqual(await focused(page), "q");
    // An address that answers no page any more is loaded as a document, and says what it says.
    visiting.allowed = /status of (?:401|503)/;
    server.authenticator = { asksAtBase: true, authenticate: () => ({ challenge: 'Bearer realm="elsewhere"' }) };
    await page.getByRole("link", { name: "Repositories" }).first().click();
    await heading(page, "Log in");
    assert.equal(visiting.loads(), 2);
  });

  it("copies the pull command, also where there is no clipboard to write to", async (t) => {
    const server = await startPage(t);
    const path = "/r/library/alpine:3.20";
    const wanted = `docker pull ${new URL(server.origin).host}/library/alpine:3.20`;
    const { page } = await visit(server, browser, path, { permissions: ["clipboard-read", "clipboard-write"] });
    const button = page.getByRole("button", { name: "Copy the command that pulls this tag" });
    await button.click();
    await waitFor(page, "document.querySelector('.copy').textContent === 'Copied'");
    assert.equal(await page.evaluate("navigator.clipboard.readText()"), wanted);

    await page.goto(server.origin + path);
    await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })");
    await button.click();
    await waitFor(page, "document.querySelector('.copy').textContent !== 'Copy'");
    assert.equal(await page.evaluate("getSelection().toString()"), wanted);
  });

  it("shows an image's configuration as text, or says why it cannot", async (t) => {
    const server = await startPage(t);
    const visiting = await visit(server, browser, "/r/library/alpine:3.20");
    const { page } = visiting;
    const config = {
      author: "A. Nonymous",
      config: {
        Cmd: ["/bin/sh", "-c", "echo <b>"],
        Env: ["PATH=/bin", "X=1"],
        Labels: { "org.example.<img src=x onerror=alert(1)>": "<script>alert(1)</script>", number: 7 },
      },
    };
    await page.route("**/v2/library/alpine/blobs/**", (route) => route.fulfill({ json: config }));
    await page.getByRole("group").locator(".config summary").first().click();
    await waitFor(page, "document.querySelectorAll('.config dt').length > 0");
    const shown = await page.evaluate(
      "[...document.querySelectorAll('.config dl > div')].map((each) => [...each.children].map((part) => part.textContent))",
    );
    assert.deepEqual(shown, [
      ["Command", '"/bin/sh" "-c" "echo <b>"'],
      ["Author", "A. Nonymous"],
      ["Environment", "PATH=/bin\nX=1"],
      ["org.example.<img src=x onerror=alert(1)>", "<script>alert(1)</script>"],
    ]);
    assert.equal(await page.locator(".config script, .config img, .config b").count(), 0);

    await page.goto(`${server.origin}/r/library/node:20-alpine`);
    visiting.allowed = /status of 503/;
    await page.locator(".config summary").first().click();
    await waitFor(
      page,
      "/cannot be shown here .the registry answered 503.: download it by its link/.test(document.querySelector('.config').textContent)",
    );
  });
});
