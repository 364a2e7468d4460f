/** report.html: one file without anything from elsewhere; what failed is laid open, call by call. */
import type { CallRecord, MessageRecord } from "../recorder.ts";
import type { GroupResult, RunResult, State, TestResult } from "../results.ts";
import { escapeXml } from "./escape.ts";

/** By rule: its sentence in the .proto files. */
export type Sentences = ReadonlyMap<string, string>;

const words: Readonly<Record<State, string>> = {
  passed: "passed",
  failed: "failed",
  "not-claimed": "not claimed",
  "not-run": "not run",
};

export function htmlOf(result: RunResult, sentences: Sentences): string {
  const title = result.driver === undefined ? "a driver" : `${result.driver.name} ${result.driver.version}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeXml(title)}: Outrigger conformance</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeXml(title)}</h1>
${summary(result)}
${profiles(result)}
${result.groups.map((group) => section(group, sentences)).join("\n")}
${result.notes.length === 0 ? "" : `<h2>Beside the tests</h2><ul>${result.notes.map((note) => `<li>${escapeXml(note)}</li>`).join("")}</ul>`}
</body>
</html>
`;
}

function summary(result: RunResult): string {
  const stores = (result.driver?.stores ?? []).map(
    ({ kind, id, capabilities }) => `${kind} store ${id} (${capabilities.join(", ") || "no capabilities"})`,
  );
  const rows: [string, string][] = [
    [
      "result",
      `${result.passed} passed, ${result.failed} failed, ${result.notClaimed} not claimed, ${result.notRun} not run`,
    ],
    ["address", result.addresses.join(", ")],
    ["APIs", result.driver?.apis.join(", ") ?? "the driver did not describe itself"],
    ["stores", stores.join("; ") || "none"],
    ["run", `${result.startedAt}, ${(result.tookMs / 1000).toFixed(1)} s, kit ${result.kit}`],
    ["again", `--seed ${result.seed}${result.repeat > 1 ? ` --repeat ${result.repeat}` : ""}`],
  ];
  if (result.filtered) rows.push(["note", "tests were left out of this run: it proves no profile"]);
  return `<table class="facts">${rows.map(([name, value]) => `<tr><th>${escapeXml(name)}</th><td>${escapeXml(value)}</td></tr>`).join("")}</table>`;
}

function profiles(result: RunResult): string {
  const items = Object.entries(result.profiles).map(
    ([name, state]) => `<li class="${state}"><b>${escapeXml(name)}</b> ${escapeXml(words[state])}</li>`,
  );
  return `<ul class="profiles">${items.join("")}</ul>`;
}

function section(group: GroupResult, sentences: Sentences): string {
  const error = group.error === undefined ? "" : `<p class="failed">${escapeXml(group.error)}</p>`;
  const tests = group.tests.map((test) => testItem(test, sentences)).join("\n");
  return `<h2>${escapeXml(group.name)}</h2>\n<p>${escapeXml(group.summary)}</p>\n${error}\n${tests}`;
}

function testItem(test: TestResult, sentences: Sentences): string {
  const { state, failure } = test;
  const why = test.why === undefined ? "" : `: ${test.why}`;
  const sentence = sentences.get(test.id);
  const repeated = test.runs > 1 ? `, ${test.runs} times` : "";
  const head = `<summary><span class="state ${state}">${escapeXml(words[state])}</span> <code>${escapeXml(test.test)}</code> ${escapeXml(test.title)} <small>${test.runs === 0 ? escapeXml(why.slice(2)) : `${test.tookMs} ms${repeated}`}</small></summary>`;
  const body = [
    sentence === undefined ? "" : `<blockquote>${escapeXml(sentence)}</blockquote>`,
    ...test.notes.map((note) => `<p>${escapeXml(note)}</p>`),
    failure === undefined ? "" : `<pre class="failed">${escapeXml(failure.message)}</pre>`,
    failure === undefined ? "" : callList(failure.calls, failure.omittedCalls),
    failure?.stack === undefined
      ? ""
      : `<details><summary>where in the kit</summary><pre>${escapeXml(failure.stack)}</pre></details>`,
  ];
  return `<details class="test"${failure === undefined ? "" : " open"}>${head}${body.join("")}</details>`;
}

function callList(calls: readonly CallRecord[], omitted: number): string {
  if (calls.length === 0) return "<p>It made no call.</p>";
  const left = omitted === 0 ? "" : `<p>${omitted} calls in the middle are left out.</p>`;
  return `${left}<ol class="calls">${calls.map(callItem).join("")}</ol>`;
}

function callItem(call: CallRecord): string {
  const metadata = Object.entries(call.metadata).map(([name, value]) => `${name}: ${value}`);
  const failed = call.outcome !== "OK";
  const outcome = call.outcome ?? "was still open";
  const took = call.tookMs === undefined ? "" : `, ${call.tookMs} ms`;
  return `<li><code>${escapeXml(call.method)}</code> at ${call.atMs} ms${took}: <span class="${failed ? "failed" : ""}">${escapeXml(outcome)}</span>
<div class="metadata">${escapeXml(metadata.join("; ") || "no metadata")}</div>
<table>${call.messages.map(messageRow).join("")}</table>${call.omitted === 0 ? "" : `<p>${call.omitted} messages in the middle are left out.</p>`}</li>`;
}

const arrows = { sent: "→", received: "←", note: "·" } as const;

function messageRow({ atMs, direction, sizeBytes, summary }: MessageRecord): string {
  const size = direction === "note" ? "" : `${sizeBytes} B`;
  return `<tr><td>${atMs} ms</td><td>${arrows[direction]}</td><td>${size}</td><td><code>${escapeXml(summary)}</code></td></tr>`;
}

const STYLE = `
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
code,pre{font:13px/1.4 ui-monospace,monospace;overflow-wrap:anywhere;white-space:pre-wrap}
table{border-collapse:collapse}td,th{padding:.1rem .8rem .1rem 0;text-align:left;vertical-align:top}
.profiles{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.5rem}
.profiles li{border:1px solid;border-radius:.4rem;padding:.2rem .7rem}
.state{display:inline-block;min-width:6.5rem}
.passed{color:#1a7f37}.failed{color:#cf222e}.not-claimed,.not-run{color:#777}
.test{margin:.15rem 0}.test[open]{margin:.8rem 0}
blockquote{margin:.4rem 0 .4rem 1rem;opacity:.8}.calls>li{margin:.5rem 0}.metadata{font-size:12px;opacity:.7}
`;
