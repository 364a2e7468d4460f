/** docs/reference/limits.md: the protocol's numbers. */
import { formatBytes, formatMs } from "../../cli/terminal.ts";
import { limits } from "../../proto/limits.ts";
import { generated, markdownTable } from "./markdown.ts";

const meanings: Readonly<Record<keyof typeof limits, string>> = {
  messageBytes: "largest gRPC message, either direction",
  chunkBytes: "largest `data` of a chunk",
  preferredChunkBytes: "what this project's own sides send as a chunk",
  putBytes: "largest blob of one Put; more goes by Append",
  listItems: "most items of one page",
  statKeys: "most keys of one Stat",
  deleteKeys: "most keys of one Delete",
  getKeys: "most keys of one meta Get",
  writeOperations: "most operations of one meta Write",
  writeBytes: "largest meta Write in all",
  valueBytes: "largest meta value",
  unaryDeadlineMs: "deadline of a unary call",
  listDeadlineMs: "deadline of a listing",
  streamOwedMs: "how long the core waits for a message that the driver owes a stream",
  streamIdleMs: "how long the driver waits for a message that the core owes a stream",
  progressEveryMs: "a driver at work on a commit or a move says so at least this often",
  clockSkewMs: "how far apart the clocks of core and driver may be",
  uploadTtlMs: "an idle upload is kept at least this long",
};

export function limitsPage(): string {
  return `${generated("proto/limits.ts")}
# Limits
The numbers of the [protocol](protocol.md). What a store limits beyond them it tells in Describe, as
\`outrigger describe ADDR\` shows it. What it can do beyond every store: [capabilities](capabilities.md).

${markdownTable(
  ["limit", "value", "meaning"],
  Object.entries(limits).map(([name, value]) => [name, shown(name, value), meanings[name as keyof typeof limits]]),
)}
`;
}

function shown(name: string, value: number): string {
  if (name.endsWith("Bytes")) return formatBytes(value);
  return name.endsWith("Ms") ? formatMs(value) : String(value);
}
