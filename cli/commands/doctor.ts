/** `outrigger doctor`: tests a pair of drivers as a registry would use it, and says what to change. */
import type { Command } from "commander";
import type { StoreTarget } from "../../client/contract.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { examineDriver } from "../doctor/driver.ts";
import { type Finding, note, ok, problem } from "../doctor/findings.ts";
import { measure } from "../doctor/throughput.ts";
import { describeError, Reported } from "../failure.ts";
import { assertAddress } from "../link.ts";
import { checkPairOnly, openPair } from "../pair.ts";
import { addTlsOptions, type TlsOptions, targetOf } from "../target-options.ts";
import { print, printJson } from "../terminal.ts";

const MEASURE_TIMEOUT_MS = 60_000;

interface DoctorOptions extends TlsOptions {
  readonly blobs: string;
  readonly meta?: string;
  readonly json?: boolean;
}

export function define(command: Command): void {
  addTlsOptions(
    command
      .requiredOption("--blobs <addr>", "address of the driver of the blob store")
      .option("--meta <addr>", "address of the driver of the meta store (default: the blobs' address)"),
  )
    .option("--json", "as JSON")
    .action(doctor);
}

/** Ends with exit code 1 where there is a problem. */
async function doctor(options: DoctorOptions): Promise<void> {
  const { blobs, meta = blobs } = options;
  assertAddress(blobs);
  assertAddress(meta);
  const findings: Finding[] = [];
  const add = (...more: readonly Finding[]) => {
    findings.push(...more);
    if (!options.json) print(...more.flatMap(lines));
  };

  let usable = true;
  const wanted =
    meta === blobs
      ? [{ address: blobs, kinds: ["blob", "meta"] as const }]
      : [
          { address: blobs, kinds: ["blob"] as const },
          { address: meta, kinds: ["meta"] as const },
        ];
  for (const { address, kinds } of wanted) {
    try {
      const examined = await examineDriver(targetOf(address, options), kinds);
      add(...examined.findings);
      if (!examined.usable) usable = false;
    } catch (error) {
      add(unusable(error));
      usable = false;
    }
  }
  if (usable) add(...(await examinePair(targetOf(blobs, options), targetOf(meta, options))));

  const problems = findings.filter(({ level }) => level === "problem").length;
  if (options.json) printJson({ problems, findings });
  else print("", problems === 0 ? "no problems" : problems === 1 ? "1 problem" : `${problems} problems`);
  if (problems > 0) throw new Reported();
}

/** As a registry's core would: the handshake with its checks, the pair, then bytes. */
async function examinePair(blobs: StoreTarget, meta: StoreTarget): Promise<Finding[]> {
  const findings: Finding[] = [];
  try {
    const { paired } = await checkPairOnly({ blobs, meta });
    if (!paired && blobs.address !== meta.address) {
      // Measuring would connect as a registry does, and so make them a pair.
      return [note("pair: these two were never used together", "throughput is measured once a registry has used them")];
    }
    findings.push(ok("pair: the two stores belong together"));
    const stores = await openPair({ blobs, meta }, "outrigger-doctor");
    try {
      findings.push(...(await measure(stores, AbortSignal.timeout(MEASURE_TIMEOUT_MS))));
    } finally {
      await stores.close();
    }
  } catch (error) {
    findings.push(unusable(error));
  }
  return findings;
}

function unusable(error: unknown): Finding {
  // OpenSSL's errors have a reason too, but no section there.
  const reason = error instanceof OutriggerError ? error.reason : undefined;
  return problem(
    describeError(error, false),
    reason === undefined
      ? "correct the address or start the driver, then run this again"
      : `see docs/guides/operate.md#${reason.toLowerCase()}`,
  );
}

function lines({ level, text, advice }: Finding): string[] {
  const mark = { ok: "ok     ", note: "note   ", problem: "PROBLEM" }[level];
  return [`${mark}  ${text}`, ...(advice === undefined ? [] : [`         → ${advice}`])];
}
