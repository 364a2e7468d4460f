/** Files that change under a running registry: certificates, passwords, configuration. */
import { stat } from "node:fs/promises";
import type { Clock } from "../proto/clock.ts";

export interface Watch {
  stop(): void;
}

const LOOK_EVERY_MS = 2_000;

/**
 * Calls `changed` after one of the files was written, replaced or relinked (a mounted secret is a chain of links), once for
 * all that changed between two looks. The next look waits until `changed` has settled; what it throws goes to `failed`.
 */
export function watchFiles(options: {
  readonly files: readonly string[];
  readonly clock: Clock;
  readonly changed: () => Promise<void>;
  readonly failed: (error: unknown) => void;
  readonly everyMs?: number;
}): Watch {
  const { files, clock, changed, failed, everyMs = LOOK_EVERY_MS } = options;
  let stopped = false;
  let cancel = () => {};
  let before: string | undefined;
  const look = async () => {
    const now = (await Promise.all(files.map(printOf))).join("\n");
    if (before !== undefined && now !== before && !stopped) await changed().catch(failed);
    before = now;
    if (!stopped) cancel = clock.after(everyMs, () => void look());
  };
  void look();
  return {
    stop() {
      stopped = true;
      cancel();
    },
  };
}

async function printOf(file: string): Promise<string> {
  try {
    const { mtimeMs, size, ino, dev } = await stat(file);
    return `${mtimeMs} ${size} ${ino} ${dev}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "absent";
  }
}
