/** junit.xml, as CI systems read it: a suite for each group, a case for each test. */
import type { GroupResult, RunResult, TestResult } from "../results.ts";
import { escapeXml } from "./escape.ts";

export function junitOf(result: RunResult): string {
  const suites = result.groups.map(suite);
  const total = result.passed + result.failed + result.notClaimed + result.notRun;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="outrigger conformance" tests="${total}" failures="${result.failed}" skipped="${result.notClaimed + result.notRun}" time="${seconds(result.tookMs)}">`,
    ...suites.flat(),
    "</testsuites>",
    "",
  ].join("\n");
}

function suite(group: GroupResult): string[] {
  const count = (...wanted: readonly string[]) => group.tests.filter(({ state }) => wanted.includes(state)).length;
  const broken = group.error === undefined ? 0 : 1;
  const tookMs = group.tests.reduce((sum, test) => sum + test.tookMs, 0);
  return [
    `  <testsuite name="${escapeXml(group.name)}" tests="${group.tests.length + broken}" failures="${count("failed") + broken}" errors="0" skipped="${count("not-claimed", "not-run")}" time="${seconds(tookMs)}">`,
    ...(group.error === undefined
      ? []
      : [
          `    <testcase classname="${escapeXml(group.name)}" name="the group begins" time="0">`,
          `      <failure message="${escapeXml(group.error)}"/>`,
          "    </testcase>",
        ]),
    ...group.tests.flatMap((test) => testCase(group, test)),
    "  </testsuite>",
  ];
}

function testCase(group: GroupResult, test: TestResult): string[] {
  const head = `    <testcase classname="${escapeXml(group.name)}" name="${escapeXml(`${test.test}: ${test.title}`)}" time="${seconds(test.tookMs)}"`;
  if (test.state === "passed") return [`${head}/>`];
  const body =
    test.failure === undefined
      ? `      <skipped message="${escapeXml(`${test.state.replace("-", " ")}: ${test.why ?? ""}`)}"/>`
      : `      <failure message="${escapeXml(test.failure.message)}">${escapeXml(test.failure.stack ?? test.failure.message)}</failure>`;
  return [`${head}>`, body, "    </testcase>"];
}

const seconds = (ms: number) => (ms / 1000).toFixed(3);
