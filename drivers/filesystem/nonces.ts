/** Files that prove to a core on the same machine that both see one folder (LocateFile). */
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { type Disk, isErrno } from "./disk.ts";
import { NONCES } from "./layout.ts";

const KEPT_MS = 60_000;
const MAX_NONCES = 10_000;

export class Nonces {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #ends = new Map<string, () => void>();
  readonly #removing = new Set<Promise<void>>();

  constructor(disk: Disk, clock: Clock) {
    this.#disk = disk;
    this.#clock = clock;
  }

  /** Writes a file that holds exactly the nonce; it is taken away after a minute. */
  async write(nonce: string): Promise<{ readonly path: string; readonly sizeBytes: number }> {
    if (this.#ends.size >= MAX_NONCES) {
      throw new OutriggerError("THROTTLED", "too many nonce files lie around: ask again in a minute", {
        retryAfterMs: KEPT_MS,
      });
    }
    const path = `${NONCES}/${nonce}`;
    try {
      const file = await this.#disk.open(path, "create");
      try {
        await file.write([Buffer.from(nonce)], 0);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    this.#ends.get(nonce)?.();
    this.#ends.set(
      nonce,
      this.#clock.after(KEPT_MS, () => this.#remove(nonce)),
    );
    return { path, sizeBytes: nonce.length };
  }

  async close(): Promise<void> {
    for (const [nonce, cancel] of [...this.#ends]) {
      cancel();
      this.#remove(nonce);
    }
    await Promise.all(this.#removing);
  }

  #remove(nonce: string): void {
    this.#ends.delete(nonce);
    // What cannot be removed now is swept at the next start.
    const removing: Promise<void> = this.#disk
      .remove(`${NONCES}/${nonce}`)
      .catch(() => {})
      .finally(() => this.#removing.delete(removing));
    this.#removing.add(removing);
  }
}
