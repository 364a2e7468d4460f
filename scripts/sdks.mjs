// Installs the vendors' SDKs that drivers need, each in its driver's own folder: `npm ci` leaves them out, since nobody
// needs one to push an image. `node scripts/sdks.mjs s3 redis` installs some; without names, all.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { npmCi } from "./npm-ci.mjs";

const drivers = fileURLToPath(new URL("../drivers/", import.meta.url));
const all = readdirSync(drivers).filter((name) => existsSync(join(drivers, name, "package-lock.json")));
const chosen = process.argv.length > 2 ? process.argv.slice(2) : all;

for (const name of chosen) {
  if (!all.includes(name)) {
    process.stderr.write(`no driver ${name} has packages of its own: ${all.join(", ")} have\n`);
    process.exitCode = 1;
  } else if (!npmCi(join(drivers, name))) {
    process.stderr.write(
      `the SDK of the ${name} driver could not be installed: run npm ci in drivers/${name}/ to see why\n`,
    );
    process.exitCode = 1;
  }
}
