/** JSON log lines as people read them. */

const LEVELS: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};
/** Said by the prefix already, or of no use to a reader. */
const LEFT_OUT = new Set(["level", "time", "msg", "pid", "hostname", "name", "v"]);

/** `12:03:04 driver warn: message (key=value)`; a line that is no JSON is only prefixed. */
export function prettyLine(name: string, line: string): string {
  const entry = parse(line);
  if (entry === undefined) return `${name}: ${line}`;
  const time = new Date(Number(entry["time"] ?? Number.NaN));
  const clock = Number.isNaN(time.getTime()) ? "" : `${time.toTimeString().slice(0, 8)} `;
  const level = typeof entry["level"] === "number" ? (LEVELS[entry["level"]] ?? "info") : String(entry["level"]);
  const facts = Object.entries(entry)
    .filter(([key]) => !LEFT_OUT.has(key))
    .map(([key, value]) => `${key}=${shown(key, value)}`);
  return `${clock}${name} ${level}: ${entry["msg"] ?? ""}${facts.length === 0 ? "" : ` (${facts.join(", ")})`}`;
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function shown(key: string, value: unknown): string {
  // An error's stack is for the JSON form.
  if (key === "err" && typeof value === "object" && value !== null && "message" in value) return String(value.message);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
