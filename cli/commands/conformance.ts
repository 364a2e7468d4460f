/** `outrigger conformance [ADDR…]`: whether a driver keeps the contract, proven from outside. */
import type { Command } from "commander";
import { groups } from "../../conformance/groups/index.ts";
import { isGreen } from "../../conformance/results.ts";
import { type RunEvent, runKit } from "../../conformance/runner.ts";
import { UnknownName } from "../../conformance/selection.ts";
import { Reported, UsageFailure } from "../failure.ts";
import { assertAddress, channelCredentials } from "../link.ts";
import { addTlsOptions, type TlsOptions, targetOf } from "../target-options.ts";
import { print } from "../terminal.ts";
import { version } from "../version.ts";

interface Options extends TlsOptions {
  readonly start: string[];
  readonly kill?: string;
  readonly only: string[];
  readonly without: string[];
  readonly repeat?: string;
  readonly seed?: string;
  readonly report?: string;
  readonly patience?: string;
  readonly localRoot?: string;
  readonly slow?: boolean;
}

const collect = (value: string, before: string[]) => [...before, ...value.split(",").filter((part) => part !== "")];

export function define(command: Command): void {
  addTlsOptions(command.argument("[addr...]", "the driver's address, and its replica's"))
    .option("--start <cmd>", "start the driver by this", (value, before: string[]) => [...before, value], [])
    .option("--kill <cmd>", "kill it by this; default: SIGKILL to its process group")
    .option("--only <names>", "groups, rules or tests", collect, [])
    .option("--without <names>", "leave these out", collect, [])
    .option("--repeat <n>", "run each test so often")
    .option("--seed <n>", "of all random choices")
    .option("--patience <ms>", "how long a silence is borne")
    .option("--local-root <dir>", "the folder that the blob store keeps its files in")
    .option("--slow", "run what takes minutes too")
    .action(conformance);
}

async function conformance(addresses: string[], options: Options): Promise<void> {
  const targets = addresses.map((address) => {
    assertAddress(address);
    const target = targetOf(address, options);
    const { tls } = target;
    return {
      address,
      credentials: channelCredentials(target),
      secure: tls !== undefined,
      ...(tls?.serverName === undefined ? {} : { serverName: tls.serverName }),
    };
  });
  const [first, ...others] = targets;
  if (first === undefined) throw new UsageFailure("give the driver's address");
  try {
    const result = await runKit({
      groups,
      targets: [first, ...others],
      ...(options.start.length === 0 ? {} : { start: options.start }),
      ...(options.kill === undefined ? {} : { kill: options.kill }),
      only: options.only,
      without: options.without,
      repeat: Number(options.repeat ?? 1),
      seed: Number(options.seed ?? Math.floor(Math.random() * 2 ** 31)),
      ...(options.patience === undefined ? {} : { patienceMs: Number(options.patience) }),
      ...(options.localRoot === undefined ? {} : { localRoot: options.localRoot }),
      slow: options.slow ?? false,
      version: version(),
      onEvent: tell,
    });
    print(
      `${result.passed} passed, ${result.failed} failed, ${result.notClaimed} not claimed, ${result.notRun} not run`,
    );
    if (!isGreen(result)) throw new Reported();
  } catch (error) {
    if (error instanceof UnknownName) throw new UsageFailure(error.message, { cause: error });
    throw error;
  }
}

function tell(event: RunEvent): void {
  if (event.type === "group") print(event.group.name);
  if (event.type !== "result") return;
  const { test, title, state, why, failure, tookMs } = event.result;
  print(`  ${state} ${test}: ${title}${why === undefined ? "" : ` (${why})`} ${tookMs} ms`);
  if (failure !== undefined) print(`    ${failure.message}`);
}
