/** The runner of guides itself: what it takes for a step, and that it notices what is wrong. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { after, describe, it } from "node:test";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { repository } from "../helpers/tools.ts";
import { follow, missingLine, stepsOf } from "./guide.ts";

const page = [
  "# A guide",
  "```sh",
  "mkdir made && cd made",
  "export WORD=hello",
  "```",
  "```text note.txt",
  "in made",
  "```",
  "<!-- not run: it would take a week -->",
  "```sh",
  "false",
  "```",
  "```sh",
  'cat note.txt && echo "$WORD 17 times" && sleep 60 &',
  "wait -n || true; cat note.txt; echo $WORD 17 times",
  "```",
  "```text",
  "in made",
  "hello … times",
  "```",
  "```yaml",
  "only: to read",
  "```",
].join("\n");

describe("following a guide", () => {
  const scope = new Scope();
  after(scope.close);

  const write = (text: string) => {
    const file = join(tempFolder(scope), "guide.md");
    writeFileSync(file, text);
    return relative(repository, file);
  };

  it("finds the steps", () => {
    assert.deepEqual(
      stepsOf(page).map(({ kind, line }) => [kind, line]),
      [
        ["run", 2],
        ["write", 6],
        ["left", 10],
        ["run", 13],
      ],
    );
    assert.throws(() => stepsOf("```sh\nls"), /line 1 has no end/);
    assert.throws(() => stepsOf("```text\nls\n```"), /line 1: what is printed stands right after/);
  });

  it("compares what is printed, in order, … for anything", () => {
    assert.equal(missingLine("a\nb  17\nc", ["a", "b …"]), undefined);
    assert.equal(missingLine("a\nb\nc", ["b", "a"]), "a");
    assert.equal(missingLine("a.b", ["a+b"]), "a+b");
  });

  it("keeps folder and variables from block to block", async () => {
    const said: string[] = [];
    await follow(scope, write(page.replace(" && sleep 60 &", " &")), { say: (line) => said.push(line) });
    assert.match(said.join("\n"), /guide\.md:10 is left out: it would take a week/);
  });

  it("fails where a command fails, prints something else, or does not end", async () => {
    await assert.rejects(follow(scope, write("```sh\nfalse; true\n```")), /guide\.md:1 ends with 1/);
    await assert.rejects(follow(scope, write("```sh\nfalse | cat\n```")), /guide\.md:1 ends with 1/);
    await assert.rejects(
      follow(scope, write("```sh\necho a\n```\n```text\nb\n```")),
      /guide\.md:1 does not print\n {2}b/,
    );
    await assert.rejects(follow(scope, write("```sh\nsleep 60\n```"), { timeoutMs: 300 }), /takes longer than 0\.3 s/);
  });
});
