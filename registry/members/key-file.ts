/** `cluster.peers.keyFile`: by which members prove to each other who they are. */
import { readSettingFile } from "../setting-files.ts";

const MIN_CHARACTERS = 32;

/** @returns at least one key; the first signs. @throws Error that names the file */
export async function readKeyFile(file: string): Promise<readonly Buffer[]> {
  const bytes = await readSettingFile("cluster.peers.keyFile", file);
  const lines = bytes
    .toString("latin1")
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new Error(`cluster.peers.keyFile ${file} is empty: write a key, one a line`);
  for (const [index, line] of lines.entries()) {
    if (line.length < MIN_CHARACTERS) {
      throw new Error(
        `cluster.peers.keyFile ${file}: key ${index + 1} has ${line.length} characters: a key needs at least ${MIN_CHARACTERS}`,
      );
    }
  }
  return lines.map((line) => Buffer.from(line, "latin1"));
}
