/** --only and --without: by group, rule, the beginning of a rule, or one test. */
import type { Group, Test } from "./contract.ts";

/** The rule that a test proves: its id without the test's own name. */
export function ruleOf(test: Pick<Test, "id">): string {
  return test.id.split("/")[0] ?? test.id;
}

/** A name that selects nothing. Its message lists what there is. */
export class UnknownName extends Error {
  constructor(name: string, groups: readonly Group[]) {
    const rules = [...new Set(groups.flatMap((group) => group.tests.map(ruleOf)))].sort();
    super(
      `there is no group and no rule ${JSON.stringify(name)}: groups are ${groups.map((group) => group.name).join(", ")}; rules are ${rules.join(", ")}`,
    );
    this.name = "UnknownName";
  }
}

/** Whether `name` is the group, the test, its rule or the rule's beginning: "blob.read". */
function names(name: string, group: Group, test: Test): boolean {
  return name === group.name || name === test.id || ruleOf(test) === name || ruleOf(test).startsWith(`${name}.`);
}

/** The groups with the tests that are left. @throws UnknownName */
export function select(groups: readonly Group[], only: readonly string[], without: readonly string[]): Group[] {
  for (const name of [...only, ...without]) {
    if (!groups.some((group) => group.tests.some((test) => names(name, group, test))))
      throw new UnknownName(name, groups);
  }
  return groups
    .map((group) => ({
      ...group,
      tests: group.tests.filter(
        (test) =>
          (only.length === 0 || only.some((name) => names(name, group, test))) &&
          !without.some((name) => names(name, group, test)),
      ),
    }))
    .filter((group) => group.tests.length > 0);
}
