/**
 * `buf breaking` (rules FILE) of the working tree's .proto files against what was released: the newest tag `v*` that git
 * can reach, or, before the first one, the image in `proto/released/`. `--root DIR` looks at another checkout.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ours = fileURLToPath(new URL("../", import.meta.url));
const { values } = parseArgs({ options: { root: { type: "string", default: ours } } });
const root = resolve(values.root);
const buf = join(ours, "tools/node_modules/.bin/buf");

interface Baseline {
  /** For people. */
  readonly name: string;
  /** What buf calls an input. */
  readonly input: string;
}

/** @returns undefined where nothing was ever released */
function baseline(): Baseline | undefined {
  const tag = git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*");
  if (tag !== undefined) return { name: tag, input: `${git("rev-parse", "--absolute-git-dir")}#tag=${tag}` };
  const image = join(root, "proto/released/outrigger.binpb");
  return existsSync(image) ? { name: "proto/released/outrigger.binpb", input: image } : undefined;
}

function git(...args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync("git", args, { cwd: root, encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

const against = baseline();
if (against === undefined) {
  process.stderr.write("proto: no release tag and no proto/released/outrigger.binpb: nothing to compare with\n");
  process.exitCode = 1;
} else {
  const { status, error } = spawnSync(buf, ["breaking", "--against", against.input], { cwd: root, stdio: "inherit" });
  if (error !== undefined) throw error;
  if (status === 0) process.stdout.write(`proto: nothing breaks against ${against.name}\n`);
  else {
    process.stderr.write(`proto: the lines above break what ${against.name} promised: add, never change or remove\n`);
    process.exitCode = 1;
  }
}
