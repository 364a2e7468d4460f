/** Until when a driver's TLS certificate is good. */
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { connect as connectTls, type DetailedPeerCertificate } from "node:tls";
import type { StoreTarget } from "../../client/contract.ts";
import { type Finding, note, ok, problem } from "./findings.ts";

const TIMEOUT_MS = 5_000;
const DAY_MS = 24 * 60 * 60 * 1000;
const SOON_DAYS = 14;

/** `undefined`: no TLS. @throws Error when there is no certificate to be had */
export async function certificateFinding(target: StoreTarget): Promise<Finding | undefined> {
  if (target.tls === undefined || target.address.startsWith("unix:")) return undefined;
  const { host, port } = hostAndPort(target.address);
  const { ca, cert, key, serverName } = target.tls;
  const read = (path: string | undefined) => (path === undefined ? undefined : readFile(path));
  const [caPem, certPem, keyPem] = await Promise.all([read(ca), read(cert), read(key)]);
  const certificate = await new Promise<DetailedPeerCertificate>((resolve, reject) => {
    const socket = connectTls(
      {
        host,
        port,
        // A server name is never an IP address (RFC 6066, section 3).
        servername: serverName ?? (isIP(host) === 0 ? host : ""),
        ALPNProtocols: ["h2"],
        // Whether it is trusted the channel has checked already; here only its dates matter.
        rejectUnauthorized: false,
        ...(caPem === undefined ? {} : { ca: caPem }),
        ...(certPem === undefined ? {} : { cert: certPem }),
        ...(keyPem === undefined ? {} : { key: keyPem }),
      },
      () => {
        resolve(socket.getPeerCertificate(true));
        socket.destroy();
      },
    );
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`no TLS handshake within ${TIMEOUT_MS / 1000} s`)));
    socket.once("error", reject);
  });
  return endFinding(new Date(certificate.valid_to), Date.now());
}

export function endFinding(end: Date, nowMs: number): Finding {
  const days = Math.floor((end.getTime() - nowMs) / DAY_MS);
  const text = `certificate: good until ${end.toISOString().slice(0, 10)} (${days === 1 ? "1 day" : `${days} days`})`;
  if (days < 0) return problem(text, "renew the driver's certificate; it rereads the files when they change");
  return days < SOON_DAYS ? note(text, "renew it soon; the driver rereads the files when they change") : ok(text);
}

function hostAndPort(address: string): { host: string; port: number } {
  const plain = address.replace(/^dns:\/\/\//, "");
  const at = plain.lastIndexOf(":");
  return { host: plain.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(plain.slice(at + 1)) };
}
