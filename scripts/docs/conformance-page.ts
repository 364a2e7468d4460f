/** docs/reference/conformance.md: what the kit proves, by group and rule. */
import type { Group, Profile, Requirement, Test } from "../../conformance/contract.ts";
import { groups } from "../../conformance/groups/index.ts";
import { provenElsewhere } from "../../conformance/proven-elsewhere.ts";
import { sentences } from "../../conformance/rules.ts";
import { ruleOf } from "../../conformance/selection.ts";
import { generated, markdownTable } from "./markdown.ts";

const profiles: Readonly<Record<Profile, string>> = {
  handshake: "who the driver is, and what every call carries; of every driver",
  process: "the process contract, as far as it can be seen; needs `--start`",
  meta: "the meta store",
  blob: "the blob store, uploads included",
  resume: "what survives `kill -9`, for what claims DURABLE; needs `--start`",
  replicas: "two processes on one backend, for what claims REPLICAS; needs a second address",
  "fast-paths": "SIGN_URL and LOCAL_FILE, for what claims them; the latter needs `--local-root`",
};

export function conformancePage(): string {
  const words = sentences();
  const count = groups.reduce((sum, group) => sum + group.tests.length, 0);
  return `${generated("conformance/groups/**, conformance/proven-elsewhere.ts and the comments of proto/outrigger/**/*.proto")}
# Conformance
${INTRODUCTION}

${count} tests prove ${words.size} rules.

## Profiles
${markdownTable(
  ["profile", "what", "groups"],
  (Object.keys(profiles) as Profile[]).map((profile) => [
    profile,
    profiles[profile],
    groups
      .filter((group) => group.profile === profile)
      .map(({ name }) => `\`${name}\``)
      .join(", "),
  ]),
)}

${STATES}

## What the start command must accept
${START}

## Reports
${REPORTS}

## What cannot be seen from outside
The kit proves the rest of these rules. These parts are proven by tests of this repository for its own SDK and drivers; an
author who writes without that SDK has to see to them.

${markdownTable(
  ["rule", "part", "why the kit cannot", "proven by"],
  provenElsewhere.map(({ id, what, why, file, test }) => [
    id,
    what,
    why,
    `\`${file}\`: ${test.replace(/^(?:\[[^\]]+\] )+/, "")}`,
  ]),
)}

${groups.map((group) => section(group, words)).join("\n")}`;
}

function section(group: Group, words: ReadonlyMap<string, string>): string {
  const ids = [...new Set(group.tests.map(ruleOf))];
  const rules = ids.map((id) => {
    const tests = group.tests.filter((test) => ruleOf(test) === id);
    return `- **${id}** ${words.get(id) ?? ""}\n${tests.map((test) => `  - ${item(test)}`).join("\n")}`;
  });
  const needs = needed(group.requires);
  return `## Group \`${group.name}\`
${group.summary}${needs === "" ? "" : ` Only ${needs}.`}

${rules.join("\n")}
`;
}

function item(test: Test): string {
  const needs = needed(test.requires ?? {});
  const own = test.id.includes("/") ? `\`${test.id}\`: ` : "";
  return `${own}${test.title}${needs === "" ? "" : ` (only ${needs})`}`;
}

/** In words. */
function needed({ store, capability, lacks, start, replicas, localRoot, slow }: Requirement): string {
  return [
    store === undefined ? "" : `with a ${store} store`,
    capability === undefined ? "" : `where ${capability} is claimed`,
    lacks === undefined ? "" : `where ${lacks} is not claimed`,
    start ? "with `--start`" : "",
    replicas ? "with a second address" : "",
    localRoot ? "with `--local-root`" : "",
    slow ? "with `--slow`" : "",
  ]
    .filter((part) => part !== "")
    .join(", ");
}

const INTRODUCTION = `\`outrigger conformance ADDR\` tests any driver over the wire, in whatever language it is written. Nothing of this package is
loaded into it. Each test proves one rule, \`MUST [id]\` of the .proto files; a rule without a test fails our own CI.

\`\`\`sh
outrigger conformance unix:///run/driver.sock                       # what is running
outrigger conformance --start "my-driver --root /tmp/data"          # started, killed and restarted by the kit
outrigger conformance --start CMD --start CMD                       # with a replica on the same backend
outrigger conformance ADDR --only blob.append --repeat 20 --seed 7  # some rules, again and again
\`\`\`

Every key that a run writes begins with \`kit/\`, every upload with \`kit-\`; both are taken away again. Run it against a
store of its own all the same.`;

const STATES = `A test is **passed**, **failed**, **not claimed** (Describe does not claim what it tests: never counted as a pass) or **not
run** (claimed, and the command line lacks what it takes: it says what to give). A profile is passed when something of it
passed, nothing failed and nothing that is claimed was not run; tests that wait for a minute or more run only with
\`--slow\`, and a profile is judged without them. Exit code 0: no test failed, and at least one passed.`;

const START = `With \`--start COMMAND\` the kit runs the command by \`sh\` in a process group of its own. It must

- listen where \`OUTRIGGER_LISTEN\` says (\`ADDR\` is the same); without an address the kit chooses a unix socket;
- take further flags at its end (\`--listen\`, \`--read-only\`, \`--init\`): a script ends with \`exec driver "$@"\`;
- be the driver itself or hand signals on, and end with the driver's exit code;
- serve the same stores at each start, ready (\`--init\` done) before the first.

\`--kill COMMAND\` kills it otherwise than by SIGKILL to that group (\`docker kill …\`); it gets \`ADDR\` and \`PID\`. The kit
believes neither command: it goes on only once nobody listened at the address, and once the driver answers again.`;

const REPORTS = `\`--report DIR\` writes \`result.json\` (everything), \`junit.xml\` (for CI), \`report.html\` (one file; the calls of what failed are
laid open) and \`badge.json\`, a [shields.io endpoint](https://shields.io/badges/endpoint-badge): the profiles that were
passed, the driver's and the APIs' versions, the date. A run with \`--only\` or \`--without\` proves no profile.`;
