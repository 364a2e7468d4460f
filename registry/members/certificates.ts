/**
 * `cluster.peers.tls`: members prove to each other who they are by certificates. TLS itself checks them, once a connection;
 * here is settled whose they are.
 */
import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { type DetailedPeerCertificate, TLSSocket } from "node:tls";
import { alternativeNames } from "../../proto/certificates.ts";
import type { PeerTlsConfig } from "../config/cluster.ts";
import { readKeyPair, readSettingFile } from "../setting-files.ts";

/**
 * Followed by the member's id, a URI among the subject alternative names (RFC 5280, 4.2.1.6). No host can have such a name:
 * an authority that certifies hosts does not make members by it. It says nothing of the member's url, so that a new member
 * is known to those that have not yet heard where it is.
 */
export const MEMBER_NAME = "outrigger-member:";

/** Of which members a connection's certificate is, at least one; or why it is none's, to follow "not a member's request: ". */
export type Shown = { readonly ids: readonly string[] } | { readonly refused: string };

/** What this member takes, and what it shows, as its files had it once. */
export class PeerCertificates {
  readonly #ca: Buffer;
  /** SHA-256 of each authority, as `fingerprint256` has it. */
  readonly #authorities: ReadonlySet<string>;
  readonly #seen = new WeakMap<Socket, Shown>();

  /** @param ca PEM */
  constructor(ca: Buffer) {
    this.#ca = ca;
    this.#authorities = new Set(certificatesIn(ca).map(({ fingerprint256 }) => fingerprint256));
  }

  isOf(ca: Buffer): boolean {
    return this.#ca.equals(ca);
  }

  /** Looked at once a connection. */
  shownOn(socket: Socket): Shown {
    const seen = this.#seen.get(socket);
    if (seen !== undefined) return seen;
    const shown = this.#look(socket);
    this.#seen.set(socket, shown);
    return shown;
  }

  #look(socket: Socket): Shown {
    if (!(socket instanceof TLSSocket)) return { refused: "it came without TLS, and so without a certificate" };
    // OpenSSL keeps of a session no more than the last certificate, and Node takes one without any for authorized (TLS 1.3).
    if (socket.isSessionReused())
      return {
        refused:
          "it came in a resumed TLS session, in which no certificate is shown: members open each connection anew, so does a proxy stand between?",
      };
    const certificate = socket.getPeerCertificate(true);
    if (!certificate?.raw) {
      return {
        refused:
          "no certificate came with it: does the member that asks have cluster.peers.tls, and does the url of this one in cluster.members lead to itself, with no proxy between that ends TLS?",
      };
    }
    // The first is as it was when the connection was opened: an authority may have been taken away since.
    if (!socket.authorized || !this.#hasSigned(certificate)) {
      const why = socket.authorizationError ? ` (${socket.authorizationError})` : "";
      return {
        refused: `its certificate is none of the authorities in this member's cluster.peers.tls.ca, or not good any more${why}`,
      };
    }
    const ids = membersIn(certificate.subjectaltname);
    if (ids.length > 0) return { ids };
    return {
      refused: `its certificate is no member's: its subject alternative names need URI:${MEMBER_NAME} with the member's id, and are ${certificate.subjectaltname?.slice(0, 200) ?? "none"}`,
    };
  }

  #hasSigned(certificate: DetailedPeerCertificate): boolean {
    for (let one: DetailedPeerCertificate | undefined = certificate; one; ) {
      if (this.#authorities.has(one.fingerprint256)) return true;
      // A root's issuer is itself.
      one = one.issuerCertificate === one ? undefined : one.issuerCertificate;
    }
    return false;
  }
}

/**
 * @param held used on where the authorities are the same, with what it has seen of connections
 * @throws Error, in one sentence, that names the setting
 */
export async function readCertificates(
  files: PeerTlsConfig,
  self: string,
  held: PeerCertificates | undefined,
): Promise<PeerCertificates> {
  const [ca, { cert }] = await Promise.all([readAuthorities(files), readKeyPair("cluster.peers.tls", files)]);
  const { subjectAltName } = new X509Certificate(cert);
  if (membersIn(subjectAltName).includes(self)) return held?.isOf(ca) ? held : new PeerCertificates(ca);
  throw new Error(
    `cluster.peers.tls.cert ${files.cert} is not member ${self}'s: its subject alternative names need URI:${MEMBER_NAME}${self}, and are ${subjectAltName ?? "none"}`,
  );
}

/** @returns PEM, at least one. @throws Error that names the setting */
export async function readAuthorities(files: PeerTlsConfig): Promise<Buffer> {
  const ca = await readSettingFile("cluster.peers.tls.ca", files.ca);
  let why = "";
  try {
    if (certificatesIn(ca).length > 0) return ca;
  } catch (error) {
    why = `: ${(error as Error).message}`;
  }
  throw new Error(`cluster.peers.tls.ca ${files.ca} is no list of certificates in PEM${why}`);
}

/** @throws Error for what is none */
function certificatesIn(pem: Buffer): X509Certificate[] {
  const blocks = pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** @param names as in `DNS:a.example, URI:outrigger-member:a` */
export function membersIn(names: string | undefined): string[] {
  return alternativeNames(names)
    .filter(({ kind, name }) => kind === "URI" && name.startsWith(MEMBER_NAME))
    .map(({ name }) => name.slice(MEMBER_NAME.length));
}
