/** What everybody needs to read and use the page, in both colour schemes, on wide and narrow screens. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { type Browser, startBrowser } from "../helpers/browser.ts";
import { missing } from "../helpers/tools.ts";
import { startPage } from "./page-server.ts";
import { visit, waitFor } from "./visit.ts";
import { digestFor, layer, platform, smallWorld, step, type WorldImage } from "./world.ts";

const audit = readFileSync(new URL("./audit.js", import.meta.url), "utf8");

/** As long as names, tags and what stands beside them may be, with nowhere to break. */
const LONG_NAME = `${"n".repeat(90)}/${"m".repeat(90)}`;
const LONG_TAG = "t".repeat(128);

function longWorld(): WorldImage[] {
  const long = "W".repeat(400);
  const layers = [layer("long", 9_000_000_000_000), layer("long2", 3)];
  return [
    ...smallWorld(),
    {
      repository: LONG_NAME,
      tag: LONG_TAG,
      fields: {
        TaggedTimestamp: "2026-11-29T11:59:59Z",
        IsSigned: true,
        Title: long,
        Description: long,
        Source: `https://example.com/${long}`,
        DownloadCount: 1_234_567_890,
        Manifests: [
          platform("long", "o".repeat(60), "a".repeat(60), layers, [step(long, layers[0]), step(long, layers[1])]),
        ],
        Referrers: [
          {
            ArtifactType: `application/${long}`,
            Digest: digestFor("x"),
            Size: 1,
            Annotations: [{ Key: long, Value: long }],
          },
        ],
      },
    },
  ];
}

/** Of an image, as its details show it. */
const CONFIG = { config: { Env: [`A=${"e".repeat(500)}`], Labels: { ["k".repeat(200)]: "v".repeat(300), "": "x" } } };

const PAGES = [
  "/",
  "/?q=node&arch=arm64",
  "/?q=library/node:",
  "/?q=nothing-like-it",
  "/?page=99",
  "/r/library/node",
  "/r/library/node:22-bookworm",
  "/r/charts/ingress:4.11.3",
  `/r/${LONG_NAME}`,
  `/r/${LONG_NAME}:${LONG_TAG}`,
  "/members",
  "/r/no/such",
];

describe("the page, to whoever looks at it", { skip: missing("chromium", "playwright-core") }, () => {
  let browser: Browser;
  before(async () => {
    browser = await startBrowser();
  });
  after(() => browser?.close());

  for (const [width, colorScheme] of [
    [1280, "light"],
    [1280, "dark"],
    [360, "light"],
    [320, "dark"],
  ] as const) {
    it(`has what it needs at ${width} px, ${colorScheme}`, async (t) => {
      const server = await startPage(t);
      server.search.images = longWorld();
      server.search.errors = [{ message: "connection refused", extensions: { member: "west" } }];
      server.overview = () => ({
        members: [
          {
            id: "east",
            isSelf: true,
            isReachable: true,
            version: "0.1.0",
            stores: [
              { kind: "blob", ready: true, driver: "io.example.files", id: digestFor("a") },
              { kind: "meta", ready: false, prefix: "p".repeat(90), reason: "BACKEND_DOWN", problem: "x".repeat(200) },
            ],
          },
          { id: "w".repeat(60), isSelf: false, isReachable: false, problem: "connection refused" },
        ],
      });
      const visiting = await visit(server, browser, "/", { viewport: { width, height: 700 }, colorScheme });
      visiting.allowed = /status of 404/;
      const { page } = visiting;
      await page.route("**/v2/**", (route) => route.fulfill({ json: CONFIG }));
      const faults: string[] = [];
      for (const path of PAGES) {
        await page.goto(server.origin + path);
        await page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true");
        await waitFor(page, "!document.querySelector('.config details')?.textContent.includes('Loading')");
        for (const fault of await page.evaluate<string[]>(audit)) faults.push(`${path}: ${fault}`);
      }
      assert.deepEqual(faults, []);
    });
  }

  it("is found wanting where it is", async (t) => {
    const server = await startPage(t);
    const { page } = await visit(server, browser, "/");
    await page.evaluate(`(() => {
      document.querySelector("h1").style.color = "#bbb";
      document.querySelector("label[for=q]").remove();
      document.querySelector("main").insertAdjacentHTML("beforeend", "<h4 id=q>x</h4><img src=/assets/icon.svg><div>" + "w".repeat(900) + "</div>");
    })()`);
    const faults = (await page.evaluate<string[]>(audit)).join("\n");
    for (const fault of [
      "a contrast of",
      "it has no name",
      "the id q is there twice",
      "a level of headings",
      "no alternative",
      "sideways",
    ])
      assert.ok(faults.includes(fault), `${fault} in ${faults}`);
  });
});
