/** This release, as package.json tells it: the one place where it stands. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Walks up from this file, which lies in cli/ (sources) or dist/cli/ (compiled). */
export function version(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const manifest = readManifest(join(folder, "package.json"));
    if (manifest?.name === "outrigger") return manifest.version;
    const parent = dirname(folder);
    if (parent === folder) throw new Error("outrigger's package.json is missing: install it again");
    folder = parent;
  }
}

function readManifest(path: string): { name: string; version: string } | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
