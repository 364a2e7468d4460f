/** This program as a child of itself: `outrigger up` runs driver and registry that way. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const SUPERVISED = "OUTRIGGER_SUPERVISED";

/** What a child tells its supervisor. */
export interface ReadyMessage {
  readonly outrigger: "ready";
  /** Where it can be reached. */
  readonly address: string;
}

/**
 * Starts `outrigger <args>` with this process's way of running: TypeScript through tsx from the repository, plain
 * JavaScript when compiled. It leads a process group of its own, so that Ctrl-C in a terminal reaches the supervisor
 * alone, which then stops its children in order.
 */
export function spawnSelf(args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const main = fileURLToPath(new URL(`./main${import.meta.url.slice(-3)}`, import.meta.url));
  const loader = main.endsWith(".ts") ? ["--import", import.meta.resolve("tsx")] : [];
  return spawn(process.execPath, [...loader, main, ...args], {
    // Syncs to disk wait in the thread pool; four at once are few for a driver.
    env: { UV_THREADPOOL_SIZE: "16", ...env, [SUPERVISED]: "1" },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    detached: true,
  });
}

/** A supervised process ends when its supervisor is gone, however that died. */
export function endWithParent(): void {
  if (process.env[SUPERVISED] === undefined || process.channel === undefined) return;
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
  // Listening must not keep a finished process alive.
  process.channel?.unref();
}

/** Tells the supervisor, where there is one. */
export function announceReady(address: string): void {
  if (process.env[SUPERVISED] === undefined || !process.connected) return;
  process.send?.({ outrigger: "ready", address } satisfies ReadyMessage);
}

export function isReadyMessage(message: unknown): message is ReadyMessage {
  return typeof message === "object" && message !== null && "outrigger" in message && message.outrigger === "ready";
}
