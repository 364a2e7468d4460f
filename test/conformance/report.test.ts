/** A run's files. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { badgeOf } from "../../conformance/report/badge.ts";
import { escapeXml } from "../../conformance/report/escape.ts";
import { htmlOf } from "../../conformance/report/html.ts";
import { junitOf } from "../../conformance/report/junit.ts";
import { writeReports } from "../../conformance/report/write.ts";
import { type GroupResult, profilesOf, type RunResult, type TestResult } from "../../conformance/results.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";

const testResult = (test: string, more: Partial<TestResult> = {}): TestResult => ({
  id: test.split("/")[0] ?? "",
  test,
  title: `title of ${test}`,
  state: "passed",
  tookMs: 1234,
  runs: 1,
  notes: [],
  ...more,
});

const failed = testResult("blob.read.03", {
  state: "failed",
  failure: {
    message: 'the driver said <script>alert("x")</script> \u0000',
    run: 1,
    seed: 42,
    omittedCalls: 2,
    calls: [
      {
        method: "blob.Read",
        address: "unix:///d.sock",
        atMs: 1,
        tookMs: 2,
        metadata: { "outrigger-store": "an-id" },
        messages: [{ atMs: 1, direction: "sent", sizeBytes: 17, summary: '{"key":"<a>"}' }],
        omitted: 0,
        outcome: "NOT_FOUND / KEY_NOT_FOUND: no",
      },
    ],
  },
});

function runOf(groups: readonly GroupResult[], more: Partial<RunResult> = {}): RunResult {
  const states = groups.flatMap((group) => group.tests.map(({ state }) => state));
  const count = (wanted: string) => states.filter((state) => state === wanted).length;
  return {
    format: 1,
    kit: "0.1.0",
    startedAt: "2026-11-21T01:02:03.000Z",
    tookMs: 5000,
    addresses: ["unix:///d.sock"],
    seed: 42,
    repeat: 1,
    filtered: false,
    driver: { name: "org.example.driver", version: "1.2.3", apis: ["outrigger.blob 1.0"], stores: [] },
    groups,
    profiles: profilesOf(groups),
    passed: count("passed"),
    failed: count("failed") + groups.filter(({ error }) => error !== undefined).length,
    notClaimed: count("not-claimed"),
    notRun: count("not-run"),
    notes: [],
    ...more,
  };
}

const group = (name: string, profile: GroupResult["profile"], tests: readonly TestResult[]): GroupResult => ({
  name,
  profile,
  summary: "Summary.",
  tests,
});

describe("profiles", () => {
  it("are passed only when all that is claimed was run and passed", () => {
    const of = (...tests: TestResult[]) => profilesOf([group("g", "blob", tests)])["blob"];
    const passed = testResult("a");
    const state = (state: TestResult["state"]) => testResult("b", { state });
    assert.equal(of(passed), "passed");
    assert.equal(of(passed, state("not-claimed")), "passed");
    assert.equal(of(state("not-claimed")), "not-claimed");
    assert.equal(of(passed, state("not-run")), "not-run");
    assert.equal(of(passed, state("not-run"), state("failed")), "failed");
    assert.equal(of(passed, testResult("c", { state: "not-run", slow: true })), "passed");
    assert.equal(profilesOf([{ ...group("g", "blob", []), error: "it cannot begin" }])["blob"], "failed");
  });
});

describe("badge.json", () => {
  it("is what shields.io takes, with profiles, versions and date", () => {
    const groups = [
      group("meta", "meta", [testResult("a")]),
      group("resume", "resume", [testResult("b", { state: "not-run" })]),
      group("blob", "blob", [testResult("c")]),
    ];
    const badge = badgeOf(runOf(groups));
    // It refuses keys that it does not know.
    assert.deepEqual(Object.keys(badge), ["schemaVersion", "label", "message", "color"]);
    assert.equal(badge.message, "meta, blob | org.example.driver 1.2.3 | blob 1.0 | 2026-11-21");
    assert.equal(badge.color, "brightgreen");
  });

  it("is no praise for a failure, for nothing, or for a part", () => {
    assert.equal(badgeOf(runOf([group("blob", "blob", [failed])])).color, "red");
    assert.equal(badgeOf(runOf([group("blob", "blob", [testResult("a", { state: "not-run" })])])).color, "lightgrey");
    assert.equal(badgeOf(runOf([group("blob", "blob", [testResult("a")])], { filtered: true })).color, "lightgrey");
  });
});

describe("junit.xml", () => {
  it("counts, and escapes what a driver said", () => {
    const broken = { ...group("meta", "meta", []), error: "it cannot begin" };
    const xml = junitOf(
      runOf([group("blob", "blob", [failed, testResult("b", { state: "not-claimed", why: "no X" })]), broken]),
    );
    assert.match(xml, /<testsuite name="blob" tests="2" failures="1" errors="0" skipped="1"/);
    assert.match(xml, /<testsuite name="meta" tests="1" failures="1"/);
    assert.match(xml, /<skipped message="not claimed: no X"\/>/);
    assert.match(xml, /time="1\.234"/);
    assert.ok(!xml.includes("<script>") && !xml.includes("\u0000"));
    assert.equal(xml.match(/<testcase/g)?.length, xml.match(/<\/testcase>|<testcase [^>]*\/>/g)?.length);
  });
});

describe("report.html", () => {
  it("lays open what failed, call by call, and nothing of the driver's as markup", () => {
    const html = htmlOf(
      runOf([group("blob", "blob", [failed, testResult("blob.put.01")])]),
      new Map([["blob.read.03", "End with OK."]]),
    );
    assert.match(html, /<details class="test" open>.*blob\.read\.03/);
    assert.match(html, /<details class="test"><summary>.*blob\.put\.01/);
    assert.match(html, /End with OK\./);
    assert.match(html, /NOT_FOUND \/ KEY_NOT_FOUND/);
    assert.match(html, /17 B/);
    assert.doesNotMatch(html, /<script|<a>|src=|href=|https?:/);
  });
});

describe("the files", () => {
  it("are written whole, into a folder that is made", async (t) => {
    const scope = new Scope();
    t.after(scope.close);
    const folder = join(tempFolder(scope), "new", "report");
    const result = runOf([group("blob", "blob", [failed])]);
    const paths = await writeReports(folder, result);
    assert.deepEqual(readdirSync(folder).sort(), ["badge.json", "junit.xml", "report.html", "result.json"]);
    assert.equal(paths.length, 4);
    assert.deepEqual(JSON.parse(readFileSync(join(folder, "result.json"), "utf8")), JSON.parse(JSON.stringify(result)));
  });

  it("hold no character that XML forbids", () => {
    assert.equal(escapeXml("a\u0001b\ud800c😀<>&\"'"), "a\ufffdb\ufffdc😀&lt;&gt;&amp;&quot;&#39;");
  });
});
