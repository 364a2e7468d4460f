/** The command, run to its end as users run it. */

import { commandWords } from "../helpers/compiled.ts";
import { launch, type ProcessOptions } from "../helpers/processes.ts";
import { repository } from "../helpers/tools.ts";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `outrigger <args>`; killed, and so without an exit code, after 60 s. */
export async function outrigger(
  args: readonly string[],
  options: Pick<ProcessOptions, "cwd" | "env"> = {},
): Promise<Ended> {
  const [program, ...words] = commandWords();
  const running = launch("outrigger", program, [...words, ...args], {
    cwd: repository,
    ...options,
  });
  let stdout = "";
  let stderr = "";
  running.child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  running.child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const timer = setTimeout(() => running.child.kill("SIGKILL"), 60_000);
  const { code } = await running.exited;
  clearTimeout(timer);
  return { code, stdout, stderr };
}

/** One line on stderr and nothing on stdout: how every command fails. @returns the line */
export function onlyLine({ stdout, stderr }: Ended): string {
  const lines = stderr.split("\n").filter((line) => line !== "");
  if (stdout !== "" || lines.length !== 1 || lines[0] === undefined)
    throw new Error(`not one line on stderr alone:\nstdout: ${stdout}\nstderr: ${stderr}`);
  return lines[0];
}
