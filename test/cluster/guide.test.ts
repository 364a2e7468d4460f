/** docs/guides/cluster.md, run as it stands there, on ports that are free. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, it } from "node:test";
import { missingLine, stepsOf } from "../guides/guide.ts";
import { installed } from "../guides/installed.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { repository } from "../helpers/tools.ts";
import { freePort, hosts } from "./world.ts";

const GUIDE = "docs/guides/cluster.md";
const scope = new Scope();
after(scope.close);

it("from one registry to three, with the commands of the guide", async () => {
  const page = readFileSync(join(repository, GUIDE), "utf8");
  assert.match(page.split("\n")[1] ?? "", /shards, it does not replicate/);
  const folder = tempFolder(scope, "guide");
  const bin = installed(tempFolder(scope, "bin"));
  let script = "set -eo pipefail\n";
  const prints: string[] = [];
  for (const step of stepsOf(page)) {
    assert.equal(step.kind, "run");
    if (step.kind !== "run") continue;
    script += `${step.script}\n`;
    prints.push(...step.prints);
  }
  for (const host of Object.values(hosts))
    script = script.replaceAll(`${host}:5000`, `${host}:${await freePort(host)}`);
  // In the guide's own functions and scripts, which are given the host.
  const ports = Object.values(hosts).map((host) => `${host}) echo ${portOf(script, host)};;`);
  const given = `port() { case $1 in ${ports.join(" ")} esac; }\nexport -f port\n`;
  script = given + script.replaceAll("$2:5000", "$2:$(port $2)").replaceAll("$host:5000", "$host:$(port $host)");
  script = script.replaceAll("sh start.sh", "bash start.sh");
  const child = spawn("bash", ["-c", script], {
    cwd: folder,
    env: { ...process.env, PATH: `${bin}:${process.env["PATH"]}` },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  scope.defer(() => {
    // A process group of its own: all that the guide has started.
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  assert.equal(code, 0, output);
  assert.equal(missingLine(output, prints), undefined, output);
});

function portOf(script: string, host: string): string {
  return new RegExp(`${host.replaceAll(".", "\\.")}:(\\d+)`).exec(script)?.[1] ?? "";
}
