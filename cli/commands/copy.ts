/** `outrigger copy`: a pair of stores to another, over the wire. */
import type { Command } from "commander";
import type { CopyPairOptions, Tally } from "../../transfer/index.ts";
import { Reported, UsageFailure } from "../failure.ts";
import { startProgress } from "../progress.ts";
import { print, printJson, warn } from "../terminal.ts";
import { copyLine, Speed } from "../transfer/copy-progress.ts";
import { copyReport, copyTable } from "../transfer/copy-report.ts";
import {
  addPairOptions,
  addWorkOptions,
  type PairOptions,
  sideOf,
  untilStopped,
  type WorkOptions,
  workOf,
} from "../transfer/pair-options.ts";

interface CopyOptions extends PairOptions, WorkOptions {
  readonly only?: string;
  readonly delete?: boolean;
  readonly acceptTarget?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const AFTER = `
Every blob is verified by its digest as it is written. What the target has already is not copied again: after whatever
ended a copy, run the same command, and it goes on. Order: bytes, links, tags, so the target can be pulled from meanwhile.

Exit codes: 0 everything is at the target, 1 something could not be copied (it is named) or the copy ended early, 2 wrong
command line.`;

export function define(command: Command): void {
  addWorkOptions(addPairOptions(command))
    .option(
      "--only <blobs|meta>",
      "blobs: bytes alone, without what the meta store of --from-meta says is deleted; meta: only links to bytes that are there",
    )
    .option("--delete", "take away at the target what the source does not have")
    .option("--accept-target <id>", "the target's meta store: delete in it although it was not made by copies of FROM")
    .option("--dry-run", "change nothing, tell what would be copied")
    .option("--json", "the outcome as JSON")
    .addHelpText("after", AFTER)
    .action(copy);
}

async function copy(from: string, to: string, options: CopyOptions): Promise<void> {
  const { only } = options;
  if (only !== undefined && only !== "blobs" && only !== "meta")
    throw new UsageFailure(`--only is ${JSON.stringify(only)}: write blobs or meta`);
  if (only === "blobs" && options.delete)
    throw new UsageFailure("--delete needs both stores: which bytes are still needed, the meta store says");
  if (only === "blobs" && options.toMeta !== undefined)
    throw new UsageFailure("with --only blobs the target has no meta store: leave --to-meta out");
  if (options.acceptTarget !== undefined && !options.delete)
    throw new UsageFailure("--accept-target says where --delete may delete: give that as well");
  const [source, target, { jobs, bytesPerSecond }] = [
    sideOf("from", from, options),
    sideOf("to", to, options),
    workOf(options),
  ];
  const [{ openPair, openBlobs }, { copyBlobs, copyPair, heedDeletes, Rate, Tally }] = await Promise.all([
    import("../pair.ts"),
    import("../../transfer/index.ts"),
  ]);
  const progress = startProgress();
  const speed = new Speed();
  const tally: Tally = new Tally(() => progress.show(copyLine(tally, speed, performance.now(), process.stderr.isTTY)));
  const message = "stopped: what was copied stays, run the same command to go on";
  try {
    await untilStopped(message, async (signal) => {
      const common = {
        signal,
        jobs,
        tally,
        ...(bytesPerSecond === undefined ? {} : { rate: new Rate(bytesPerSecond) }),
        ...(options.dryRun === undefined ? {} : { dryRun: options.dryRun }),
        waiting: (why: string) => {
          progress.end();
          warn(`waiting: ${why}`);
        },
      };
      const closers: (() => unknown)[] = [];
      const opened = async <Store extends { close(): unknown }>(opening: Promise<Store>): Promise<Store> => {
        const store = await opening;
        closers.push(() => store.close());
        return store;
      };
      try {
        if (only === "blobs" && options.fromMeta === undefined) {
          const one = await opened(openBlobs(source.blobs, "outrigger-copy"));
          await copyBlobs(one.blobs, (await opened(openBlobs(target.blobs, "outrigger-copy"))).blobs, common);
        } else if (only === "blobs") {
          const pair = await opened(openPair({ ...source, beside: target.blobs }, "outrigger-copy"));
          if (pair.beside === undefined) throw new Error("a pair was opened without the store beside it");
          await copyBlobs(pair.blobs, pair.beside, { ...common, ...heedDeletes(pair.meta, pair.beside, { signal }) });
        } else {
          const pairOptions: CopyPairOptions = {
            ...common,
            ...(only === undefined ? {} : { only }),
            ...(options.delete === undefined ? {} : { delete: options.delete }),
            ...(options.acceptTarget === undefined ? {} : { acceptTarget: options.acceptTarget }),
          };
          const pair = await opened(openPair(source, "outrigger-copy"));
          await copyPair(pair, await opened(openPair(target, "outrigger-copy")), pairOptions);
        }
      } finally {
        for (const close of closers) await close();
      }
    });
  } finally {
    progress.end();
  }
  tell(tally, options);
}

function tell(tally: Tally, options: CopyOptions): void {
  if (options.json) printJson(copyReport(tally));
  else {
    print(...copyTable(tally));
    if (tally.dangling > 0) print(`${tally.dangling} links were left out: what they lead to is absent at the source`);
    if (tally.extras.count > 0 && !options.delete)
      print(`${tally.extras.count} are at the target alone: --delete takes them away, outrigger diff names them`);
    for (const { what, why } of tally.problems.kept) warn(`${what}: ${why}`);
    const { count } = tally.problems;
    const done = options.dryRun ? "nothing was changed: a dry run" : "done";
    print(count === 0 ? done : `${count} could not be copied: see above`);
  }
  if (tally.problems.count > 0) throw new Reported();
}
