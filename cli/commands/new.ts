/** `outrigger new driver NAME --lang LANG`: a folder with a driver that works, for its author to fill. */
import { relative, resolve } from "node:path";
import type { Command } from "commander";
import { UsageFailure } from "../failure.ts";
import { assertName, tokensOf } from "../scaffold/names.ts";
import { ownPackage } from "../scaffold/own-package.ts";
import { languages, readTemplate, type TemplateFacts } from "../scaffold/templates.ts";
import { assertEmpty, writeFolder } from "../scaffold/write.ts";
import { print } from "../terminal.ts";
import { version } from "../version.ts";

interface NewOptions {
  readonly lang: string;
  readonly dir?: string;
  readonly outrigger?: string;
}

export function define(command: Command): void {
  command
    .command("driver")
    .description("Write a folder with a driver that passes the kit on a backend in memory, its places to fill marked.")
    .argument("<name>", 'like "my-store": lower-case words joined by "-"')
    .requiredOption("--lang <lang>", "the language it is written in: ts, go or python")
    .option("--dir <folder>", "where to write it; new or empty (default: a folder of its name, here)")
    .option(
      "--outrigger <spec>",
      "where npm gets this package from (default: this release; from a clone, a tarball of it)",
    )
    .action(newDriver);
}

async function newDriver(name: string, options: NewOptions): Promise<void> {
  assertName(name);
  const known = await languages();
  if (!known.includes(options.lang)) {
    throw new UsageFailure(
      `there is no template in ${options.lang}: --lang is one of ${known.join(", ")}; for any other language see docs/guides/write-a-driver/any-language.md`,
    );
  }
  const folder = resolve(options.dir ?? name);
  await assertEmpty(folder);
  const template = await readTemplate(options.lang);
  const own =
    options.outrigger !== undefined
      ? { dependency: options.outrigger, files: [] }
      : template.needsPackage
        ? await ownPackage()
        : { dependency: `^${version()}`, files: [] };
  const { facts, files } = template.make(tokensOf(name, version(), own.dependency));
  await writeFolder(folder, [...files, ...own.files]);
  print(...told(folder, files.length + own.files.length, facts));
}

function told(folder: string, count: number, facts: TemplateFacts): string[] {
  const shown = relative(process.cwd(), folder);
  const path = shown === "" ? "." : shown.startsWith("..") ? folder : shown;
  return [
    `${count} files in ${folder}: a driver in ${facts.language} that works, on a backend in memory.`,
    `It needs ${facts.needs}. What is yours to write is marked FILL IN. Next:`,
    "",
    `  cd ${/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`}`,
    `  ${facts.build}`,
    `  ${facts.kit}`,
  ];
}
