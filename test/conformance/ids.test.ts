/** Rules, tests and what is proven elsewhere, joined by id. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { groups } from "../../conformance/groups/index.ts";
import { provenElsewhere } from "../../conformance/proven-elsewhere.ts";
import { readRules, rulesOf } from "../../conformance/rules.ts";
import { ruleOf } from "../../conformance/selection.ts";
import { repository } from "../helpers/tools.ts";

const rules = readRules();
const tests = groups.flatMap((group) => group.tests);

describe("the kit's ids", () => {
  it("are read from the .proto files", () => {
    assert.ok(rules.length > 100, `${rules.length} rules found`);
    const read = rulesOf(
      "// MUST [a.b.01] One\n// and two.\n//\n// Prose.\n  // MUST [a.b.02] Three.\n  rpc X",
      "a.proto",
    );
    assert.deepEqual(
      read.map(({ id, sentence }) => [id, sentence]),
      [
        ["a.b.01", "One and two."],
        ["a.b.02", "Three."],
      ],
    );
  });

  it("leave no rule without a test", () => {
    const proven = new Set([...tests.map(ruleOf), ...provenElsewhere.map(({ id }) => id)]);
    assert.deepEqual(
      rules.map(({ id }) => id).filter((id) => !proven.has(id)),
      [],
    );
  });

  it("leave no test without a rule", () => {
    const known = new Set(rules.map(({ id }) => id));
    const named = [...tests.map(({ id }) => id), ...provenElsewhere.map(({ id }) => id)];
    assert.deepEqual(
      named.filter((id) => !known.has(id.split("/")[0] ?? "")),
      [],
    );
  });

  it("name each test once, and each group", () => {
    const seen = new Set<string>();
    const names = [...tests.map(({ id }) => id), ...groups.map(({ name }) => name)];
    assert.deepEqual(
      names.filter((name) => seen.has(name) || !seen.add(name)),
      [],
    );
    assert.deepEqual(
      tests.map(({ id }) => id).filter((id) => !/^[a-z]+\.[a-z]+\.\d\d(?:\/[a-z0-9]+(?:-[a-z0-9]+)*)?$/.test(id)),
      [],
    );
  });

  it("are proven elsewhere only by tests that are there", () => {
    const absent = provenElsewhere.filter(({ file, test }) => {
      const path = join(repository, file);
      return !existsSync(path) || !readFileSync(path, "utf8").includes(`"${test}`);
    });
    assert.deepEqual(absent, []);
  });
});
