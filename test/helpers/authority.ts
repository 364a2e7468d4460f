/** A certificate authority for tests, made by openssl. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "./tools.ts";

export interface IssuedPair {
  /** PEM files. */
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** PEM file. */
  readonly ca: string;
  /** @param names subject alternative names, as in `DNS:a.example,URI:outrigger-member:a` */
  issue(file: string, names: string, options?: { readonly usage?: string }): Promise<IssuedPair>;
  /** One below it, which it signs; what that one issues comes with its own certificate. */
  below(name: string): Promise<Authority>;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** @param folder where its files go, and those of what it issues */
export async function createAuthority(folder: string, name: string): Promise<Authority> {
  const [ca, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const subject = ["-subj", `/CN=${name}`, "-days", "30"];
  await command("openssl", ["req", "-x509", ...NEW_KEY, ...subject, "-keyout", key, "-out", ca]);
  return authorityOf(folder, { cert: ca, key }, ca, false);
}

function authorityOf(folder: string, own: IssuedPair, ca: string, isBelow: boolean): Authority {
  const sign = async (file: string, extensions: string): Promise<IssuedPair> => {
    const at = (ending: string) => join(folder, `${file}.${ending}`);
    writeFileSync(at("ext"), extensions);
    await command("openssl", ["req", ...NEW_KEY, "-subj", `/CN=${file}`, "-keyout", at("key"), "-out", at("csr")]);
    // Not from a file of serial numbers, which others write at the same time.
    const serial = ["-set_serial", `0x1${randomBytes(15).toString("hex")}`];
    const by = ["-CA", own.cert, "-CAkey", own.key, ...serial, "-days", "30", "-extfile", at("ext")];
    const { stdout } = await command("openssl", ["x509", "-req", "-in", at("csr"), ...by]);
    const chain = isBelow ? (await command("openssl", ["x509", "-in", own.cert])).stdout : "";
    writeFileSync(at("crt"), stdout + chain);
    return { cert: at("crt"), key: at("key") };
  };
  return {
    ca,
    issue: (file, names, { usage = "clientAuth,serverAuth" } = {}) =>
      sign(file, `subjectAltName=${names}\nextendedKeyUsage=${usage}\n`),
    async below(name) {
      return authorityOf(folder, await sign(name, "basicConstraints=critical,CA:TRUE\n"), ca, true);
    },
  };
}
