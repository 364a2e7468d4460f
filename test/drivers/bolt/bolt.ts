/** The bolt driver as a process, for the tests of this folder. */
import { dirname, join } from "node:path";
import { type Running, type Scope, start } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { command, tool } from "../../helpers/tools.ts";

export const program = () => tool("outrigger-driver-bolt");

export interface Bolt {
  readonly address: string;
  readonly process: Running;
}

/** A new store. @returns its file */
export async function newFile(scope: Scope): Promise<string> {
  const file = join(tempFolder(scope, "bolt"), "meta.db");
  await command(program(), ["--file", file, "--init"]);
  return file;
}

/** Serves a file, by default on a socket beside it. */
export async function startBolt(scope: Scope, file: string, flags: readonly string[] = []): Promise<Bolt> {
  const address = `unix://${join(dirname(file), "meta.sock")}`;
  const running = await start("bolt", program(), ["--file", file, "--listen", address, ...flags], {
    ready: (line) => line.includes('"msg":"serving"'),
  });
  return { address, process: scope.add(running) };
}
