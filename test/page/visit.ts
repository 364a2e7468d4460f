/** A browser that visits the page: what went wrong in it is told when the visit ends. */
import assert from "node:assert/strict";
import { type Browser, type ContextOptions, type Page, WAIT_MS } from "../helpers/browser.ts";
import { until } from "../helpers/outrigger.ts";
import type { PageServer } from "./page-server.ts";

export interface Visit {
  readonly page: Page;
  /** Documents that the browser loaded, the first one included. */
  readonly loads: () => number;
  /** Lines of the console that are no fault here: a 404 page is one to the browser. */
  allowed: RegExp | undefined;
}

export async function visit(
  server: Pick<PageServer, "origin" | "closers">,
  browser: Browser,
  path: string,
  options: ContextOptions = {},
): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  const faults: string[] = [];
  let loads = 0;
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(message.text());
  });
  page.on("request", (request) => {
    if (request.isNavigationRequest()) loads += 1;
  });
  const visiting: Visit = { page, loads: () => loads, allowed: undefined };
  server.closers.push(async () => {
    await context.close();
    const { allowed } = visiting;
    assert.deepEqual(
      faults.filter((fault) => !allowed?.test(fault)),
      [],
    );
  });
  await page.goto(server.origin + path);
  return visiting;
}

/** The page's heading says it within `WAIT_MS`. */
export function heading(page: Page, words: string): Promise<void> {
  return waitFor(page, `document.querySelector("h1")?.textContent === ${JSON.stringify(words)}`);
}

/**
 * @param holds an expression that runs in the browser. Asked again and again from outside: the page's own policy forbids
 * what playwright would wait with.
 */
export function waitFor(page: Page, holds: string): Promise<void> {
  const look = () => page.evaluate<boolean>(holds).catch(onTheWay);
  return until(look, WAIT_MS, () => `it never holds in the browser: ${holds}`);
}

/** Between two documents there is nothing to look at. */
function onTheWay(error: unknown): false {
  if (/context was destroyed|navigating|Cannot find context/i.test(String(error))) return false;
  throw error;
}

/** What has the focus: its text, else its name. */
export function focused(page: Page): Promise<string> {
  return page.evaluate(`(() => {
    const at = document.activeElement;
    return at.textContent.trim().slice(0, 60) || at.id || at.name || at.tagName;
  })()`);
}
