/** Every template keeps the contract of cli/scaffold/README.md; that the drivers work is what the guides' tests prove. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { parse } from "yaml";
import { assertName, fill, tokensOf } from "../../../cli/scaffold/names.ts";
import { languages, readTemplate } from "../../../cli/scaffold/templates.ts";
import { writeFolder } from "../../../cli/scaffold/write.ts";
import { version } from "../../../cli/version.ts";
import { protoFiles } from "../../../proto/options.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { repository } from "../../helpers/tools.ts";

const tokens = tokensOf("my-store-2", version(), "^9.9.9");
const langs = await languages();

describe("templates of new drivers", () => {
  it("are there in TypeScript, Go and Python, and lie in folders of their names", () => {
    assert.deepEqual(langs, ["go", "python", "ts"]);
  });

  for (const lang of langs)
    describe(lang, () => {
      it("holds what every new driver has, and no token", async () => {
        const { facts, files } = (await readTemplate(lang)).make(tokens);
        const paths = files.map(({ path }) => path);
        for (const wanted of [
          "README.md",
          "Dockerfile",
          "compose.yaml",
          ".github/workflows/kit.yml",
          ".gitignore",
          ".dockerignore",
        ])
          assert.ok(paths.includes(wanted), wanted);
        if (facts.proto !== undefined)
          for (const name of protoFiles) assert.ok(paths.includes(join(facts.proto, name)), name);
        for (const { path, content } of files) {
          assert.ok(!/%%|\.tmpl$/.test(path), path);
          assert.ok(!/%%/.test(content.toString()), `${path} has a token`);
        }
      });

      it("marks what is to fill, with rules that there are", async () => {
        const { files } = (await readTemplate(lang)).make(tokens);
        const known = new Set(
          protoFiles.flatMap((name) =>
            [...readFileSync(join(repository, "proto", name), "utf8").matchAll(/MUST \[([^\]]+)\]/g)].map(
              ([, id]) => id,
            ),
          ),
        );
        const sources = files.filter(({ path }) => /\.(?:ts|go|py)$/.test(path));
        const marks = sources.flatMap(({ content }) => content.toString().match(/FILL IN:/g) ?? []);
        assert.ok(marks.length >= 8, `${marks.length} marks`);
        for (const { path, content } of sources)
          for (const [, id] of content.toString().matchAll(/\[((?:process|call|handshake|blob|meta)\.[a-z]+\.\d\d)\]/g))
            assert.ok(known.has(id), `${path} speaks of ${id}`);
      });

      it("has a container that is not root, with a socket; a compose file and a CI file that can be read", async () => {
        const { files } = (await readTemplate(lang)).make(tokens);
        const text = (path: string) => files.find((file) => file.path === path)?.content.toString() ?? "";
        const dockerfile = text("Dockerfile");
        assert.match(dockerfile, /^USER (?!root|0)/m);
        assert.match(dockerfile, /OUTRIGGER_LISTEN/);
        assert.match(dockerfile, /^ENTRYPOINT \["/m);
        const { services } = parse(text("compose.yaml"));
        assert.ok(Object.keys(services).length >= 2);
        assert.ok(Object.values(services).some((one) => /registry/.test((one as { image?: string }).image ?? "")));
        const { jobs } = parse(text(".github/workflows/kit.yml"));
        assert.ok(Object.keys(jobs).length >= 1);
      });

      it("names no host of a package registry, and no folder of this machine", async () => {
        const { files } = (await readTemplate(lang)).make(tokens);
        for (const { path, content } of files) {
          if (/go\.sum$/.test(path)) continue;
          const found = /registry\.npmjs\.org|pypi\.org|proxy\.golang\.org|\/(?:home|root|work|Users)\/[a-z]/.exec(
            content.toString(),
          );
          assert.equal(found, null, `${path}: ${found?.[0]}`);
        }
      });
    });
});

describe("a driver's name", () => {
  it("is what the templates can use, or is refused with one that would do", () => {
    for (const name of ["a", "my-store", "s3", "a".repeat(40)]) assertName(name);
    for (const [name, said] of [
      ["MyStore", /"MyStore" is not a driver's name: my-store\?/],
      ["my_store", /: my-store\?/],
      ["-x", /: x\?/],
      ["../x", /: x\?/],
      ["a--b", /: a-b\?/],
      ["", /"" is not a driver's name \(lower-case/],
      ["9", /"9" is not a driver's name \(lower-case/],
      ["a".repeat(41), /at most 40 characters/],
    ] as const)
      assert.throws(() => assertName(name), said, name);
  });

  it("becomes the tokens' values", () => {
    assert.deepEqual(tokens, {
      NAME: "my-store-2",
      SNAKE: "my_store_2",
      PASCAL: "MyStore2",
      UPPER: "MY_STORE_2",
      VERSION: version(),
      OUTRIGGER: "^9.9.9",
    });
    assert.equal(fill("%%NAME%% 100%% %%UPPER%%", tokens, "x"), "my-store-2 100%% MY_STORE_2");
    assert.throws(() => fill("%%NAEM%%", tokens, "x.tmpl"), /x\.tmpl has the token %%NAEM%%: there are NAME, /);
  });
});

describe("writing the folder", () => {
  const scope = new Scope();
  after(scope.close);
  const files = [
    { path: "a/b", content: "b", executable: false },
    { path: "run", content: "x", executable: true },
  ];

  it("makes it, or fills an empty one that stays the same folder", async () => {
    const folder = tempFolder(scope);
    const { ino } = statSync(folder);
    await writeFolder(folder, files);
    assert.equal(statSync(folder).ino, ino);
    await writeFolder(join(folder, "new"), files);
    assert.equal(readFileSync(join(folder, "new/a/b"), "utf8"), "b");
    assert.equal(statSync(join(folder, "new/run")).mode & 0o111, 0o111);
    assert.deepEqual(readdirSync(folder).sort(), ["a", "new", "run"]);
  });

  it("leaves nothing behind when it cannot", async () => {
    const folder = tempFolder(scope);
    const broken = [...files, { path: "run/below", content: "", executable: false }];
    await assert.rejects(writeFolder(join(folder, "new"), broken), /ENOTDIR|EEXIST/);
    assert.deepEqual(readdirSync(folder), []);
    await assert.rejects(writeFolder(folder, broken), /ENOTDIR|EEXIST/);
    assert.deepEqual(readdirSync(folder), []);
  });

  it("refuses a folder that holds something, and a file", async () => {
    const folder = tempFolder(scope);
    mkdirSync(join(folder, "full"));
    writeFileSync(join(folder, "full/.git"), "");
    await assert.rejects(writeFolder(join(folder, "full"), files), /full is not empty \(it holds \.git\)/);
    await assert.rejects(writeFolder(join(folder, "full/.git"), files), /\.git is a file/);
  });
});
