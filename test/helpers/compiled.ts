/**
 * The command under test. `npm test` compiles it once, as it is shipped, and packs it into few files: it then starts in
 * a third of the CPU time that the sources take, and tests start it thousands of times. A file that is run by itself runs
 * the sources; the group `package` runs what is shipped.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";
import type { Scope } from "./processes.ts";
import { command, repository } from "./tools.ts";

/** Where the runner tells its tests the compiled cli/main.js. */
export const COMPILED = "OUTRIGGER_TEST_COMPILED";

/** The words that run `outrigger`: node and its arguments. */
export function commandWords(): readonly [string, ...string[]] {
  return wordsOf("cli/main");
}

/** For a shell. */
export function shellCommand(...args: readonly string[]): string {
  return quoted([...commandWords(), ...args]);
}

/** For a shell: the wrong drivers of conformance/wrong. */
export function wrongDriver(): string {
  return quoted(wordsOf("conformance/wrong/main"));
}

/** A program of the repository that `compile` compiles. @param name its path without the ending @throws Error outside `npm test` */
export function compiledProgram(name: string): string {
  const compiled = process.env[COMPILED];
  if (compiled === undefined) throw new Error("nothing was compiled");
  return join(dirname(compiled), "..", `${name}.js`);
}

/** What runs a program: compiled where the runner has compiled, else its source. */
function wordsOf(name: string): readonly [string, ...string[]] {
  return process.env[COMPILED] === undefined
    ? [process.execPath, "--import", import.meta.resolve("tsx"), join(repository, `${name}.ts`)]
    : [process.execPath, compiledProgram(name)];
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `"${word}"`).join(" ");
}

/** The runner's, or compiled now. @returns cli/main.js */
export async function compiledCommand(scope: Scope): Promise<string> {
  return process.env[COMPILED] ?? (await compile(scope));
}

/** Compiles into a folder inside the repository, for its node_modules. @returns cli/main.js */
export async function compile(scope: Pick<Scope, "defer">): Promise<string> {
  const cache = join(repository, ".cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "compiled-"));
  scope.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  const dist = join(folder, "dist");
  const project = join(repository, "test/tsconfig.compiled.json");
  await command(process.execPath, [join(repository, "scripts/build.mjs"), "--out", dist, "--project", project], {
    cwd: repository,
    timeoutMs: 300_000,
  });
  // Drivers find their SDKs beside themselves.
  for (const name of readdirSync(join(dist, "drivers"))) {
    const modules = join(repository, "drivers", name, "node_modules");
    if (existsSync(modules)) symlinkSync(modules, join(dist, "drivers", name, "node_modules"));
  }
  await pack(dist, ["cli/main.js", "conformance/wrong/main.js"]);
  return join(dist, "cli/main.js");
}

/** In their places, with what they import from there and from the packages of the repository. */
async function pack(dist: string, programs: readonly string[]): Promise<void> {
  await build({
    entryPoints: programs.map((name) => join(dist, name)),
    outbase: dist,
    outdir: dist,
    allowOverwrite: true,
    chunkNames: "packed/[hash]",
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20",
    // What was CommonJS requires node's own modules.
    banner: {
      js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);',
    },
    plugins: [inPlace(dist)],
    logLevel: "error",
  });
}

/** Modules still find what lies beside them: their files, a driver's SDK. */
function inPlace(dist: string): Plugin {
  return {
    name: "in place",
    setup(pack) {
      pack.onLoad({ filter: /\.js$/ }, ({ path }) => {
        if (!path.startsWith(dist)) return undefined;
        const source = readFileSync(path, "utf8");
        return { contents: source.replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href)) };
      });
      pack.onResolve({ filter: /^[^./]/ }, async ({ path, pluginData, ...from }) => {
        if (pluginData === inPlace) return undefined;
        const found = await pack.resolve(path, { ...from, pluginData: inPlace });
        // An SDK may hold what cannot be packed; of what is imported later, names would be lost.
        const stays = from.kind === "dynamic-import" || /\/drivers\/[^/]+\/node_modules\//.test(found.path);
        return stays ? { path: found.path, external: true } : found;
      });
    },
  };
}
