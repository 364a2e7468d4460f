// For images: takes out of node_modules (or the folder given) what never runs: types, source maps, tests, documents.
// Licences stay.
import { readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const modules = process.argv[2] ?? fileURLToPath(new URL("../node_modules", import.meta.url));

const neverRun = /\.(?:map|md|markdown|ts|mts|cts|tsbuildinfo|flow|yml|yaml)$/i;
const licence = /^(?:licen[cs]e|notice|copying)/i;
/** Only at the top of a package: deeper ones may be code. */
const folders = new Set(["test", "tests", "benchmark", "benchmarks", "docs", "examples", "example", ".github"]);

function trimFolder(folder, isPackage) {
  let left = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (isPackage && folders.has(entry.name)) rmSync(path, { recursive: true });
      else left += trimFolder(path, isPackageFolder(folder, entry.name));
    } else if (neverRun.test(entry.name) && !licence.test(entry.name)) rmSync(path);
    else left += 1;
  }
  if (left === 0) rmdirSync(folder);
  return left;
}

/** Whether `name` in `folder` is a package: node_modules/x or node_modules/@scope/x. */
function isPackageFolder(folder, name) {
  if (name.startsWith("@") || name.startsWith(".")) return false;
  return /node_modules(?:[/\\]@[^/\\]+)?$/.test(folder);
}

for (const name of ["@types", ".bin", ".package-lock.json"])
  rmSync(join(modules, name), { recursive: true, force: true });
trimFolder(modules, false);
