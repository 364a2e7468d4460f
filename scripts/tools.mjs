// Installs tools/ (biome, buf) when its lock file is newer than what is installed. They weigh 190 MB, so `npm ci` leaves them out.
import { fileURLToPath } from "node:url";
import { npmCi } from "./npm-ci.mjs";

if (!npmCi(fileURLToPath(new URL("../tools/", import.meta.url)))) {
  // Under `npm run -s` npm says nothing itself.
  process.stderr.write("biome and buf could not be installed: run npm ci in tools/ to see why\n");
  process.exitCode = 1;
}
