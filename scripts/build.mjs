// Writes dist/: compiled JavaScript and types laid out as the sources are, the .proto files, templates and the page's files beside them.
// `--out DIR` writes elsewhere, `--project FILE` says what is compiled. Plain JavaScript, so that an image can be built without tsx.
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("../", import.meta.url));
const { values } = parseArgs({
  options: {
    out: { type: "string", default: join(root, "dist") },
    project: { type: "string", default: join(root, "tsconfig.build.json") },
  },
});
const out = resolve(values.out);
// Compiled beside its place and then moved there: a failed build leaves the last good one.
const fresh = `${out}.${process.pid}`;

/** The compiler's own program, wherever npm has put it. */
function compiler() {
  const manifest = createRequire(import.meta.url).resolve("typescript/package.json");
  return join(dirname(manifest), "bin/tsc");
}

try {
  // Their types.
  const sdks = spawnSync(process.execPath, [join(root, "scripts/sdks.mjs")], { stdio: "inherit" });
  if (sdks.status !== 0) throw new Error("the drivers' SDKs are not there: nothing was built");
  const { status } = spawnSync(process.execPath, [compiler(), "-p", resolve(values.project), "--outDir", fresh], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) throw new Error("the sources do not compile: nothing was built");
  for (const entry of readdirSync(join(root, "proto"), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".proto")) continue;
    const source = join(entry.parentPath, entry.name);
    const target = join(fresh, source.slice(root.length));
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(source, target);
  }
  for (const folder of ["cli/scaffold/templates", "registry/page/assets"])
    cpSync(join(root, folder), join(fresh, folder), { recursive: true });
  chmodSync(join(fresh, "cli/main.js"), 0o755);
  rmSync(out, { recursive: true, force: true });
  renameSync(fresh, out);
} catch (error) {
  rmSync(fresh, { recursive: true, force: true });
  process.stderr.write(`build: ${error.message}\n`);
  process.exitCode = 1;
}
