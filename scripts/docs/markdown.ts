/** The little Markdown that the generated pages need. */

/** Says where a page comes from, for whoever opens it to edit. */
export function generated(source: string): string {
  return `<!-- Written by scripts/docs.ts from ${source}; change that and run \`npm run docs\`. -->`;
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`)
    .join("\n");
}
