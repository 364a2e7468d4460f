/** docs/reference/protocol.md: the comments of the .proto files, with every rule under its id. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { generated, markdownTable } from "./markdown.ts";

const files = [
  ["Process and handshake", "outrigger/handshake/v1/handshake.proto"],
  ["Blob store", "outrigger/blob/v1/blob.proto"],
  ["Meta store", "outrigger/meta/v1/meta.proto"],
  ["Scanner", "outrigger/scan/v1/scan.proto"],
] as const;

export function protocolPage(): string {
  const read = (name: string) => readFileSync(fileURLToPath(new URL(`../../proto/${name}`, import.meta.url)), "utf8");
  const sections = files.map(
    ([title, name]) => `## ${title}\n\`proto/${name}\`\n\n${fileSection(read(name), shortOf(name))}`,
  );
  const calls = files.flatMap(([, name]) => callsOf(read(name)));
  return `${generated("the comments of proto/outrigger/**/*.proto")}
# Protocol
What a registry core says to a driver process and what it may rely on. Each rule has an id, by which tests, log lines and
the [conformance kit](conformance.md) name it. The files themselves: \`outrigger proto export DIR\`. To call any of it by
hand: \`outrigger call ADDR METHOD\`.

[Capabilities](capabilities.md) · [limits](limits.md) · [errors](errors.md) · [versions](versions.md) ·
[write a driver](../guides/write-a-driver/README.md)

${markdownTable(["call", "kind", "what it does"], calls)}

${sections.join("\n")}`;
}

/** "blob" */
function shortOf(name: string): string {
  return name.split("/")[1] ?? "";
}

/** Each call with a link to its section, how it is made, and the first sentence of its comment. */
function callsOf(text: string): string[][] {
  const service = /^service (\w+) \{/m.exec(text)?.[1] ?? "";
  const pattern = /((?: {2}\/\/.*\n)+) {2}rpc (\w+)\((stream )?\w+\) returns \((stream )?\w+\);/g;
  return [...text.matchAll(pattern)].map(([, comment = "", call, up, down]) => {
    const words = comment.replaceAll(/^ {2}\/\/ ?/gm, "").replaceAll("\n", " ");
    const kind = up ? "stream both ways" : down ? "stream of answers" : "one answer";
    const anchor = `${service}${call}`.toLowerCase();
    return [`[${service}.${call}](#${anchor})`, kind, /^.*?\.(?= |$)/.exec(words)?.[0] ?? words];
  });
}

/** One file: its comment, its service's calls with their rules, its messages as they stand. */
function fileSection(text: string, name: string): string {
  const out: string[] = [];
  const messages: string[] = [];
  let comment: string[] = [];
  let depth = 0;
  let service = "";
  let block: string[] | undefined;
  for (const line of text.split("\n")) {
    if (block !== undefined) {
      block.push(line);
      depth += count(line, "{") - count(line, "}");
      if (depth === 0) {
        messages.push(block.join("\n"));
        block = undefined;
      }
      continue;
    }
    const trimmed = line.trim();
    if (trimmed.startsWith("//")) {
      comment.push(trimmed.slice(2).trim());
      continue;
    }
    const [, serviceName] = /^service (\w+) \{/.exec(trimmed) ?? [];
    const [, call, request, answer] = /^rpc (\w+)\(([\w ]+)\) returns \(([\w ]+)\);/.exec(trimmed) ?? [];
    if (trimmed.startsWith("syntax ")) out.push(prose(comment));
    else if (serviceName !== undefined) {
      service = serviceName;
      out.push(prose(comment));
    } else if (call !== undefined) {
      out.push(`### ${service}.${call}\n\`${request}\` → \`${answer}\`\n\n${prose(comment)}`);
    } else if (/^(message|enum) /.test(trimmed)) {
      block = [...comment.map((words) => `// ${words}`), line];
      depth = count(line, "{") - count(line, "}");
      if (depth === 0) {
        messages.push(block.join("\n"));
        block = undefined;
      }
    }
    comment = [];
  }
  return `${out.join("\n")}\n### Messages of ${name}\n\`\`\`proto\n${messages.join("\n\n")}\n\`\`\`\n`;
}

/** A comment as Markdown: paragraphs, and each rule as an item under its id. */
function prose(lines: readonly string[]): string {
  const out: string[] = [];
  let inRule = false;
  for (const line of lines) {
    const [, id, rule] = /^MUST \[([a-z0-9.]+)\] (.*)$/.exec(line) ?? [];
    inRule = id !== undefined || (inRule && line !== "");
    if (id !== undefined) out.push(`- <a id="${id}"></a>**${id}** ${rule}`);
    else out.push(inRule ? `  ${line}` : line);
  }
  return `${out.join("\n").trim()}\n`;
}

function count(text: string, character: string): number {
  return text.split(character).length - 1;
}
