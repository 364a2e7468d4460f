/** One driver, looked at from outside: does it answer, in what version, by which clock, how fast. */
import type { StoreTarget } from "../../client/contract.ts";
import { decideVersion } from "../../client/versions.ts";
import type { Store } from "../../proto/gen/outrigger/handshake/v1/Store.ts";
import { type ApiName, spoken } from "../../proto/versions.ts";
import { openLink } from "../link.ts";
import { certificateFinding } from "./certificate.ts";
import { type Finding, note, ok, problem } from "./findings.ts";
import { clockFinding, percentiles, roundTripFinding, windowFinding } from "./times.ts";

const CALLS = 200;
const LONGEST_MS = 2_000;

export type StoreKind = "blob" | "meta";

/**
 * @param kinds what the driver at this address is wanted for
 * @returns findings, and whether the driver can be used at all
 */
export async function examineDriver(
  target: StoreTarget,
  kinds: readonly StoreKind[],
): Promise<{ readonly findings: Finding[]; readonly usable: boolean }> {
  const findings: Finding[] = [];
  const link = openLink(target);
  try {
    const first = await link.version();
    findings.push(ok(`${target.address} answers`));
    let usable = true;
    for (const kind of kinds) {
      const versions = versionFinding(target.address, kind, first.response.api ?? {});
      findings.push(versions);
      if (versions.level === "problem") usable = false;
    }
    const { response } = await link.describe();
    findings.push(ok(`driver: ${response.driver} ${response.version}`));
    for (const kind of kinds) findings.push(...storeFindings(kind, response.stores));
    findings.push(...response.notices.map((text) => note(text)));

    const samples: number[] = [];
    const startedMs = performance.now();
    let aheadMs: number | undefined;
    let quickest = Number.POSITIVE_INFINITY;
    while (samples.length < CALLS && performance.now() - startedMs < LONGEST_MS) {
      const answer = await link.version();
      samples.push(answer.tookMs);
      // The quickest round trip says most about the clock.
      if (answer.nowMs !== undefined && answer.tookMs < quickest) {
        quickest = answer.tookMs;
        aheadMs = answer.nowMs - (Date.now() - answer.tookMs / 2);
      }
    }
    if (aheadMs === undefined) {
      findings.push(problem("clock: the driver does not tell it", "report [call.now.01] to the driver's author"));
      usable = false;
    } else {
      const clock = clockFinding(aheadMs, quickest);
      findings.push(clock);
      if (clock.level === "problem") usable = false;
    }
    const times = percentiles(samples);
    findings.push(roundTripFinding(`round trip (${samples.length} calls)`, times));
    const window = target.address.startsWith("unix:") ? undefined : windowFinding(times.p50);
    if (window !== undefined) findings.push(window);
    const certificate = await certificateFinding(target);
    if (certificate !== undefined) findings.push(certificate);
    return { findings, usable };
  } finally {
    link.close();
  }
}

function versionFinding(
  address: string,
  kind: StoreKind,
  listed: Readonly<Record<string, { readonly versions: readonly { major: number; minor: number }[] }>>,
): Finding {
  const api: ApiName = `outrigger.${kind}`;
  try {
    const decision = decideVersion({
      api,
      offered: spoken[api],
      listed: listed[api]?.versions,
      needed: true,
      compat: [],
      address,
    });
    if (decision.log?.level === "warn") return note(decision.log.text);
    const { use } = decision;
    return ok(use === undefined ? `${api} is not used` : `${api} ${use.major}.${use.minor}`);
  } catch (error) {
    return problem(error instanceof Error ? error.message : String(error), "use the release that the line names");
  }
}

function storeFindings(kind: StoreKind, stores: readonly Store[]): Finding[] {
  const store = stores.find((candidate) => candidate.kind === `STORE_KIND_${kind.toUpperCase()}`);
  if (store === undefined) {
    return [problem(`the driver describes no ${kind} store`, `give the address of a driver that has one`)];
  }
  const findings = [ok(`${kind} store ${store.id}: ${store.capabilities.join(", ") || "no capabilities"}`)];
  if (!store.capabilities.includes("DURABLE"))
    findings.push(
      note(`the ${kind} store is not DURABLE`, "what is pushed may be gone after a restart: for tests only"),
    );
  return findings;
}
