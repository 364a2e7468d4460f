/**
 * The drivers of the README's table: what each told the conformance kit, and what the kit found. Kept as one short file per
 * driver in docs/reference/reports/, written from the kit's result.json by the driver's own kit test
 * (OUTRIGGER_WRITE_REPORTS=1); without that variable the test holds the file against what it found.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ProfileState, RunResult } from "../../conformance/results.ts";

export const reports = fileURLToPath(new URL("../../docs/reference/reports/", import.meta.url));

/** What does not change from run to run. */
export interface DriverReport {
  readonly driver: string;
  /** "blob", "meta": each with its capabilities. */
  readonly stores: Readonly<Record<string, readonly string[]>>;
  readonly profiles: Readonly<Record<string, ProfileState>>;
}

/** @throws Error when the kit did not get as far as Describe */
export function reportOf(result: RunResult): DriverReport {
  if (result.driver === undefined) throw new Error("the kit's result names no driver");
  const stores = Object.fromEntries(
    result.driver.stores.map(({ kind, capabilities }) => [kind, [...capabilities].sort()] as const),
  );
  return { driver: result.driver.name, stores, profiles: result.profiles };
}

export function reportText(report: DriverReport): string {
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

const CAPABILITIES = ["DURABLE", "LOCAL_FILE", "REPLICAS", "SIGN_URL"];
const BEGIN = "<!-- drivers: written by scripts/docs.ts from docs/reference/reports/ -->";
const END = "<!-- drivers end -->";

/** README.md with its table as the reports say. @throws Error without the two comments that hold it */
export function withDriverTable(readme: string): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`README.md holds no ${BEGIN} … ${END}`);
  return `${readme.slice(0, begin)}${BEGIN}\n${table()}\n${readme.slice(end)}`;
}

function table(): string {
  const rows = readdirSync(reports)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => row(name.replace(/\.json$/, ""), JSON.parse(readFileSync(join(reports, name), "utf8"))));
  return [
    `| driver | stores | ${CAPABILITIES.join(" | ")} | kit |`,
    `| --- | --- | ${CAPABILITIES.map(() => "---").join(" | ")} | --- |`,
    ...rows,
  ].join("\n");
}

function row(name: string, report: DriverReport): string {
  const folder = name.split("-", 1)[0] ?? name;
  const claimed = new Set(Object.values(report.stores).flat());
  const found = (wanted: ProfileState) =>
    Object.entries(report.profiles).flatMap(([profile, state]) => (state === wanted ? [profile] : []));
  const kit = [
    ["passes", found("passed")],
    ["fails", found("failed")],
    ["not run:", found("not-run")],
  ] as const;
  const said = kit
    .flatMap(([what, profiles]) => (profiles.length === 0 ? [] : [`${what} ${profiles.join(", ")}`]))
    .join("; ");
  const cells = CAPABILITIES.map((capability) => (claimed.has(capability) ? "yes" : "no"));
  const title = name === folder ? name : `${folder} on ${name.slice(folder.length + 1)}`;
  const stores = Object.keys(report.stores).join(", ");
  return `| [${title}](drivers/${folder}/README.md) | ${stores} | ${cells.join(" | ")} | ${said} |`;
}
