/** `outrigger verify`: every byte of a pair of stores read again, and everything that should be there looked for. */
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import type { Command } from "commander";
import type { BytesState, VerifyOptions, VerifyReport } from "../../transfer/index.ts";
import { describeError, Failure, Reported, UsageFailure } from "../failure.ts";
import { assertAddress } from "../link.ts";
import { startProgress } from "../progress.ts";
import { addTlsOptions, type TlsOptions, targetOf } from "../target-options.ts";
import { formatBytes, print, printJson, table, warn } from "../terminal.ts";
import { addWorkOptions, untilStopped, type WorkOptions, workOf } from "../transfer/pair-options.ts";

interface VerifyCommandOptions extends TlsOptions, WorkOptions {
  readonly blobs: string;
  readonly meta?: string;
  readonly links?: boolean;
  readonly state?: string;
  readonly json?: string | true;
}

const AFTER = `
Nothing is changed. What is damaged or missing is named on stderr, one line each.

Exit codes: 0 everything is there and right, 1 something is damaged or missing, 2 wrong command line, or it could not be
found out.`;

const FAILED = 2;

export function define(command: Command): void {
  addWorkOptions(
    addTlsOptions(
      command
        .requiredOption("--blobs <addr>", "address of the driver of the blob store")
        .option("--meta <addr>", "address of the driver of the meta store (default: the blobs' address)"),
    ),
  )
    .option("--links", "read no bytes but manifests'")
    .option("--state <file>", "keep here how far the bytes were read; a run that finds the file goes on there")
    .option("--json [file]", "the report as JSON, to this file or instead of the table")
    .addHelpText("after", AFTER)
    .action(verify);
}

async function verify(options: VerifyCommandOptions): Promise<void> {
  let report: VerifyReport;
  try {
    report = await look(options);
    if (typeof options.json === "string") await writeFile(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  } catch (error) {
    if (error instanceof UsageFailure) throw error;
    // 1 would say that something is damaged.
    throw new Failure(describeError(error, false), { cause: error, exitCode: FAILED });
  }
  if (options.json === true) printJson(report);
  else tell(report);
  if (report.problems.count > 0) throw new Reported();
}

async function look(options: VerifyCommandOptions): Promise<VerifyReport> {
  const { blobs, meta = blobs } = options;
  assertAddress(blobs);
  assertAddress(meta);
  const { jobs, bytesPerSecond } = workOf(options);
  const [{ openPair }, { verifyPair, Rate }] = await Promise.all([
    import("../pair.ts"),
    import("../../transfer/index.ts"),
  ]);
  const state = options.state === undefined ? undefined : readState(options.state);
  const goesOn =
    options.state === undefined
      ? "stopped: give --state FILE so that a run can go on"
      : "stopped: run it again to go on";
  const progress = startProgress();
  try {
    return await untilStopped(goesOn, async (signal) => {
      const targets = { blobs: targetOf(blobs, options), meta: targetOf(meta, options) };
      const stores = await openPair(targets, "outrigger-verify");
      try {
        const verifyOptions: VerifyOptions = {
          signal,
          jobs,
          ...(bytesPerSecond === undefined ? {} : { rate: new Rate(bytesPerSecond) }),
          ...(options.links === undefined ? {} : { links: options.links }),
          ...(options.state === undefined ? {} : { state, save: stateWriter(options.state) }),
          doing: (what) => progress.show(what),
          waiting(why) {
            progress.end();
            warn(`waiting: ${why}`);
          },
        };
        return await verifyPair(stores, verifyOptions);
      } finally {
        await stores.close();
      }
    });
  } finally {
    progress.end();
  }
}

/** @throws Failure for a file that is no state */
function readState(file: string): BytesState | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const wrong = new UsageFailure(`--state ${file} holds no state of outrigger verify: give another file, or delete it`);
  let state: Partial<BytesState>;
  try {
    state = JSON.parse(text);
  } catch {
    throw wrong;
  }
  if (typeof state !== "object" || state === null) throw wrong;
  if (typeof state.storeId !== "string" || typeof state.after !== "string" || !Array.isArray(state.problems))
    throw wrong;
  return state as BytesState;
}

/** Whole or not at all. */
function stateWriter(file: string): (state: BytesState) => Promise<void> {
  return async (state) => {
    const fresh = `${file}.${process.pid}`;
    await writeFile(fresh, `${JSON.stringify(state)}\n`);
    await rename(fresh, file);
  };
}

function tell({ bytes, manifests, index, orphans, uploads, problems, notes }: VerifyReport): void {
  const room = (count: number, size: number) => `${count} (${formatBytes(size)})`;
  print(
    ...table([
      ...(bytes === undefined
        ? []
        : [
            ["blobs read", room(bytes.blobs, bytes.bytes)],
            ["damaged", String(bytes.damaged)],
          ]),
      ["links", String(index.links)],
      ["layers without bytes", String(index.withoutBytes)],
      ["manifests", String(manifests.manifests)],
      ["incomplete manifests", String(manifests.incomplete)],
      ["derived keys missing, wrong, stale", `${index.missing}, ${index.wrong}, ${index.stale}`],
      ["blobs of no repository", room(orphans.blobs, orphans.bytes)],
      ["uploads under way", room(uploads.uploads, uploads.bytes)],
      ["idle for a day", room(uploads.idle, uploads.idleBytes)],
    ]),
  );
  for (const { what, why } of notes.first) print(`note: ${what}: ${why}`);
  for (const { what, why } of problems.first) warn(`${what}: ${why}`);
  print(problems.count === 0 ? "everything is there and right" : `${problems.count} damaged or missing: see stderr`);
}
