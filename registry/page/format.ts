/** Sizes, times, counts and digests as people read them; the exact value is each one's title. */
import { type Html, html } from "./html.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;
const NUMBER = new Intl.NumberFormat("en");

/** 12345 → "12,345" */
export function count(value: number): string {
  return NUMBER.format(value);
}

/** "1 tag", "2 tags" */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** 1536 → "1.5 KiB": three digits at most, binary units. */
export function humanSize(bytes: number): string {
  let [value, unit] = [bytes, 0];
  // 1023.6 would be shown as 1024.
  while (value >= (unit === 0 ? 1024 : 1023.5) && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${unit === 0 ? value : String(Number(value.toFixed(digits)))} ${UNITS[unit]}`;
}

export function size(bytes: number | undefined): Html {
  if (bytes === undefined) return unknown();
  return html`<data class="size" value="${bytes}" title="${counted(bytes, "byte")}">${humanSize(bytes)}</data>`;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** From the longest; a month and a year are the mean ones. */
const SPANS = [
  [365.25 * DAY_MS, "year"],
  [30.44 * DAY_MS, "month"],
  [DAY_MS, "day"],
  [HOUR_MS, "hour"],
  [MINUTE_MS, "minute"],
] as const;
/** Clocks of machines differ by as much without anybody having to hear of it. */
const NOW_MS = MINUTE_MS;

/** "3 hours ago", "in 2 days", "just now". */
export function relativeTime(ms: number, nowMs: number): string {
  const span = Math.abs(nowMs - ms);
  if (span < NOW_MS) return "just now";
  const [unitMs, unit] = SPANS.find(([unitMs]) => span >= unitMs) ?? [MINUTE_MS, "minute"];
  const words = counted(Math.floor(span / unitMs), unit);
  return ms <= nowMs ? `${words} ago` : `in ${words}`;
}

/** @param ms unix ms; `undefined`: nobody knows */
export function time(ms: number | undefined, nowMs: number): Html {
  if (ms === undefined) return unknown();
  const iso = new Date(ms).toISOString();
  const exact = `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;
  return html`<time datetime="${iso}" title="${exact}">${relativeTime(ms, nowMs)}</time>`;
}

/** "sha256:0123456789ab…", whole as title. */
export function shortDigest(digest: string): Html {
  const colon = digest.indexOf(":");
  const end = colon + 13;
  const text = digest.length <= end + 1 ? digest : `${digest.slice(0, end)}…`;
  return html`<code class="digest" title="${digest}">${text}</code>`;
}

export function unknown(): Html {
  return html`<span class="unknown" title="not known">–</span>`;
}
