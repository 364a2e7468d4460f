// Installs tools/ (biome, buf) when its lock file is newer than what is installed. They weigh 190 MB, so `npm ci` leaves them out.
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const tools = fileURLToPath(new URL("../tools/", import.meta.url));

/** Modification time in ms, 0 when absent. */
function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

if (modifiedMs(`${tools}node_modules/.package-lock.json`) < modifiedMs(`${tools}package-lock.json`)) {
  const { status } = spawnSync("npm", ["ci", "--no-fund", "--no-audit"], {
    cwd: tools,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (status !== 0) {
    // Under `npm run -s` npm says nothing itself.
    process.stderr.write("biome and buf could not be installed: run npm ci in tools/ to see why\n");
    process.exitCode = 1;
  }
}
