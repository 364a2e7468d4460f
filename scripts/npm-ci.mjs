// `npm ci` in a folder of its own, when its lock file is newer than what is installed there.
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";

/** Modification time in ms, 0 when absent. */
function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** @returns whether the folder has what its lock file says */
export function npmCi(folder) {
  const installed = modifiedMs(join(folder, "node_modules/.package-lock.json"));
  if (installed >= modifiedMs(join(folder, "package-lock.json"))) return true;
  const { status } = spawnSync("npm", ["ci", "--ignore-scripts", "--no-fund", "--no-audit"], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return status === 0;
}
