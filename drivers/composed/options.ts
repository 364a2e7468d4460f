/** Options of every driver whose backend is other drivers. */
import type { StoreTarget } from "../../client/contract.ts";
import type { OptionSpecs, OptionValues } from "../../server/contract.ts";

export const memberOptions = {
  memberWait: {
    kind: "duration",
    default: 15_000,
    doc: "How long a start waits for members that do not answer, before it goes on without them or ends.",
  },
  memberCa: {
    kind: "string",
    doc: "PEM file: members are spoken to by TLS, and their certificates are of this authority.",
  },
  memberCert: { kind: "string", doc: "PEM file: this driver's own certificate for members that ask for one." },
  memberKey: { kind: "string", doc: "PEM file: the key of --member-cert." },
} as const satisfies OptionSpecs;

export type MemberOptions = OptionValues<typeof memberOptions>;

export function targetOf(address: string, { memberCa, memberCert, memberKey }: MemberOptions): StoreTarget {
  const tls = {
    ...(memberCa === undefined ? {} : { ca: memberCa }),
    ...(memberCert === undefined ? {} : { cert: memberCert }),
    ...(memberKey === undefined ? {} : { key: memberKey }),
  };
  return Object.keys(tls).length === 0 ? { address } : { address, tls };
}
