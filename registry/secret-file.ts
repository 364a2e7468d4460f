/** `http.secretFile`: what signs upload states where the operator shares it between cores. */
import { readSettingFile } from "./setting-files.ts";

const MIN_BYTES = 16;

/** @throws Error that names the file */
export async function readSecretFile(file: string): Promise<Buffer> {
  const bytes = await readSettingFile("http.secretFile", file);
  // An editor's newline at the end is not part of the secret: two copies of the file must mean the same.
  const text = bytes.toString("latin1").replace(/[\r\n]+$/, "");
  if (text.length < MIN_BYTES)
    throw new Error(`http.secretFile ${file} has ${text.length} bytes: a secret needs at least ${MIN_BYTES}`);
  return Buffer.from(text, "latin1");
}
