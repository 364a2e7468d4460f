/** Pages that say something about the code say it truly. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { reasons } from "../../proto/errors.ts";
import { repository } from "../helpers/tools.ts";

const read = (path: string) => readFileSync(join(repository, path), "utf8");

test("operate.md has one section for each error reason, with a first command or step", () => {
  const page = read("docs/guides/operate.md");
  const [, list = ""] = page.split("\n## Reasons\n");
  const sections = new Map(
    list
      .split("\n### ")
      .slice(1)
      .map((section) => [section.slice(0, section.indexOf("\n")), section] as const),
  );
  assert.deepEqual([...sections.keys()].sort(), Object.keys(reasons).sort());
  for (const [reason, section] of sections) {
    const first = /^First: (.+)$/m.exec(section)?.[1] ?? "";
    assert.ok(first.length > 0, `${reason} has no line "First: …"`);
    assert.ok(section.split("\n")[1]?.trim(), `${reason} has no meaning`);
  }
});

test("generated pages are those of the sources", () => {
  for (const script of ["scripts/docs.ts", "scripts/config-docs.ts"]) {
    const { status, stderr } = spawnSync(process.execPath, ["--import", "tsx", script, "--check"], {
      cwd: repository,
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr);
  }
});

test("every driver has a page with its promises, costs and permissions, and a target of the Dockerfile", () => {
  const names = readdirSync(join(repository, "drivers"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(repository, "drivers", entry.name, "README.md")))
    .map((entry) => entry.name);
  assert.ok(names.length >= 4);
  const dockerfile = read("Dockerfile");
  for (const name of names) {
    const page = read(`docs/reference/drivers/${name}.md`);
    for (const heading of ["Guarantees, and what breaks them", "Costs", "Permissions"])
      assert.ok(page.includes(`\n## ${heading}\n`), `${name}.md has no section "${heading}"`);
    assert.match(dockerfile, new RegExp(`^FROM \\S+ AS driver-${name}$`, "m"));
    const sdk = existsSync(join(repository, "drivers", name, "package.json"));
    const copied = dockerfile.includes(`/src/drivers/${name}/node_modules /app/dist/drivers/${name}/node_modules`);
    assert.equal(copied, sdk, name);
  }
});

test("every relative link of every page leads somewhere", () => {
  const pages = [
    ...readdirSync(repository).filter((name) => name.endsWith(".md")),
    ...readdirSync(join(repository, "docs"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md"))
      .map((name) => join("docs", name)),
  ];
  const broken: string[] = [];
  for (const page of pages) {
    const text = read(page);
    for (const [, link = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? join(repository, page) : join(repository, dirname(page), path);
      if (!existsSync(target)) broken.push(`${page}: ${link}`);
      else if (anchor !== undefined && !anchors(target).has(anchor)) broken.push(`${page}: ${link} (no such heading)`);
    }
  }
  assert.deepEqual(broken, []);
});

test("every test that the page of object stores names is there", () => {
  const page = read("docs/reference/object-stores.md");
  const files = [...page.matchAll(/`(test\/[^`*]+\.ts)`/g)].map(([, path = ""]) => path);
  assert.ok(files.length > 10);
  assert.deepEqual(
    files.filter((path) => !existsSync(join(repository, path))),
    [],
  );
  // "the title" of `its file`
  for (const [, title = "", path = ""] of page.matchAll(/"([^"|]+)" of `(test\/[^`]+)`/g))
    for (const piece of title.split("…"))
      assert.ok(read(path).includes(piece.trim()), `${path} has no test "${title}"`);
});

/** As GitHub makes them from headings. */
function anchors(path: string): ReadonlySet<string> {
  const headings = read(relative(repository, path)).matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}
