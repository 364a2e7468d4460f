/** Debian's chromium, driven by playwright-core: neither is among the package's dependencies (tool-versions.ts). */
import { tool } from "./tools.ts";

/** What the tests use of playwright's types, which are not there when the tests are compiled. */
export interface Browser {
  newContext(options?: ContextOptions): Promise<BrowserContext>;
  close(): Promise<void>;
}

export interface ContextOptions {
  readonly viewport?: { readonly width: number; readonly height: number };
  readonly colorScheme?: "light" | "dark";
  readonly javaScriptEnabled?: boolean;
  readonly httpCredentials?: { readonly username: string; readonly password: string };
  readonly permissions?: readonly string[];
}

export interface BrowserContext {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

export interface Page {
  readonly keyboard: {
    press(key: string): Promise<void>;
    type(text: string, options?: { delay?: number }): Promise<void>;
  };
  goto(url: string): Promise<{ status(): number } | null>;
  goBack(): Promise<unknown>;
  goForward(): Promise<unknown>;
  url(): string;
  title(): Promise<string>;
  content(): Promise<string>;
  locator(selector: string): Locator;
  getByRole(role: string, options?: { readonly name?: string | RegExp; readonly exact?: boolean }): Locator;
  getByLabel(label: string | RegExp): Locator;
  /** An expression that runs in the browser: it sees nothing of the test's. */
  evaluate<Result>(expression: string): Promise<Result>;
  waitForURL(url: string | RegExp | ((url: URL) => boolean)): Promise<void>;
  screenshot(options: { readonly path: string; readonly fullPage?: boolean }): Promise<Buffer>;
  setViewportSize(size: { readonly width: number; readonly height: number }): Promise<void>;
  setDefaultTimeout(ms: number): void;
  route(url: string, answer: (route: { fulfill(reply: object): Promise<void> }) => Promise<void>): Promise<void>;
  on(event: "pageerror", listener: (error: Error) => void): void;
  on(event: "console", listener: (message: { type(): string; text(): string }) => void): void;
  on(event: "request", listener: (request: { url(): string; isNavigationRequest(): boolean }) => void): void;
}

export interface Locator {
  first(): Locator;
  nth(index: number): Locator;
  locator(selector: string): Locator;
  click(options?: { readonly modifiers?: readonly string[] }): Promise<void>;
  fill(value: string): Promise<void>;
  focus(): Promise<void>;
  check(): Promise<void>;
  selectOption(value: string): Promise<unknown>;
  count(): Promise<number>;
  isVisible(): Promise<boolean>;
  inputValue(): Promise<string>;
  /** Of an element, which always has some. */
  textContent(): Promise<string>;
  allInnerTexts(): Promise<string[]>;
  getAttribute(name: string): Promise<string | null>;
  waitFor(options?: { readonly state?: "visible" | "hidden" | "attached" }): Promise<void>;
}

/** A machine under load is slow, never wrong. */
export const WAIT_MS = 30_000;

export async function startBrowser(): Promise<Browser> {
  const library = (await import(tool("playwright-core"))) as {
    readonly chromium: { launch(options: object): Promise<Browser> };
  };
  return library.chromium.launch({
    executablePath: tool("chromium"),
    // Everything it loads is this test's own; as root, and in containers, chromium's sandbox cannot be made.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
    timeout: 60_000,
  });
}
