/** `cluster.peers.keyFile`: by which members prove to each other who they are. */
import { readFile } from "node:fs/promises";

const MIN_CHARACTERS = 32;

/** @returns at least one key; the first signs. @throws Error that names the file */
export async function readKeyFile(file: string): Promise<readonly Buffer[]> {
  let text: string;
  try {
    text = await readFile(file, "latin1");
  } catch (error) {
    throw new Error(`cluster.peers.keyFile ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
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
