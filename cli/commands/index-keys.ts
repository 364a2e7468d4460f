/** `outrigger index rebuild` and `outrigger index verify`: what the registry derives from facts, made anew or compared. */
import type { Command } from "commander";
import type { IndexOptions, IndexProgress, IndexReport } from "../../registry/index/index.ts";
import { Failure, Reported } from "../failure.ts";
import { assertAddress } from "../link.ts";
import { type Progress, startProgress } from "../progress.ts";
import { addTlsOptions, type TlsOptions, targetOf } from "../target-options.ts";
import { print, printJson, table, warn } from "../terminal.ts";

interface IndexCommandOptions extends TlsOptions {
  readonly blobs: string;
  readonly meta?: string;
  readonly json?: boolean;
}

export function define(command: Command): void {
  const subcommand = (name: string, description: string) =>
    addTlsOptions(
      command
        .command(name)
        .description(description)
        .requiredOption("--blobs <addr>", "address of the driver of the blob store")
        .option("--meta <addr>", "address of the driver of the meta store (default: the blobs' address)"),
    ).option("--json", "the outcome as JSON");
  subcommand(
    "rebuild",
    "Make every derived key anew where it is missing, wrong or stale: catalog, tags, referrers and what search tells. When images were pushed and how often they were pulled is kept. Safe beside a registry with cores: many.",
  ).action(rebuild);
  subcommand("verify", "Compare derived keys with the facts and change nothing; exit code 1 where they differ.").action(
    verify,
  );
}

async function rebuild(options: IndexCommandOptions): Promise<void> {
  const report = await runIndex("rebuild", options);
  const changed = report.missing + report.wrong + report.stale + report.withoutBytes > 0;
  tell(options, report, changed ? "rebuilt" : "nothing had to be changed");
}

async function verify(options: IndexCommandOptions): Promise<void> {
  const report = await runIndex("verify", options);
  const same = report.missing + report.wrong + report.stale + report.withoutBytes + report.problems.length === 0;
  tell(options, report, same ? "the index is right" : "the index differs: run outrigger index rebuild");
  if (!same) throw new Reported();
}

async function runIndex(kind: "rebuild" | "verify", options: IndexCommandOptions): Promise<IndexReport> {
  const { blobs, meta = blobs } = options;
  assertAddress(blobs);
  assertAddress(meta);
  const [{ openPair }, { rebuildIndex, verifyIndex }] = await Promise.all([
    import("../pair.ts"),
    import("../../registry/index/index.ts"),
  ]);
  const stop = new AbortController();
  const onSignal = () => stop.abort(new Failure("stopped: what was done stays done, run it again to finish"));
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  const stores = await openPair(
    { blobs: targetOf(blobs, options), meta: targetOf(meta, options) },
    `outrigger-index-${kind}`,
  );
  const progress = startProgress();
  try {
    const indexOptions: IndexOptions = { signal: stop.signal, progress: (now) => show(progress, now) };
    return await (kind === "rebuild" ? rebuildIndex(stores, indexOptions) : verifyIndex(stores, indexOptions));
  } catch (error) {
    // However the work notices that it was stopped, that is what happened.
    throw stop.signal.aborted ? stop.signal.reason : error;
  } finally {
    progress.end();
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
    await stores.close();
  }
}

function show(progress: Progress, { links, missing, wrong, stale, at }: IndexProgress): void {
  progress.show(`${links} links read, ${missing} missing, ${wrong} wrong, ${stale} stale, at ${at}`);
}

function tell(options: IndexCommandOptions, report: IndexReport, outcome: string): void {
  if (options.json) {
    printJson(report);
    return;
  }
  print(
    ...table([
      ["links read", String(report.links)],
      ["missing", String(report.missing)],
      ["wrong", String(report.wrong)],
      ["stale", String(report.stale)],
      ["layers without bytes", String(report.withoutBytes)],
    ]),
    outcome,
  );
  for (const { key, what } of report.problems) warn(`${key}: ${what}`);
}
