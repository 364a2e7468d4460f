/** `outrigger diff`: what two pairs of stores do not have in common. */
import type { Command } from "commander";
import type { DiffItem, DiffReport } from "../../transfer/index.ts";
import { describeError, Failure, Reported, UsageFailure } from "../failure.ts";
import { startProgress } from "../progress.ts";
import { endWithReader, print, printJson, table } from "../terminal.ts";
import {
  addPairOptions,
  addWorkOptions,
  type PairOptions,
  sideOf,
  untilStopped,
  type WorkOptions,
  workOf,
} from "../transfer/pair-options.ts";

interface DiffCommandOptions extends PairOptions, WorkOptions {
  readonly only?: string;
  readonly digest?: boolean;
  readonly json?: boolean;
}

const AFTER = `
Derived keys are not compared: each pair has its own, and outrigger verify looks at them.

Exit codes: 0 both have the same, 1 they differ, 2 wrong command line, or it could not be found out.`;

const FAILED = 2;
/** Of the JSON; the counts are of all. */
const MOST_ITEMS = 10_000;

export function define(command: Command): void {
  addWorkOptions(addPairOptions(command))
    .option("--only <blobs|meta>", "compare these alone")
    .option("--digest", "also read every blob on both sides and compare its bytes with its digest")
    .option("--json", "as JSON")
    .addHelpText("after", AFTER)
    .action(diff);
}

async function diff(from: string, to: string, options: DiffCommandOptions): Promise<void> {
  const { only } = options;
  if (only !== undefined && only !== "blobs" && only !== "meta")
    throw new UsageFailure(`--only is ${JSON.stringify(only)}: write blobs or meta`);
  let report: DiffReport;
  const items: DiffItem[] = [];
  try {
    report = await compare([from, to], only, options, (item) => {
      if (!options.json) print(line(item));
      else if (items.length < MOST_ITEMS) items.push(item);
    });
  } catch (error) {
    if (error instanceof UsageFailure) throw error;
    // 1 would say that they differ.
    throw new Failure(describeError(error, false), { cause: error, exitCode: FAILED });
  }
  if (options.json) printJson({ equal: report.differences === 0, ...report, items });
  else print(...summary(report));
  if (report.differences > 0) throw new Reported();
}

async function compare(
  [from, to]: readonly [string, string],
  only: "blobs" | "meta" | undefined,
  options: DiffCommandOptions,
  found: (item: DiffItem) => void,
): Promise<DiffReport> {
  const [source, target, { jobs, bytesPerSecond }] = [
    sideOf("from", from, options),
    sideOf("to", to, options),
    workOf(options),
  ];
  const [{ openPair }, { diffPairs, Rate }] = await Promise.all([
    import("../pair.ts"),
    import("../../transfer/index.ts"),
  ]);
  endWithReader();
  const progress = startProgress();
  let compared = 0;
  try {
    return await untilStopped("stopped: it was not compared to its end", async (signal) => {
      const one = await openPair(source, "outrigger-diff");
      try {
        const other = await openPair(target, "outrigger-diff");
        try {
          return await diffPairs(one, other, {
            signal,
            jobs,
            ...(bytesPerSecond === undefined ? {} : { rate: new Rate(bytesPerSecond) }),
            ...(only === undefined ? {} : { only }),
            ...(options.digest === undefined ? {} : { digest: options.digest }),
            found(item) {
              progress.end();
              found(item);
            },
            changed() {
              compared += 1;
              progress.show(`${compared} compared`);
            },
          });
        } finally {
          await other.close();
        }
      } finally {
        await one.close();
      }
    });
  } finally {
    progress.end();
  }
}

const singular: Readonly<Record<DiffItem["kind"], string>> = {
  blobs: "blob",
  layers: "layer",
  manifests: "manifest",
  tags: "tag",
  history: "history",
  other: "key",
};

/** As diff(1) marks lines: what only FROM has, what only TO has, what both have and is not the same. */
function line({ kind, what, name, detail }: DiffItem): string {
  const mark = { missing: "<", extra: ">", differs: "!" }[what];
  return `${mark} ${singular[kind]} ${name}${detail === undefined ? "" : `: ${detail}`}`;
}

function summary({ counts, dangling, differences }: DiffReport): string[] {
  const rows = Object.entries(counts)
    .filter(([kind, count]) => kind !== "other" || count.missing + count.extra + count.differs + count.same > 0)
    .map(([kind, { missing, extra, differs, same }]) => [kind, ...[missing, extra, differs, same].map(String)]);
  return [
    ...table([["", "< FROM alone", "> TO alone", "! differ", "same"], ...rows]),
    ...(dangling === 0 ? [] : [`${dangling} links at FROM lead to nothing there, and are no difference`]),
    differences === 0 ? "both have the same" : `${differences} differences`,
  ];
}
