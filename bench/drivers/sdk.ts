/** A vendor's SDK from the folder of the driver that uses it. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { repository } from "../../test/helpers/tools.ts";

/** @param Module its types are beyond what a file here can import: say which functions are used */
export async function sdkOf<Module>(driver: string, name: string): Promise<Module> {
  const require = createRequire(join(repository, "drivers", driver, "index.ts"));
  return (await import(pathToFileURL(require.resolve(name)).href)) as Module;
}
