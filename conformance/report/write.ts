/** A run's files: result.json, junit.xml, report.html, badge.json. */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunResult } from "../results.ts";
import { sentences } from "../rules.ts";
import { badgeOf } from "./badge.ts";
import { htmlOf } from "./html.ts";
import { junitOf } from "./junit.ts";

/** Makes the folder; each file is there whole or as it was. @returns the files' paths */
export async function writeReports(folder: string, result: RunResult): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const files: Readonly<Record<string, string>> = {
    "result.json": json(result),
    "junit.xml": junitOf(result),
    "report.html": htmlOf(result, sentences()),
    "badge.json": json(badgeOf(result)),
  };
  const paths: string[] = [];
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    await writeFile(`${path}.tmp`, text);
    await rename(`${path}.tmp`, path);
    paths.push(path);
  }
  return paths;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
