/** The contract's rules, read from the comments of its .proto files: what the kit's tests are joined with by id. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { protoFolder } from "../proto/load.ts";
import { protoFiles } from "../proto/options.ts";

export interface Rule {
  /** "blob.read.03" */
  readonly id: string;
  /** Its words, on one line. */
  readonly sentence: string;
  /** "blob.proto" */
  readonly file: string;
}

/** Every `MUST [id]`, in the order of the files. Reads them anew. */
export function readRules(): Rule[] {
  return protoFiles
    .filter((name) => name.startsWith("outrigger/"))
    .flatMap((name) => rulesOf(readFileSync(join(protoFolder, name), "utf8"), name.slice(name.lastIndexOf("/") + 1)));
}

/** By id. */
export function sentences(): ReadonlyMap<string, string> {
  return new Map(readRules().map(({ id, sentence }) => [id, sentence]));
}

/** A rule goes on until a blank comment line, the next rule, or the comment's end. */
export function rulesOf(text: string, file: string): Rule[] {
  const rules: Rule[] = [];
  let open: { id: string; words: string[] } | undefined;
  const close = () => {
    if (open !== undefined) rules.push({ id: open.id, sentence: open.words.join(" "), file });
    open = undefined;
  };
  for (const line of text.split("\n")) {
    const comment = /^\s*\/\/ ?(.*)$/.exec(line)?.[1]?.trim();
    const [, id, words] = /^MUST \[([^\]]+)\] (.*)$/.exec(comment ?? "") ?? [];
    if (comment === undefined || comment === "" || id !== undefined) close();
    if (id !== undefined) open = { id, words: [words ?? ""] };
    else if (open !== undefined && comment !== undefined) open.words.push(comment);
  }
  close();
  return rules;
}
