/**
 * Programs that tests run beside Node: found, or brought as far as the machine allows. A test asks `findTool` (which
 * brings nothing) and skips by name where the answer is absent; `test/run.ts` brings all of them first.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type DebianProgram,
  debianPrograms,
  type GoProgram,
  goPrograms,
  type MavenProgram,
  mavenPrograms,
  type NpmProgram,
  npmPrograms,
  type OwnGoProgram,
  type OwnGoSource,
  ownGoPrograms,
  type PythonEnvironment,
  pythonEnvironments,
  type SdkDriver,
  sdkDrivers,
} from "./tool-versions.ts";

export const repository = fileURLToPath(new URL("../../", import.meta.url));
const goMetaFolder = join(repository, "test/interop/go-meta");

export type Tool =
  | DebianProgram
  | GoProgram
  | OwnGoProgram
  | PythonEnvironment
  | NpmProgram
  | MavenProgram
  | `${SdkDriver}-sdk`
  | "go-meta";

/** Kept between runs and shared by clones: what lies here is named by its version or its sources' hash. */
function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "outrigger-tests");
}

/** Path of a program that is there already; `undefined` where it is not. */
export function findTool(tool: Tool): string | undefined {
  if (tool === "go-meta") return existing(goMetaPath());
  if (isGoProgram(tool)) return existing(goProgramPath(tool));
  if (isOwnGoProgram(tool)) return existing(ownGoProgramPath(tool));
  if (isPythonEnvironment(tool)) return existing(pythonPath(tool));
  if (isNpmProgram(tool)) return existing(npmProgramPath(tool));
  if (isMavenProgram(tool)) return existing(mavenPath(tool));
  if (isSdk(tool)) return existing(sdkPath(tool));
  return findOnPath(tool);
}

/** For a test's `skip`: false, or what is missing. */
export function missing(...tools: Tool[]): string | false {
  const absent = tools.filter((tool) => findTool(tool) === undefined);
  return absent.length === 0 ? false : `not on this machine: ${absent.join(", ")}`;
}

/** The path of a tool that `missing` said is there. @throws Error when it is not */
export function tool(name: Tool): string {
  const path = findTool(name);
  if (path === undefined) throw new Error(`${name} is not on this machine`);
  return path;
}

function existing(path: string): string | undefined {
  return existsSync(path) ? path : undefined;
}

function isGoProgram(name: string): name is GoProgram {
  return Object.hasOwn(goPrograms, name);
}

function isOwnGoProgram(name: string): name is OwnGoProgram {
  return Object.hasOwn(ownGoPrograms, name);
}

function isPythonEnvironment(name: string): name is PythonEnvironment {
  return Object.hasOwn(pythonEnvironments, name);
}

function isNpmProgram(name: string): name is NpmProgram {
  return Object.hasOwn(npmPrograms, name);
}

function isMavenProgram(name: string): name is MavenProgram {
  return Object.hasOwn(mavenPrograms, name);
}

function isSdk(name: string): name is `${SdkDriver}-sdk` {
  return sdkDrivers.some((driver) => name === `${driver}-sdk`);
}

function npmProgramPath(name: NpmProgram): string {
  const { packages, program } = npmPrograms[name];
  return join(cacheFolder(), packages.join("+").replaceAll(/[@/]/g, "-"), program);
}

/** The folder of its jars. */
function mavenPath(name: MavenProgram): string {
  return join(cacheFolder(), mavenPrograms[name].artifact.replaceAll(":", "-"), "jars");
}

function sdkPath(name: `${SdkDriver}-sdk`): string {
  return join(repository, "drivers", name.slice(0, -"-sdk".length), "node_modules");
}

function findOnPath(
  program: string,
  extra: readonly string[] = ["/usr/sbin", "/usr/local/go/bin"],
): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...extra];
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

function goProgramPath(name: GoProgram): string {
  const { version, program } = goPrograms[name];
  return join(cacheFolder(), `${name}-${version}`, program);
}

/** Named by everything it is built from, as `goMetaPath`. */
function ownGoProgramPath(name: OwnGoProgram): string {
  const source: OwnGoSource = ownGoPrograms[name];
  const folder = join(repository, source.folder);
  const hash = createHash("sha256");
  const sources = filesUnder(folder, ".go").filter((path) => source.tests || !path.endsWith("_test.go"));
  for (const path of [...sources, join(folder, "go.mod"), join(folder, "go.sum")].sort()) {
    hash.update(path.slice(repository.length)).update("\0").update(readFileSync(path));
  }
  return join(cacheFolder(), `${name}-${hash.digest("hex").slice(0, 16)}`, name);
}

/** The environment's interpreter, named by what is installed in it. */
function pythonPath(name: PythonEnvironment): string {
  const hash = createHash("sha256");
  for (const file of pythonEnvironments[name].requirements) hash.update(readFileSync(join(repository, file)));
  return join(cacheFolder(), `${name}-${hash.digest("hex").slice(0, 16)}`, "python");
}

/** Named by everything it is built from, so that it can never be a stale one. */
function goMetaPath(): string {
  const hash = createHash("sha256");
  const sources = [
    ...filesUnder(join(repository, "proto/outrigger"), ".proto"),
    ...readdirSync(goMetaFolder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(goMetaFolder, entry.name)),
  ].sort();
  for (const source of sources) hash.update(source.slice(repository.length)).update("\0").update(readFileSync(source));
  return join(cacheFolder(), `go-meta-${hash.digest("hex").slice(0, 16)}`, "go-meta");
}

function filesUnder(folder: string, ending: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
}

export interface Brought {
  readonly tool: Tool;
  /** Absent: it is there. */
  readonly problem?: string;
}

/** Brings what is missing: Debian packages as root, Go programs where go and its module proxy are to be had, Python likewise. */
export async function bringTools(say: (line: string) => void): Promise<Brought[]> {
  const python: Brought[] = [];
  for (const name of Object.keys(pythonEnvironments) as PythonEnvironment[])
    python.push(await attempt(name, () => bringPython(name, say)));
  return [
    ...(await bringDebianPrograms(say)),
    ...(await bringGoPrograms(say)),
    ...python,
    ...(await bringSdks(say)),
    ...(await bringServers(say)),
  ];
}

/** What the drivers themselves need, as `npm run sdks` does. */
async function bringSdks(say: (line: string) => void): Promise<Brought[]> {
  const brought: Brought[] = [];
  for (const driver of sdkDrivers) {
    brought.push(
      await attempt(`${driver}-sdk`, async () => {
        if (findTool(`${driver}-sdk`) === undefined) say(`installing ${driver}-sdk`);
        await command(process.execPath, ["scripts/sdks.mjs", driver], { cwd: repository, timeoutMs: 300_000 });
      }),
    );
  }
  return brought;
}

/** Servers that stand for a vendor's: not Go's and not Debian's. */
async function bringServers(say: (line: string) => void): Promise<Brought[]> {
  const brought: Brought[] = [];
  for (const name of Object.keys(npmPrograms) as NpmProgram[]) {
    brought.push(await attempt(name, () => bringNpmProgram(name, say)));
  }
  for (const name of Object.keys(mavenPrograms) as MavenProgram[]) {
    brought.push(await attempt(name, () => bringMavenProgram(name, say)));
  }
  return brought;
}

async function bringNpmProgram(name: NpmProgram, say: (line: string) => void): Promise<void> {
  const { packages, program } = npmPrograms[name];
  const path = npmProgramPath(name);
  if (existsSync(path)) return;
  say(`installing ${packages.join(", ")}`);
  const top = path.slice(0, -program.length - 1);
  // Its engines field asks for more than it needs.
  const npm = ["install", "--no-audit", "--no-fund", "--no-save", "--omit=dev", "--prefix", ".", ...packages];
  await intoCache(join(top, "node_modules"), (folder) =>
    command("npm", npm, { cwd: folder, timeoutMs: 600_000, env: { npm_config_engine_strict: "false" } }),
  );
}

async function bringMavenProgram(name: MavenProgram, say: (line: string) => void): Promise<void> {
  const { artifact } = mavenPrograms[name];
  const path = mavenPath(name);
  if (existsSync(path)) return;
  const maven = findOnPath("mvn");
  if (maven === undefined || findOnPath("java") === undefined) throw new Error("there is no java and mvn");
  say(`fetching ${artifact}`);
  const [groupId, artifactId, version] = artifact.split(":");
  await intoCache(path, async (folder) => {
    writeFileSync(
      join(folder, "pom.xml"),
      `<project><modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>t</artifactId><version>1</version>
       <dependencies><dependency><groupId>${groupId}</groupId><artifactId>${artifactId}</artifactId>
       <version>${version}</version></dependency></dependencies></project>`,
    );
    const copy = ["-q", "-B", "dependency:copy-dependencies", `-DoutputDirectory=${join(folder, "jars")}`];
    await command(maven, copy, { cwd: folder, timeoutMs: 600_000 });
  });
}

/** A virtual environment with the pinned packages. */
export async function bringPython(name: PythonEnvironment, say: (line: string) => void): Promise<void> {
  const path = pythonPath(name);
  if (existsSync(path)) return;
  const python = ["python3.11", "python3"].map((program) => findOnPath(program)).find((found) => found !== undefined);
  if (python === undefined) throw new Error("there is no python3");
  await command(python, ["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"]).catch((cause) => {
    throw new Error("python3 is older than 3.11, or without venv and pip", { cause });
  });
  say(`installing ${name}`);
  await intoCache(path, async (folder) => {
    await command(python, ["-m", "venv", join(folder, "venv")], { timeoutMs: 120_000 });
    const requirements = pythonEnvironments[name].requirements.flatMap((file) => ["-r", join(repository, file)]);
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...requirements];
    await command(join(folder, "venv/bin/python"), pip, { timeoutMs: 600_000 });
    // Beside the environment, so that it can be moved to where it stays; `exec`, so that signals reach Python.
    writeFileSync(join(folder, "python"), '#!/bin/sh\nexec "$(dirname "$0")/venv/bin/python" "$@"\n', { mode: 0o755 });
  });
}

async function bringDebianPrograms(say: (line: string) => void): Promise<Brought[]> {
  const programs = Object.keys(debianPrograms) as DebianProgram[];
  const absent = programs.filter((program) => findTool(program) === undefined);
  let problem = "";
  if (absent.length > 0) {
    if (process.getuid?.() !== 0) problem = "installing it needs root";
    else if (findOnPath("apt-get") === undefined) problem = "there is no apt-get to install it with";
    else {
      const packages = absent.map((program) => debianPrograms[program]);
      say(`installing ${packages.join(", ")}`);
      // apt locks against a second apt; a service's start is nobody's wish here.
      const env = { DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
      try {
        await command("apt-get", ["-q", "update"], { env, timeoutMs: 180_000 });
        await command(
          "apt-get",
          ["-q", "-y", "-o", "DPkg::Lock::Timeout=120", "install", "--no-install-recommends", ...packages],
          { env, timeoutMs: 600_000 },
        );
      } catch (error) {
        problem = oneLine(error);
      }
    }
  }
  return programs.map((program) =>
    findTool(program) === undefined
      ? { tool: program, problem: problem || "its package does not hold it" }
      : { tool: program },
  );
}

async function bringGoPrograms(say: (line: string) => void): Promise<Brought[]> {
  const brought: Brought[] = [];
  for (const name of Object.keys(goPrograms) as GoProgram[]) {
    brought.push(await attempt(name, () => bringGoProgram(name, say)));
  }
  brought.push(await attempt("go-meta", () => bringGoMeta(say)));
  for (const name of Object.keys(ownGoPrograms) as OwnGoProgram[]) {
    brought.push(await attempt(name, () => bringOwnGoProgram(name, say)));
  }
  return brought;
}

async function attempt(tool: Tool, bring: () => Promise<void>): Promise<Brought> {
  try {
    await bring();
    return { tool };
  } catch (error) {
    return { tool, problem: oneLine(error) };
  }
}

/** @throws Error when there is none */
export function goCommand(): string {
  const go = findOnPath("go");
  if (go === undefined) throw new Error("there is no go to build it with");
  return go;
}

/** For every build and test in Go, as images are built: what two of them have in common is compiled once. */
export const goEnvironment = { GOFLAGS: "-buildvcs=false -trimpath", CGO_ENABLED: "0", GOOS: "", GOARCH: "" } as const;

async function bringGoProgram(name: GoProgram, say: (line: string) => void): Promise<void> {
  const path = goProgramPath(name);
  if (existsSync(path)) return;
  const { module, version } = goPrograms[name];
  say(`building ${name} ${version}`);
  await intoCache(path, (folder) =>
    command(goCommand(), ["install", `${module}@${version}`], {
      cwd: folder,
      env: { ...goEnvironment, GOBIN: folder },
      timeoutMs: 900_000,
    }),
  );
}

/** The Go meta driver: types from the .proto files, then the build. */
export async function bringGoMeta(say: (line: string) => void): Promise<void> {
  const path = goMetaPath();
  if (existsSync(path)) return;
  say("building go-meta");
  await bringGoProgram("protoc-gen-go", say);
  await bringGoProgram("protoc-gen-go-grpc", say);
  await command(process.execPath, ["scripts/tools.mjs"], { cwd: repository, timeoutMs: 300_000 });
  const plugins = (["protoc-gen-go", "protoc-gen-go-grpc"] as const).map((name) => join(goProgramPath(name), ".."));
  await command(join(repository, "tools/node_modules/.bin/buf"), ["generate", repository], {
    cwd: goMetaFolder,
    env: { PATH: [...plugins, process.env["PATH"]].join(delimiter) },
    timeoutMs: 120_000,
  });
  await intoCache(path, (folder) =>
    command(goCommand(), ["build", "-o", join(folder, "go-meta"), "."], {
      cwd: goMetaFolder,
      env: goEnvironment,
      timeoutMs: 600_000,
    }),
  );
}

/** A Go program of this repository, built as its image builds it. */
export async function bringOwnGoProgram(name: OwnGoProgram, say: (line: string) => void): Promise<void> {
  const path = ownGoProgramPath(name);
  if (existsSync(path)) return;
  say(`building ${name}`);
  const source: OwnGoSource = ownGoPrograms[name];
  const how = source.tests ? ["test", "-c"] : ["build"];
  await intoCache(path, (folder) =>
    command(goCommand(), [...how, "-o", join(folder, name), source.package], {
      cwd: join(repository, source.folder),
      env: goEnvironment,
      timeoutMs: 900_000,
    }),
  );
}

/** Whole or not at all, also when two runs build at once. */
async function intoCache(path: string, build: (folder: string) => Promise<unknown>): Promise<void> {
  mkdirSync(cacheFolder(), { recursive: true });
  const folder = mkdtempSync(join(cacheFolder(), "building-"));
  try {
    await build(folder);
    try {
      renameSync(folder, join(path, ".."));
    } catch (error) {
      // Somebody else was first: theirs is the same.
      if (!existsSync(path)) throw error;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly input?: string | Uint8Array;
}

/** A program run to its end. @returns what it wrote. @throws Error with its last words when it fails or takes too long */
export async function command(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<{ stdout: string; stderr: string }> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (data: Buffer) => stdout.push(data));
  child.stderr.on("data", (data: Buffer) => stderr.push(data));
  child.stdin.on("error", () => {}); // it may end without reading its input
  child.stdin.end(options.input);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
    (resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve({ code, signal }));
    },
  ).finally(() => clearTimeout(timer));
  const output = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
  if (code === 0) return output;
  const end = late ? `took longer than ${timeoutMs} ms` : `ended with ${signal ?? code}`;
  const words = (output.stderr.trim() || output.stdout.trim()).split("\n").slice(-8).join("\n");
  throw new Error(`${program} ${args.join(" ")} ${end}: ${words}`);
}

function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll("\n", " ").slice(0, 400);
}
