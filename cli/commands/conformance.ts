/** `outrigger conformance [ADDR…]`: whether a driver keeps the contract, proven from outside. */
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { groups } from "../../conformance/groups/index.ts";
import { writeReports } from "../../conformance/report/write.ts";
import { isGreen } from "../../conformance/results.ts";
import { type RunOptions, runKit } from "../../conformance/runner.ts";
import { UnknownName } from "../../conformance/selection.ts";
import type { Target } from "../../conformance/wire.ts";
import { startNarration } from "../conformance-lines.ts";
import { Failure, Reported, UsageFailure } from "../failure.ts";
import { assertAddress, channelCredentials } from "../link.ts";
import { addTlsOptions, type TlsOptions, targetOf } from "../target-options.ts";
import { print } from "../terminal.ts";
import { version } from "../version.ts";

interface Options extends TlsOptions {
  readonly start: readonly string[];
  readonly kill?: string;
  readonly only: readonly string[];
  readonly without: readonly string[];
  readonly repeat: string;
  readonly seed?: string;
  readonly patience?: string;
  readonly localRoot?: string;
  readonly slow?: boolean;
  readonly report?: string;
}

const HELP = `
The start command gets the address as OUTRIGGER_LISTEN (and ADDR) and further flags at its end; it should be the driver
itself, or end with \`exec\` and "$@", so that signals and the exit code are the driver's. Without an address the kit
chooses a unix socket. With the driver's replica: its address as a second one, or --start twice.

Exit code 0: nothing failed, and something ran. What each test proves: docs/reference/conformance.md.`;

const names = (value: string, before: readonly string[]) => [...before, ...value.split(",").map((name) => name.trim())];
const commands = (value: string, before: readonly string[]) => [...before, value];

export function define(command: Command): void {
  addTlsOptions(command.argument("[addr...]", "unix:///path, host:port or dns:///name:port; a second one: its replica"))
    .option("--start <command>", "start and restart the driver by this; twice: also its replica", commands, [])
    .option("--kill <command>", "kill the driver by this (it gets ADDR and PID); default: SIGKILL to its process group")
    .option("--only <names>", "these groups, rules (blob.read.03, or all of blob.read) or tests", names, [])
    .option("--without <names>", "all but these", names, [])
    .option("--repeat <times>", "run each test so often, with other random choices each time", "1")
    .option("--seed <number>", "make the same random choices as the run that printed this")
    .option("--patience <ms>", "how long a silence is borne; default: 10 s for an answer, 30 s within a stream")
    .option("--local-root <dir>", "the folder in which the blob store keeps its files, for LOCAL_FILE")
    .option("--slow", "run also what takes a minute or more")
    .option("--report <dir>", "write result.json, junit.xml, report.html and badge.json there")
    .addHelpText("after", HELP)
    .action(conformance);
}

async function conformance(addresses: readonly string[], options: Options): Promise<void> {
  const repeat = wholeNumber("--repeat", options.repeat, 1, 100_000);
  const seed = wholeNumber("--seed", options.seed ?? String(Math.floor(Math.random() * 2 ** 31)), 0, 2 ** 53 - 1);
  const patienceMs =
    options.patience === undefined ? undefined : wholeNumber("--patience", options.patience, 10, 3_600_000);
  if (options.kill !== undefined && options.start.length === 0) throw new UsageFailure("--kill needs --start");
  if (options.localRoot !== undefined) assertFolder(options.localRoot);
  // Before a long run, not after it.
  if (options.report !== undefined) makeFolder(options.report);

  const sockets = new Sockets();
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort(new Failure("interrupted"));
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    const narration = startNarration(seed);
    const run: RunOptions = {
      groups,
      targets: targetsOf(addresses, options, sockets),
      only: options.only,
      without: options.without,
      repeat,
      seed,
      slow: options.slow ?? false,
      version: version(),
      signal: interrupt.signal,
      onEvent: narration.tell,
      ...(options.start.length === 0 ? {} : { start: options.start }),
      ...(options.kill === undefined ? {} : { kill: options.kill }),
      ...(patienceMs === undefined ? {} : { patienceMs }),
      ...(options.localRoot === undefined ? {} : { localRoot: resolve(options.localRoot) }),
    };
    const result = await runKit(run);
    narration.end(result);
    if (options.report !== undefined) print(...(await writeReports(options.report, result)));
    if (interrupt.signal.aborted) throw interrupt.signal.reason;
    if (!isGreen(result)) throw new Reported();
  } catch (error) {
    if (error instanceof UnknownName) throw new UsageFailure(error.message, { cause: error });
    throw error;
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    sockets.close();
  }
}

/** One for each process: as many as there are addresses or start commands. */
function targetsOf(addresses: readonly string[], options: Options, sockets: Sockets): readonly [Target, ...Target[]] {
  const count = Math.max(addresses.length, options.start.length);
  if (count > 2) throw new UsageFailure("at most two drivers are tested together: the driver and one replica");
  const [first, second] = Array.from({ length: count }, (_, index) =>
    wireTarget(addresses[index] ?? sockets.next(), options),
  );
  if (first === undefined)
    throw new UsageFailure("give the driver's address, or --start with the command that runs it");
  return second === undefined ? [first] : [first, second];
}

function wireTarget(address: string, options: TlsOptions): Target {
  assertAddress(address);
  const target = targetOf(address, options);
  const { tls } = target;
  return {
    address,
    credentials: channelCredentials(target),
    secure: tls !== undefined,
    ...(tls?.serverName === undefined ? {} : { serverName: tls.serverName }),
  };
}

/** Unix sockets for drivers that the kit starts and nobody gave an address. */
class Sockets {
  #folder: string | undefined;
  #count = 0;

  next(): string {
    this.#folder ??= mkdtempSync(join(tmpdir(), "kit-"));
    return `unix://${join(this.#folder, `${++this.#count}.sock`)}`;
  }

  close(): void {
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EEXIST" && code !== "ENOTDIR") throw error;
    throw new Failure(`--report: ${path} is a file, or lies below one: name a folder`, { cause: error });
  }
}

function assertFolder(path: string): void {
  if (!statSync(path).isDirectory()) throw new Failure(`--local-root: ${path} is not a folder`);
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageFailure(`${option}: ${text} is not a whole number from ${least} to ${most}`);
}
