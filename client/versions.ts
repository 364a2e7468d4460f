/** Which version of an API is used with a driver: the table of protocol.md section 4. The core decides, never the driver. */
import { OutriggerError } from "../proto/errors.ts";
import type { Transport } from "../proto/transport.ts";
import type { ApiName, ApiVersion } from "../proto/versions.ts";

/**
 * Code that lets this core speak to a driver of an older minor, or another major: one for each API, major and minor.
 * `adapt` gives a transport that takes this release's messages and speaks the older ones.
 */
export interface CompatCode {
  readonly api: ApiName;
  readonly version: ApiVersion;
  adapt(transport: Transport): Transport;
}

export type Decision =
  | {
      readonly use: ApiVersion;
      readonly through?: CompatCode;
      /** `undefined`: nothing to say. */
      readonly log?: { readonly level: "info" | "warn"; readonly text: string };
    }
  | { readonly use: undefined; readonly log: { readonly level: "info"; readonly text: string } };

export interface DecisionInput {
  readonly api: ApiName;
  /** What the core offers, R of the table. */
  readonly offered: readonly ApiVersion[];
  /** What the driver lists, D of the table; `undefined`: it does not list the API. */
  readonly listed: readonly ApiVersion[] | undefined;
  /** Whether a store needs the API; otherwise it is a feature that can be off. */
  readonly needed: boolean;
  readonly compat: readonly CompatCode[];
  /** For the sentences. */
  readonly address: string;
}

/** @throws VERSION_UNSUPPORTED naming the release that is wanted; PROTOCOL_VIOLATION when a major is listed twice */
export function decideVersion(input: DecisionInput): Decision {
  const { api, address } = input;
  const offered = byMajor(input.offered);
  const listed = byMajor(input.listed ?? []);
  if (new Set(listed.map((one) => one.major)).size !== listed.length) {
    throw new OutriggerError(
      "PROTOCOL_VIOLATION",
      `the driver at ${address} lists a major of ${api} twice [handshake.version.02]`,
    );
  }
  if (listed.length === 0) {
    const text = `the driver at ${address} does not speak ${api}`;
    if (!input.needed) return { use: undefined, log: { level: "info", text: `${text}: what needs it is off` } };
    throw new OutriggerError(
      "VERSION_UNSUPPORTED",
      `${text}: give the address of a driver that speaks ${wanted(api, offered)}`,
    );
  }

  for (const theirs of listed) {
    const ours = offered.find((one) => one.major === theirs.major);
    if (ours !== undefined && theirs.minor >= ours.minor) {
      const newer = theirs.minor > ours.minor || isNewer(listed[0], offered[0]);
      // A driver that is behind in a major we would prefer is worth a line as well.
      const passed = offered.some((one) => one.major > ours.major && listed.some((its) => its.major === one.major));
      if (!newer && !passed) return { use: ours };
      return {
        use: ours,
        log: {
          level: "info",
          text: `the driver at ${address} speaks ${list(api, listed)}; ${name(api, ours)} is used`,
        },
      };
    }
    const through = input.compat
      .filter((code) => code.api === api && code.version.major === theirs.major && code.version.minor <= theirs.minor)
      .sort((a, b) => b.version.minor - a.version.minor)[0];
    if (through !== undefined) {
      return {
        use: through.version,
        through,
        log: {
          level: "warn",
          text: `the driver at ${address} speaks only ${list(api, listed)}: it is used as ${name(api, through.version)}; upgrade it to a release that speaks ${wanted(api, offered)}`,
        },
      };
    }
  }
  throw new OutriggerError(
    "VERSION_UNSUPPORTED",
    `the driver at ${address} speaks ${list(api, listed)}, this core ${list(api, offered)}: use a driver release that speaks ${wanted(api, offered)}`,
  );
}

function byMajor(versions: readonly ApiVersion[]): ApiVersion[] {
  return [...versions].sort((a, b) => b.major - a.major || b.minor - a.minor);
}

function isNewer(a: ApiVersion | undefined, b: ApiVersion | undefined): boolean {
  return a !== undefined && b !== undefined && a.major > b.major;
}

function name(api: ApiName, version: ApiVersion): string {
  return `${api} ${version.major}.${version.minor}`;
}

function list(api: ApiName, versions: readonly ApiVersion[]): string {
  return `${api} ${versions.map((one) => `${one.major}.${one.minor}`).join(" and ")}`;
}

function wanted(api: ApiName, offered: readonly ApiVersion[]): string {
  return offered.map((one) => `${name(api, one)} or a later minor`).join(", or ");
}
