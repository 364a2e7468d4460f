/**
 * One budget for the bytes that uploads hold because the driver has not persisted them yet (protocol.md section 7). When
 * it is full nobody reads its source, and the uploads that hold most are asked to flush: so no driver's persist_step,
 * however large, can make uploads wait for each other.
 */
import { Blocks } from "./blocks.ts";

export interface Holder {
  /** Asked to flush; answered by giving bytes back. Called at most once until then. */
  flush(): void;
}

/** Flushes are asked until so much of the budget is on its way back. */
const WANTED_BACK = 1 / 4;

export class UploadBudget {
  readonly totalBytes: number;
  /** The memory of what is held. */
  readonly blocks = new Blocks();
  readonly #shares = new Set<Share>();
  readonly #waiting: (() => void)[] = [];
  #heldBytes = 0;

  constructor(totalBytes: number) {
    this.totalBytes = totalBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  open(holder: Holder): Share {
    const share: Share = new Share(holder, {
      changed: (bytes) => this.#changed(bytes),
      room: (signal) => this.#room(signal),
      relieve: () => this.#relieve(),
      closed: () => {
        this.#shares.delete(share);
        if (this.#shares.size === 0) this.blocks.idle();
      },
    });
    this.#shares.add(share);
    return share;
  }

  /**
   * Resolves once there is any room. What is then taken may pass the total by one piece for each upload: a source's piece
   * has no known size before it is read.
   */
  #room(signal: AbortSignal): Promise<void> {
    if (this.#heldBytes < this.totalBytes) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const enter = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        const place = this.#waiting.indexOf(enter);
        if (place !== -1) this.#waiting.splice(place, 1);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.push(enter);
      this.#relieve(1);
    });
  }

  #changed(bytes: number): void {
    this.#heldBytes += bytes;
    if (bytes >= 0) return;
    // All of them: one that is let in may find that its source pauses, and must not keep the place from the others.
    if (this.#heldBytes < this.totalBytes) for (const enter of this.#waiting.splice(0)) enter();
    this.#relieve();
  }

  /**
   * @param atLeast so many more are asked in any case: a driver that hangs answers no flush, and what its uploads hold is
   * not on its way back
   */
  #relieve(atLeast = 0): void {
    if (this.#waiting.length === 0) return;
    let comingBack = 0;
    const others: Share[] = [];
    for (const share of this.#shares) {
      if (share.isAsked) comingBack += share.heldBytes;
      else if (share.heldBytes > 0 && share.isLive) others.push(share);
    }
    others.sort((a, b) => b.heldBytes - a.heldBytes);
    for (const [index, share] of others.entries()) {
      if (index >= atLeast && comingBack >= this.totalBytes * WANTED_BACK) return;
      comingBack += share.heldBytes;
      share.ask();
    }
  }
}

interface Ledger {
  changed(bytes: number): void;
  room(signal: AbortSignal): Promise<void>;
  relieve(): void;
  closed(): void;
}

/** What one upload holds of the budget. */
export class Share {
  readonly #holder: Holder;
  readonly #ledger: Ledger;
  #heldBytes = 0;
  #isAsked = false;
  #isLive = false;

  constructor(holder: Holder, ledger: Ledger) {
    this.#holder = holder;
    this.#ledger = ledger;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get isAsked(): boolean {
    return this.#isAsked;
  }

  get isLive(): boolean {
    return this.#isLive;
  }

  room(signal: AbortSignal): Promise<void> {
    return this.#ledger.room(signal);
  }

  take(bytes: number): void {
    this.#heldBytes += bytes;
    this.#ledger.changed(bytes);
  }

  give(bytes: number): void {
    if (bytes === 0) return;
    this.#heldBytes -= bytes;
    this.#ledger.changed(-bytes);
  }

  ask(): void {
    this.#isAsked = true;
    this.#holder.flush();
  }

  /** The flush that was asked for is answered. */
  flushed(): void {
    this.#isAsked = false;
    this.#ledger.relieve();
  }

  /** Whether the upload has a stream on which a flush can be sent. Without one nothing is expected of it. */
  live(isLive: boolean): void {
    this.#isLive = isLive;
    this.#isAsked = false;
    this.#ledger.relieve();
  }

  close(): void {
    const bytes = this.#heldBytes;
    this.#heldBytes = 0;
    this.#isAsked = false;
    this.#isLive = false;
    this.#ledger.closed();
    this.#ledger.changed(-bytes);
    this.#ledger.relieve();
  }
}
