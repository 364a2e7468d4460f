/** A guide for driver authors, followed to its end: they need the network's package registries, as `npm ci` does. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { it, type TestContext } from "node:test";
import { Scope } from "../helpers/processes.ts";
import { repository } from "../helpers/tools.ts";
import { follow } from "./guide.ts";

/** Defines the test of docs/guides/write-a-driver/<name>.md. @param profiles that its kit must have passed */
export function endsInGreenKit(name: string, profiles: readonly string[]): void {
  const guide = `docs/guides/write-a-driver/${name}.md`;

  it(`${guide} ends in a green kit`, { timeout: 1_500_000 }, async (t: TestContext) => {
    const scope = new Scope();
    t.after(scope.close);
    const made = await follow(scope, guide, { say: (line) => t.diagnostic(line) });
    const [report, another] = reportsIn(made);
    assert.ok(report !== undefined && another === undefined, "one folder has a report");
    const { failed, profiles: told } = JSON.parse(readFileSync(report, "utf8"));
    assert.equal(failed, 0);
    for (const profile of profiles) assert.equal(told[profile], "passed", `${profile} of ${JSON.stringify(told)}`);
  });

  it(`${guide} says on its first screen how long it takes and what one gets`, () => {
    const screen = readFileSync(join(repository, guide), "utf8").split("\n").slice(0, 12).join("\n");
    assert.match(screen, /\*\*About \d+ minutes\.\*\* You get /);
  });
}

/** report/result.json of the folder that the guide made, or of the one it began in. */
function reportsIn(made: string): string[] {
  const places = [made, ...readdirSync(made, { withFileTypes: true }).map((entry) => join(made, entry.name))];
  return places.map((place) => join(place, "report/result.json")).filter((path) => existsSync(path));
}
