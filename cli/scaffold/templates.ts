/** The templates that there are, and what one of them makes of a name. `README.md` beside this file is their contract. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { protoFolder } from "../../proto/load.ts";
import { protoFiles } from "../../proto/options.ts";
import { fill, type Tokens } from "./names.ts";

/** What a template's template.json says. */
export interface TemplateFacts {
  readonly language: string;
  readonly needs: string;
  readonly proto?: string;
  readonly build: string;
  readonly start: string;
  readonly kit: string;
}

export interface MadeFile {
  /** Relative to the new folder. */
  readonly path: string;
  readonly content: Buffer | string;
  readonly executable: boolean;
}

export interface Template {
  /** What --lang takes. */
  readonly lang: string;
  /** With the tokens still in it. */
  readonly facts: TemplateFacts;
  /** Whether a file names where npm gets this package from. */
  readonly needsPackage: boolean;
  make(tokens: Tokens): { readonly facts: TemplateFacts; readonly files: readonly MadeFile[] };
}

const folder = fileURLToPath(new URL("./templates/", import.meta.url));
const ENDING = ".tmpl";

/** What --lang may be, in order. */
export async function languages(): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const found: string[] = [];
  for (const entry of entries) {
    // A template in the making has no facts yet.
    if (entry.isDirectory() && (await isFile(join(folder, entry.name, "template.json")))) found.push(entry.name);
  }
  return found.sort();
}

/** @throws Error when the template breaks its contract */
export async function readTemplate(lang: string): Promise<Template> {
  const home = join(folder, lang);
  const facts = await readFacts(join(home, "template.json"), lang);
  const sources: { path: string; text: string; executable: boolean }[] = [];
  for (const entry of await readdir(home, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(ENDING)) continue;
    const file = join(entry.parentPath, entry.name);
    const { mode } = await stat(file);
    const path = relative(home, file).slice(0, -ENDING.length);
    sources.push({ path, text: await readFile(file, "utf8"), executable: (mode & 0o100) !== 0 });
  }
  sources.sort((a, b) => (a.path < b.path ? -1 : 1));
  const protos = facts.proto === undefined ? [] : await readProtos(facts.proto);
  return {
    lang,
    facts,
    needsPackage: sources.some(({ text }) => text.includes("%%OUTRIGGER%%")),
    make(tokens) {
      const files = sources.map(({ path, text, executable }) => ({
        path: fill(path, tokens, `templates/${lang}/${path}`),
        content: fill(text, tokens, `templates/${lang}/${path}`),
        executable,
      }));
      const filled = Object.entries(facts).map(([name, value]) => [name, fill(value, tokens, "template.json")]);
      return { facts: Object.fromEntries(filled) as TemplateFacts, files: [...files, ...protos] };
    },
  };
}

async function readFacts(path: string, lang: string): Promise<TemplateFacts> {
  const facts = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  const missing = ["language", "needs", "build", "start", "kit"].find((name) => typeof facts[name] !== "string");
  if (missing !== undefined) throw new Error(`templates/${lang}/template.json has no text ${missing}`);
  return facts as unknown as TemplateFacts;
}

async function readProtos(into: string): Promise<MadeFile[]> {
  return Promise.all(
    protoFiles.map(async (name) => ({
      path: join(into, name),
      content: await readFile(join(protoFolder, name)),
      executable: false,
    })),
  );
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
