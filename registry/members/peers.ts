/**
 * How a member proves to another that a request is its own: headers, signed with a key that all members share, or sent on a
 * connection that has shown its certificate. From anybody else they mean nothing. A request that claims to be a member's and
 * is not is refused, never taken for a client's: two members that do not know each other would else send it to and fro.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { RegistryError } from "../errors.ts";
import { MEMBER_NAME, type Shown } from "./certificates.ts";

/** On requests: who sends it, "a"; more than one id would be more than one hop. */
export const VIA = "outrigger-via";
/** On answers to members: who answers. */
export const MEMBER = "outrigger-member";
const ACCOUNT = "outrigger-account";
/** The hash of the sender's view (view.ts). */
const LIST = "outrigger-members";
const ROLE = "outrigger-role";
const TIME = "outrigger-time";
const SIGNATURE = "outrigger-signature";
/** In place of a signature: the connection's certificate proves it. */
const BY_CERTIFICATE = "certificate";

/** No member's id: who asks all members how they are, that of its configuration too (`outrigger cluster status`). */
export const STATUS = "outrigger.cluster.status";

/**
 * As what a member is asked: as the `owner` of the name; as anybody who may have what a `digest` names; as the one that
 * was the `previous` owner; as `itself`, about no repository of its own.
 */
export type Role = "owner" | "digest" | "previous" | "itself";
const ROLES: ReadonlySet<string> = new Set<Role>(["owner", "digest", "previous", "itself"]);

export interface PeerRequest {
  readonly method: string;
  /** With its query, as it stands in the request line. */
  readonly path: string;
  /** The member that asks, and the one that is asked. */
  readonly from: string;
  readonly to: string;
  /** Whose request it is; "": nobody's who logged in. */
  readonly account: string;
  readonly listHash: string;
  readonly role: Role;
}

export interface Peer {
  readonly id: string;
  readonly account: string;
  readonly listHash: string;
  readonly role: Role;
}

/** Clocks may differ, and a request may wait, for so long. */
const FRESH_MS = 60_000;

/** @param key absent: the connection has a certificate, which proves as much */
export function signRequest(key: Buffer | undefined, request: PeerRequest, nowMs: number): Record<string, string> {
  const account = encodeURIComponent(request.account);
  const headers: Record<string, string> = { [VIA]: request.from, [LIST]: request.listHash, [ROLE]: request.role };
  if (account !== "") headers[ACCOUNT] = account;
  if (key === undefined) return Object.assign(headers, { [SIGNATURE]: BY_CERTIFICATE });
  const time = String(nowMs);
  headers[TIME] = time;
  headers[SIGNATURE] = mac(key, { ...request, account, time }).toString("base64url");
  return headers;
}

/** From anybody else the other headers mean nothing. */
export function claimsToBePeer(headers: IncomingHttpHeaders): boolean {
  return headers[SIGNATURE] !== undefined;
}

/**
 * @param keys any of them may have signed; none: certificates alone count
 * @param given method and path as they came, and this member's id
 * @param shown by the connection; absent: keys alone count
 * @returns undefined: nobody claims to be a member
 * @throws UNAUTHORIZED (401) for a proof that is none; UNSUPPORTED (508) for a request on its second hop
 */
export function readPeer(
  keys: readonly Buffer[],
  headers: IncomingHttpHeaders,
  given: { readonly method: string; readonly path: string; readonly to: string },
  nowMs: number,
  shown?: Shown,
): Peer | undefined {
  if (!claimsToBePeer(headers)) return undefined;
  const text = (name: string): string => {
    const value = headers[name];
    return typeof value === "string" ? value : "";
  };
  const [from, account, listHash, role, time] = [text(VIA), text(ACCOUNT), text(LIST), text(ROLE), text(TIME)];
  const hops = from.split(",").map((id) => id.trim());
  const proof = text(SIGNATURE);
  if (!(shown && "ids" in shown && isOneOf(shown.ids, hops, role))) {
    if (proof === BY_CERTIFICATE || keys.length === 0) throw refused(whyNotByCertificate(shown, from));
    assertSigned(keys, proof, { ...given, from, account, listHash, role, time }, nowMs);
  }
  if (!ROLES.has(role)) throw refused(`it asks as ${JSON.stringify(role.slice(0, 40))}, which no member does`);
  if (hops.length > 1 || hops.includes(given.to)) {
    throw new RegistryError(
      "UNSUPPORTED",
      `the request came by ${from} already: a member answers itself, or not at all`,
      {
        status: 508,
        detail: { via: from.slice(0, 200) },
      },
    );
  }
  return { id: from, account: decode(account), listHash, role: role as Role };
}

function assertSigned(keys: readonly Buffer[], proof: string, claimed: Claimed, nowMs: number): void {
  const signature = Buffer.from(proof, "base64url");
  const isSigned = keys.some((key) => {
    const right = mac(key, claimed);
    return right.length === signature.length && timingSafeEqual(right, signature);
  });
  if (!isSigned) {
    throw refused(
      "the signature is none of this cluster's: do both have the same cluster.peers.keyFile, and does the url of this member in cluster.members lead to it?",
    );
  }
  const awayMs = Math.abs(nowMs - Number(claimed.time));
  if (!(awayMs <= FRESH_MS)) {
    throw refused(`the request was signed ${Math.round(awayMs / 1000)} s from now: set the members' clocks`);
  }
}

/** A second hop is refused as such where it comes from one that it names. */
function isOneOf(ids: readonly string[], hops: readonly string[], role: string): boolean {
  return hops.some((id) => ids.includes(id) || (id === STATUS && role === "itself"));
}

function whyNotByCertificate(shown: Shown | undefined, from: string): string {
  if (shown === undefined)
    return "a certificate is to prove it, and this member knows keys alone: it needs cluster.peers.tls, or the one that asks cluster.peers.keyFile";
  if ("refused" in shown) return shown.refused;
  return `its certificate is of ${shown.ids.join(", ").slice(0, 200)}, and it names itself ${JSON.stringify(from.slice(0, 100))}: a member's certificate has the subject alternative name URI:${MEMBER_NAME} with its own id, cluster.self`;
}

function refused(message: string): RegistryError {
  return new RegistryError("UNAUTHORIZED", `not a member's request: ${message}`);
}

function decode(account: string): string {
  try {
    return decodeURIComponent(account);
  } catch {
    // What is signed was encoded by a member.
    throw refused("its account cannot be read");
  }
}

/** As a request says; `account` encoded. */
type Claimed = Omit<PeerRequest, "role"> & { readonly role: string; readonly time: string };

/** No field can hold a line's end: they come out of a head's lines. */
function mac(key: Buffer, { method, path, from, to, account, listHash, role, time }: Claimed): Buffer {
  const lines = ["outrigger-peer-1", from, to, method, path, account, listHash, role, time];
  return createHmac("sha256", key).update(lines.join("\n")).digest();
}
