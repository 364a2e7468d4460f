/** What a composition may claim: what every member claims, within the tightest of their limits. */
import type { StoreFacts } from "../../server/contract.ts";
import type { MemberRecord } from "./records.ts";

/** What may be on its way to a member, or back, before its progress is seen here. */
const UNDER_WAY_BYTES = 8 * 1024 * 1024;

export function composedFacts(
  id: string,
  members: readonly MemberRecord[],
  /** able: what the composition can hold itself; outside: as the members that decide tell it. */
  { able, outside }: { readonly able: readonly string[]; readonly outside: number },
): StoreFacts {
  const capabilities = able.filter((name) => members.every((member) => member.capabilities.includes(name)));
  const each = <Name extends keyof StoreFacts["limits"]>(name: Name) =>
    members.map(({ limits }) => limits[name]).filter((value) => value !== undefined);
  const steps = each("persistStepBytes");
  const ttls = each("uploadTtlMs");
  const sizes = each("maxBlobBytes");
  const lags = each("listLagMs");
  return {
    id,
    capabilities,
    outside,
    limits: {
      ...(steps.length === members.length ? { persistStepBytes: Math.max(...steps) + UNDER_WAY_BYTES } : {}),
      ...(ttls.length === 0 ? {} : { uploadTtlMs: Math.min(...ttls) }),
      ...(sizes.length === 0 ? {} : { maxBlobBytes: Math.min(...sizes) }),
      ...(lags.length === 0 ? {} : { listLagMs: Math.max(...lags) }),
    },
  };
}
