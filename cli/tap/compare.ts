/** Where two answers to one request differ in what the contract promises: not in etags, times, fences and the like. */
import { createHash } from "node:crypto";
import type { Method } from "../rpc/schema.ts";

type Plain = Record<string, unknown>;

export interface Ended {
  readonly code: string;
  readonly reason: string;
}

/** May be another with each driver, and each time. */
const ownValues = new Set(["etag", "modifiedMs", "fence", "idleMs", "digests", "url", "expiresMs", "path"]);

/** Sentences; none: the same. @param recorded messages as plain objects, in order */
export function differences(
  method: Method,
  recorded: { readonly answers: readonly Plain[]; readonly end: Ended },
  now: { readonly answers: readonly Plain[]; readonly end: Ended },
): string[] {
  const told: string[] = [];
  if (recorded.end.code !== now.end.code || recorded.end.reason !== now.end.reason)
    told.push(`${shownEnd(recorded.end)} in the recording, ${shownEnd(now.end)} now`);
  // Who a driver is may differ; that it answers is compared above.
  else if (method.name.startsWith("BlobService.") || method.name.startsWith("MetaService."))
    diff(essence(method, recorded.answers), essence(method, now.answers), "", told);
  return told;
}

function shownEnd({ code, reason }: Ended): string {
  return reason === "" ? code : `${code}/${reason}`;
}

/** What is promised, whatever the pieces it came in. */
function essence(method: Method, answers: readonly Plain[]): Plain {
  switch (method.name) {
    case "BlobService.Read": {
      const hash = createHash("sha256");
      let bytes = 0;
      for (const { chunk } of answers as { chunk?: { data?: Uint8Array } }[]) {
        hash.update(chunk?.data ?? "");
        bytes += chunk?.data?.length ?? 0;
      }
      return { start: answers[0]?.["start"], bytes, sha256: hash.digest("hex") };
    }
    case "BlobService.Append": {
      const find = (step: string) => answers.find((answer) => answer[step] !== undefined)?.[step];
      const last = answers.findLast((answer) => answer["progress"] !== undefined)?.["progress"] as Plain | undefined;
      const committed = find("committed");
      // How often progress is told is the driver's; what a flush or the end reached is not, unless the commit says it.
      return { opened: find("opened"), committed, ...(committed ? {} : { received: last?.["received"] ?? 0 }) };
    }
    case "BlobService.Move":
      return { info: answers.find((answer) => answer["info"] !== undefined)?.["info"] };
    default:
      return answers[0] ?? {};
  }
}

const MOST = 5;

function diff(recorded: unknown, now: unknown, at: string, told: string[]): void {
  if (told.length >= MOST) return;
  if (recorded instanceof Uint8Array && now instanceof Uint8Array) {
    if (!Buffer.from(recorded).equals(now))
      told.push(`${at}: ${recorded.length} bytes in the recording, ${now.length} other ones now`);
    return;
  }
  if (isBranch(recorded) && isBranch(now)) {
    if (Array.isArray(recorded) && Array.isArray(now) && recorded.length !== now.length)
      told.push(`${at}: ${recorded.length} in the recording, ${now.length} now`);
    for (const name of new Set([...Object.keys(recorded), ...Object.keys(now)])) {
      if (ownValues.has(name)) continue;
      const path = Array.isArray(recorded) ? `${at}[${name}]` : at === "" ? name : `${at}.${name}`;
      diff((recorded as Plain)[name], (now as Plain)[name], path, told);
    }
    return;
  }
  if (recorded !== now) told.push(`${at}: ${shown(recorded)} in the recording, ${shown(now)} now`);
}

function isBranch(value: unknown): value is object {
  return typeof value === "object" && value !== null && !(value instanceof Uint8Array);
}

const MOST_SHOWN = 100;

function shown(value: unknown): string {
  if (value === undefined) return "absent";
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  const text = JSON.stringify(value, (_, part) => (part?.type === "Buffer" ? `${part.data.length} bytes` : part)) ?? "";
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
}
