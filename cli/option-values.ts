/** Values that several commands take as options. */
import { UsageFailure } from "./failure.ts";

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** "500ms", "30s", "5m", "24h". @throws UsageFailure */
export function durationMs(option: string, text: string): number {
  const [, amount = "", unit = ""] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  if (unit === "") throw new UsageFailure(`${option} is ${JSON.stringify(text)}: write a time like 500ms, 30s or 5m`);
  return Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

const UNIT_BYTES = { "": 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** "0", "4096", "64KiB". @throws UsageFailure */
export function sizeBytes(option: string, text: string): number {
  const [, amount = "", unit = "-"] = /^(\d{1,12})(|B|KiB|MiB|GiB)$/.exec(text) ?? [];
  if (unit === "-")
    throw new UsageFailure(`${option} is ${JSON.stringify(text)}: write a size like 4096, 64KiB or 1MiB`);
  return Number(amount) * UNIT_BYTES[unit as keyof typeof UNIT_BYTES];
}
