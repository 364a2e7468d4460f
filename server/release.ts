/** This package's own version: what its drivers answer to Describe. */
import { readFileSync } from "node:fs";

let known: string | undefined;

/** "0.1.0". Reads package.json, once; it lies beside the sources and above the compiled files. */
export function release(): string {
  known ??= readVersion("../package.json") ?? readVersion("../../package.json") ?? "0.0.0";
  return known;
}

function readVersion(path: string): string | undefined {
  try {
    const found = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as {
      name?: string;
      version?: string;
    };
    return found.name === "outrigger" ? found.version : undefined;
  } catch {
    return undefined;
  }
}
