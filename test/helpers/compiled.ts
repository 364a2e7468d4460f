/**
 * The command under test. `npm test` compiles it once, as it is shipped: it starts in a quarter of the CPU time that the
 * sources take, and tests start it often. A file that is run by itself runs the sources.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Scope } from "./processes.ts";
import { command, repository } from "./tools.ts";

/** Where the runner tells its tests the compiled cli/main.js. */
export const COMPILED = "OUTRIGGER_TEST_COMPILED";

/** The words that run `outrigger`: node and its arguments. */
export function commandWords(): readonly [string, ...string[]] {
  const compiled = process.env[COMPILED];
  return compiled === undefined
    ? [process.execPath, "--import", import.meta.resolve("tsx"), join(repository, "cli/main.ts")]
    : [process.execPath, compiled];
}

/** For a shell. */
export function shellCommand(...args: readonly string[]): string {
  return [...commandWords(), ...args].map((word) => `"${word}"`).join(" ");
}

/** For a shell: the wrong drivers of conformance/wrong, compiled too where the command is. */
export function wrongDriver(): string {
  const compiled = process.env[COMPILED];
  const words =
    compiled === undefined
      ? [process.execPath, "--import", import.meta.resolve("tsx"), join(repository, "conformance/wrong/main.ts")]
      : [process.execPath, join(dirname(compiled), "../conformance/wrong/main.js")];
  return words.map((word) => `"${word}"`).join(" ");
}

/** A program below test/ that `compile` compiles too. @param name without its ending @throws Error outside `npm test` */
export function compiledProgram(name: string): string {
  const compiled = process.env[COMPILED];
  if (compiled === undefined) throw new Error("nothing was compiled");
  return join(dirname(compiled), "../test", `${name}.js`);
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
  return join(dist, "cli/main.js");
}
