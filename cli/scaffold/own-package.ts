/**
 * Where a new driver's package.json gets this package from. Installed by npm: its version. From a clone: a tarball of it,
 * written into the new folder, so that the folder needs nothing outside itself (containers, CI).
 */
import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure } from "../failure.ts";
import { version } from "../version.ts";
import type { MadeFile } from "./templates.ts";

export interface OwnPackage {
  /** What package.json names. */
  readonly dependency: string;
  readonly files: readonly MadeFile[];
}

/** @throws Failure when the clone cannot be packed */
export async function ownPackage(): Promise<OwnPackage> {
  const root = await packageRoot(dirname(fileURLToPath(import.meta.url)));
  if (basename(dirname(root)) === "node_modules") return { dependency: `^${version()}`, files: [] };
  const staged = await mkdtemp(join(tmpdir(), "outrigger-pack-"));
  try {
    const name = await pack(root, staged);
    const path = join("vendor", name);
    const content = await readFile(join(staged, name));
    return { dependency: `file:vendor/${name}`, files: [{ path, content, executable: false }] };
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

/** From a copy, so that the clone stays as it is. @returns the tarball's name in `staged` */
async function pack(root: string, staged: string): Promise<string> {
  const copy = join(staged, "package");
  const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { files: readonly string[] };
  const wanted = ["package.json", "proto", ...manifest.files.filter((name) => !/[*/]/.test(name) && name !== "dist")];
  for (const name of wanted)
    if (await exists(join(root, name))) await cp(join(root, name), join(copy, name), { recursive: true });
  if (import.meta.url.endsWith(".ts")) {
    // Run from the sources: what is packed is what they are now, not what somebody built once.
    await run(process.execPath, [join(root, "scripts/build.mjs"), "--out", join(copy, "dist")], root);
  } else {
    const dist = fileURLToPath(new URL("../../", import.meta.url));
    await cp(dist, join(copy, "dist"), { recursive: true, filter: (path) => basename(path) !== "node_modules" });
  }
  const told = await run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", staged], copy);
  return told.trim().split("\n").at(-1) ?? "";
}

async function packageRoot(from: string): Promise<string> {
  for (let folder = from; ; folder = dirname(folder)) {
    if (await exists(join(folder, "package.json"))) return folder;
    if (folder === dirname(folder)) throw new Error("outrigger's package.json is missing: install it again");
  }
}

function run(program: string, args: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let [said, complaints] = ["", ""];
    child.stdout.on("data", (data) => {
      said += data;
    });
    child.stderr.on("data", (data) => {
      complaints += data;
    });
    const fail = (why: string, cause?: unknown) =>
      reject(new Failure(`this clone cannot be packed: ${why}`, { cause }));
    child.once("error", (error) => fail(`${program} does not start (${error.message})`, error));
    child.once("close", (code) => {
      if (code === 0) resolve(said);
      else fail(`${program} ${args[0] ?? ""}: ${(complaints.trim() || said.trim()).split("\n").slice(-5).join("; ")}`);
    });
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}
