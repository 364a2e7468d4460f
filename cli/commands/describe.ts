/** `outrigger describe ADDR`: what a driver tells of itself. */
import type { Command } from "commander";
import type { ApiVersions } from "../../proto/gen/outrigger/handshake/v1/ApiVersions.ts";
import type { DescribeResponse } from "../../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import type { Limits } from "../../proto/gen/outrigger/handshake/v1/Limits.ts";
import { openLink } from "../link.ts";
import { addTlsOptions, type TlsOptions, targetOf } from "../target-options.ts";
import { formatBytes, formatMs, print, printJson, table } from "../terminal.ts";

export function define(command: Command): void {
  addTlsOptions(command.argument("<addr>", "unix:///path, host:port or dns:///name:port"))
    .option("--json", "as JSON")
    .action(describe);
}

async function describe(address: string, options: TlsOptions & { readonly json?: boolean }): Promise<void> {
  const link = openLink(targetOf(address, options));
  try {
    // The core's own order: versions first.
    const { response: versions } = await link.version();
    const { response } = await link.describe();
    if (options.json) printJson({ address, api: versions.api, ...response });
    else print(...page(address, response));
  } finally {
    link.close();
  }
}

function page(address: string, described: DescribeResponse): string[] {
  const lines = table([
    ["address", address],
    ["driver", `${described.driver} ${described.version}`],
    ...Object.entries(described.apis ?? {}).map(([api, versions]) => [api, spokenVersions(versions)]),
  ]);
  for (const store of described.stores) {
    lines.push(
      "",
      `${String(store.kind).replace("STORE_KIND_", "").toLowerCase()} store`,
      ...table([
        ["  id", store.id],
        ["  capabilities", store.capabilities.join(", ") || "none"],
        ...limitRows(store.limits),
        ["  changed from outside", store.outside === 0 ? "never" : `${store.outside} times`],
      ]),
    );
  }
  if (described.notices.length > 0) lines.push("", ...described.notices.map((notice) => `note: ${notice}`));
  return lines;
}

function spokenVersions({ versions }: ApiVersions): string {
  return versions.map(({ major, minor }) => `${major}.${minor}`).join(", ");
}

/** Only what is told. */
function limitRows(limits: Limits | null): string[][] {
  const rows: string[][] = [];
  const add = (name: string, value: number | undefined, format: (value: number) => string) => {
    if (value !== undefined && value !== 0) rows.push([`  ${name}`, format(value)]);
  };
  add("persist step", limits?.persistStepBytes, formatBytes);
  add("largest blob", limits?.maxBlobBytes, formatBytes);
  add("largest value", limits?.maxValueBytes, formatBytes);
  add("idle uploads kept", limits?.uploadTtlMs, formatMs);
  add("idle streams kept", limits?.streamIdleMs, formatMs);
  add("listing lags by", limits?.listLagMs, formatMs);
  return rows;
}
