/** The rules of the folders (docs: architecture) that no compiler holds. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { basename, join, relative, resolve } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

interface Rule {
  /** Folders of the repository, besides itself. */
  readonly folders: readonly string[];
  /** Packages; "any": every one that package.json names. */
  readonly packages: readonly string[] | "any";
}

const wire = ["@grpc/grpc-js", "@grpc/proto-loader", "protobufjs", "pino", "@opentelemetry/api"];
const everything = [
  "proto",
  "client",
  "server",
  "drivers",
  "registry",
  "transfer",
  "conformance",
  "cli",
  "test",
  "bench",
  "scripts",
];

const rules: Readonly<Record<string, Rule>> = {
  proto: { folders: [], packages: ["@grpc/grpc-js", "@grpc/proto-loader", "protobufjs"] },
  client: { folders: ["proto"], packages: wire },
  server: { folders: ["proto"], packages: [...wire, "@grpc/reflection", "hash-wasm", "prom-client", "yaml", "zod"] },
  // client: a driver may keep its bytes behind other drivers.
  drivers: { folders: ["server", "proto", "client"], packages: [...wire, "hash-wasm", "zod", "sorted-btree"] },
  registry: { folders: ["client", "proto"], packages: "any" },
  transfer: { folders: ["registry", "client", "proto"], packages: ["pino"] },
  conformance: { folders: ["proto", "client/grpc"], packages: "any" },
  cli: { folders: ["proto", "client", "server", "drivers", "registry", "transfer", "conformance"], packages: "any" },
  test: { folders: everything, packages: "any" },
  bench: { folders: everything, packages: "any" },
  scripts: { folders: everything, packages: "any" },
};

/** Paths relative to the repository. */
function filesUnder(folder: string, ending: RegExp): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => ending.test(name) && !name.includes("node_modules"))
    .map((name) => join(folder, name))
    .sort();
}

const sources = Object.keys(rules).flatMap((folder) => filesUnder(folder, /\.(?:ts|mjs)$/));

const text = (file: string) => readFileSync(join(root, file), "utf8");

const IMPORT = /(?:\bfrom\s+|\bimport\s+|\bimport\(\s*)"([^"\n]+)"/g;
const BLOCK_COMMENT = /\/\*[\s\S]*?\*\//g;

function importsOf(file: string): string[] {
  return [...text(file).replaceAll(BLOCK_COMMENT, "").matchAll(IMPORT)].map(([, specifier]) => specifier ?? "");
}

const packageOf = (specifier: string) =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

const isBuiltin = (specifier: string) => specifier.startsWith("node:");
const isRelative = (specifier: string) => specifier.startsWith(".");

const manifest = JSON.parse(text("package.json")) as Record<
  "dependencies" | "devDependencies" | "peerDependencies",
  Record<string, string>
> & { readonly name: string; readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>> };

/** Brought by who wants it, and imported only then. */
function isOptional(file: string, name: string): boolean {
  const lazily = new RegExp(`\\bimport\\(\\s*["]${name}["/]`);
  const eagerly = new RegExp(`^(?:import|export) (?!type\\b)[^;]*?from ["]${name}["/]`, "m");
  return manifest.peerDependenciesMeta[name]?.optional === true && lazily.test(text(file)) && !eagerly.test(text(file));
}

/** What a driver's own package.json names: installed by who uses that driver. */
function ownSdk(file: string): readonly string[] {
  const path = /^drivers\/[^/]+\//.exec(file)?.[0];
  if (path === undefined || !existsSync(join(root, path, "package.json"))) return [];
  return Object.keys(JSON.parse(text(join(path, "package.json"))).dependencies);
}

/** Imports that happen as soon as the file is imported. */
function eagerImportsOf(file: string): string[] {
  const eager = /^(?:import|export) (?!type\b)[^;"]*?(?:from )?"([^"\n]+)";/gm;
  return [...text(file).replaceAll(BLOCK_COMMENT, "").matchAll(eager)].map(([, specifier]) => specifier ?? "");
}

describe("the folders' rules", () => {
  it("are read from real files", () => {
    assert.ok(sources.length > 20, `${sources.length} sources found`);
    assert.ok(importsOf("test/architecture.test.ts").includes("node:test"));
  });

  it("let a folder import what architecture allows and nothing else", () => {
    const wrong: string[] = [];
    for (const file of sources) {
      const [own = ""] = file.split("/");
      const allowed = [own, ...(rules[own]?.folders ?? [])];
      for (const specifier of importsOf(file).filter(isRelative)) {
        const target = relative(root, resolve(root, file, "..", specifier));
        const isOwnFile = target === "package.json" || allowed.some((folder) => target.startsWith(`${folder}/`));
        if (!isOwnFile) wrong.push(`${file} imports ${target}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("keep each driver to itself", () => {
    const wrong: string[] = [];
    for (const file of sources.filter((file) => file.startsWith("drivers/"))) {
      const [, driver = ""] = file.split("/");
      for (const specifier of importsOf(file).filter(isRelative)) {
        const target = relative(root, resolve(root, file, "..", specifier));
        const [folder, other = ""] = target.split("/");
        // composed: what the drivers before other drivers share; no driver itself.
        const shared = other.endsWith(".ts") || other === "composed";
        if (folder === "drivers" && other !== driver && !shared) wrong.push(`${file} imports ${target}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("keep client/ and server/ to few packages, and every import to a named one", () => {
    const wrong: string[] = [];
    for (const file of sources) {
      const [own = ""] = file.split("/");
      const allowed = rules[own]?.packages ?? [];
      const shipped = !["test", "bench", "scripts"].includes(own);
      for (const specifier of importsOf(file)) {
        if (isRelative(specifier) || isBuiltin(specifier)) continue;
        const name = packageOf(specifier);
        const named =
          // A program that a test writes, for a folder where this package is installed.
          (!shipped && name === manifest.name) ||
          Object.hasOwn(manifest.dependencies, name) ||
          Object.hasOwn(manifest.peerDependencies, name) ||
          (!shipped && Object.hasOwn(manifest.devDependencies, name));
        if (!named) wrong.push(`${file} imports ${name}, which package.json does not name`);
        const isAllowed = allowed === "any" || allowed.includes(name) || ownSdk(file).includes(name);
        if (!isAllowed && !isOptional(file, name)) wrong.push(`${file} imports ${name}: ${own}/ may not`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("load a driver's SDK only when the driver starts: its options are shown without", () => {
    const wrong: string[] = [];
    const begun = filesUnder("drivers", /^[^/]+\/index\.ts$/);
    assert.ok(begun.length >= 2);
    for (const index of begun) {
      const seen = new Set([index]);
      for (const file of seen) {
        for (const specifier of eagerImportsOf(file)) {
          if (isRelative(specifier)) seen.add(relative(root, resolve(root, file, "..", specifier)));
          else if (ownSdk(index).includes(packageOf(specifier))) wrong.push(`${index} loads ${specifier} by ${file}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("name no package that nothing imports", () => {
    const imported = new Set(sources.flatMap(importsOf).map(packageOf));
    // Types of node itself and the two programs that package.json's scripts run.
    const tools = ["@types/node", "tsx", "typescript"];
    const named = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)];
    assert.deepEqual(
      named.filter((name) => !imported.has(name) && !tools.includes(name)),
      [],
    );
  });

  it("write node's own modules with node:", () => {
    const bare = sources.flatMap((file) =>
      importsOf(file)
        .filter((specifier) => !specifier.startsWith("node:") && builtinModules.includes(specifier))
        .map((specifier) => `${file} imports ${specifier}`),
    );
    assert.deepEqual(bare, []);
  });

  it("name no driver in registry/, client/ or transfer/: that is the product", () => {
    const drivers = readdirSync(join(root, "drivers"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
    assert.ok(drivers.length > 0);
    const wrong: string[] = [];
    for (const file of sources.filter((file) => /^(?:registry|client|transfer)\//.test(file))) {
      const content = text(file);
      for (const name of drivers) {
        // "memory" is also an English word: what counts is a name that a program could compare with.
        const named = new RegExp(`["'\`](?:[a-z]+\\.)*${name}["'\`]|io\\.outrigger\\.${name}\\b|drivers/${name}\\b`);
        if (named.test(content)) wrong.push(`${file} names the driver ${name}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("log by a logger that is handed in, never by console", () => {
    const wrong = sources.filter(
      (file) =>
        /^(?:proto|client|server|drivers|registry|transfer)\//.test(file) && /\bconsole\.\w+\(/.test(text(file)),
    );
    assert.deepEqual(wrong, []);
  });

  it("name files in kebab-case", () => {
    const wrong = sources.filter(
      (file) => !file.startsWith("proto/gen/") && !/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z]+)*$/.test(basename(file)),
    );
    assert.deepEqual(wrong, []);
  });
});

describe("the contract's rules", () => {
  const protos = filesUnder("proto/outrigger", /\.proto$/);
  const ids = protos.flatMap((file) =>
    [...text(file).matchAll(/^\s*\/\/ MUST \[([^\]]*)\]/gm)].map(([, id]) => ({ file, id: id ?? "" })),
  );

  it("each have a well-formed id of their own", () => {
    assert.ok(ids.length > 50, `${ids.length} rules found`);
    const malformed = ids.filter(({ id }) => !/^(?:process|call|handshake|blob|meta)\.[a-z]+\.\d\d$/.test(id));
    assert.deepEqual(malformed, []);
    const seen = new Set<string>();
    const twice = ids.filter(({ id }) => seen.has(id) || !seen.add(id));
    assert.deepEqual(twice, []);
  });

  it("are each written MUST [id] and nothing else", () => {
    const bare = protos.flatMap((file) =>
      text(file)
        .split("\n")
        .filter((line) => /\bMUST\b(?! \[)/.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    );
    assert.deepEqual(bare, []);
  });

  it("lie in the file of their own API", () => {
    const homes: Record<string, string> = { blob: "blob.proto", meta: "meta.proto" };
    const astray = ids.filter(
      ({ file, id }) => basename(file) !== (homes[id.split(".")[0] ?? ""] ?? "handshake.proto"),
    );
    assert.deepEqual(astray, []);
  });

  it("number without gaps within a call", () => {
    const groups = new Map<string, number[]>();
    for (const { id } of ids) {
      const at = id.lastIndexOf(".");
      const name = id.slice(0, at);
      groups.set(name, [...(groups.get(name) ?? []), Number(id.slice(at + 1))]);
    }
    const gaps = [...groups].filter(([, numbers]) => numbers.sort((a, b) => a - b).some((n, index) => n !== index + 1));
    assert.deepEqual(gaps, []);
  });

  it("are the only ones that code and docs speak of", () => {
    const known = new Set(ids.map(({ id }) => id));
    const files = [...sources, ...filesUnder("docs", /\.md$/)];
    const unknown = files.flatMap((file) =>
      [...text(file).matchAll(/\[((?:process|call|handshake|blob|meta)\.[a-z]+\.\d\d)\]/g)]
        .filter(([, id]) => !known.has(id ?? ""))
        .map(([, id]) => `${file} speaks of ${id}`),
    );
    assert.deepEqual(unknown, []);
  });
});
