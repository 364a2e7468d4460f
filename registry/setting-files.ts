/** Files that the configuration names: whatever is wrong with one is told with the setting that named it. */
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";

/** @param setting as in `http.secretFile`. @throws Error, in one sentence, that names the setting */
export async function readSettingFile(setting: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new Error(`${setting} ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * A certificate and its key, in PEM.
 * @param setting whose `cert` and `key` name them
 * @throws Error that names the setting, also when the two do not fit each other
 */
export async function readKeyPair(
  setting: string,
  files: { readonly cert: string; readonly key: string },
): Promise<{ readonly cert: Buffer; readonly key: Buffer }> {
  const read = (key: "cert" | "key") => readSettingFile(`${setting}.${key}`, files[key]);
  const [cert, key] = await Promise.all([read("cert"), read("key")]);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    const why = (error as Error).message;
    throw new Error(`${setting}: ${files.cert} and ${files.key} are no certificate and its key, in PEM: ${why}`, {
      cause: error,
    });
  }
  return { cert, key };
}
