/** docs/reference/protocol.md: the comments of the .proto files, with every rule under its id. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { generated } from "./markdown.ts";

const files = [
  ["Process and handshake", "outrigger/handshake/v1/handshake.proto"],
  ["Blob store", "outrigger/blob/v1/blob.proto"],
  ["Meta store", "outrigger/meta/v1/meta.proto"],
] as const;

export function protocolPage(): string {
  const sections = files.map(([title, name]) => {
    const path = fileURLToPath(new URL(`../../proto/${name}`, import.meta.url));
    return `## ${title}\n\`proto/${name}\`\n\n${fileSection(readFileSync(path, "utf8"))}`;
  });
  return `${generated("the comments of proto/outrigger/**/*.proto")}
# Protocol
What a registry core says to a driver process and what it may rely on. Each rule has an id, by which tests and log lines
name it. The files themselves: \`outrigger proto export DIR\`.

${sections.join("\n")}`;
}

/** One file: its comment, its service's calls with their rules, its messages as they stand. */
function fileSection(text: string): string {
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
  return `${out.join("\n")}\n### Messages\n\`\`\`proto\n${messages.join("\n\n")}\n\`\`\`\n`;
}

/** A comment as Markdown: paragraphs, and each rule as an item under its id. */
function prose(lines: readonly string[]): string {
  const out: string[] = [];
  let inRule = false;
  for (const line of lines) {
    const [, id, rule] = /^MUST \[([a-z0-9.]+)\] (.*)$/.exec(line) ?? [];
    inRule = id !== undefined || (inRule && line !== "");
    if (id !== undefined) out.push(`- **${id}** ${rule}`);
    else out.push(inRule ? `  ${line}` : line);
  }
  return `${out.join("\n").trim()}\n`;
}

function count(text: string, character: string): number {
  return text.split(character).length - 1;
}
