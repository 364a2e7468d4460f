/**
 * What all uploads of a process hold in memory, within one bound. Who has filled most of a part goes first, since a whole
 * part leaves; when everything that is held waits for more, the fullest one is written out as a tail.
 */
import type { Clock } from "../../proto/clock.ts";

/** Somebody with bytes in memory. */
export interface MemoryUser {
  /** What it could write out now. */
  readonly spillableBytes: number;
  /** Begins to: its bytes are `leaving` when this returns, and `release`d later. */
  spill(): void;
}

interface Waiter {
  readonly user: MemoryUser;
  readonly bytes: number;
  readonly sinceMs: number;
  readonly go: () => void;
  readonly stop: (error: unknown) => void;
}

/** Who has waited for so long goes before the fuller ones. */
const PATIENCE_MS = 2_000;

export class UploadMemory {
  readonly #limitBytes: number;
  readonly #clock: Clock;
  readonly #users = new Set<MemoryUser>();
  #waiters: Waiter[] = [];
  #usedBytes = 0;
  #leavingBytes = 0;
  #mostBytes = 0;

  constructor(limitBytes: number, clock: Clock) {
    this.#limitBytes = limitBytes;
    this.#clock = clock;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** The most that was ever held. */
  get mostBytes(): number {
    return this.#mostBytes;
  }

  enter(user: MemoryUser): void {
    this.#users.add(user);
  }

  /** Its waiting ends with this error. */
  leave(user: MemoryUser, error: unknown): void {
    this.#users.delete(user);
    const leaving = this.#waiters.filter((one) => one.user === user);
    this.#waiters = this.#waiters.filter((one) => one.user !== user);
    for (const { stop } of leaving) stop(error);
    this.#serve();
  }

  take(user: MemoryUser, bytes: number): Promise<void> | undefined {
    if (this.#waiters.length === 0 && this.tryTake(bytes)) return undefined;
    return new Promise((go, stop) => {
      this.#waiters.push({ user, bytes, sinceMs: this.#clock.monotonic(), go, stop });
      this.#serve();
    });
  }

  /** Work that holds so much and nothing else of it. @throws the signal's reason, while it waits */
  async during<Value>(bytes: number, signal: AbortSignal, work: () => Promise<Value>): Promise<Value> {
    signal.throwIfAborted();
    const user: MemoryUser = { spillableBytes: 0, spill() {} };
    const stop = () => this.leave(user, signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      await this.take(user, bytes);
    } finally {
      signal.removeEventListener("abort", stop);
    }
    try {
      return await work();
    } finally {
      this.release(bytes);
    }
  }

  tryTake(bytes: number): boolean {
    // What is larger than the bound gets its turn alone.
    if (this.#usedBytes > 0 && this.#usedBytes + bytes > this.#limitBytes) return false;
    this.#usedBytes += bytes;
    this.#mostBytes = Math.max(this.#mostBytes, this.#usedBytes);
    return true;
  }

  /** These bytes are on their way to the backend. */
  leaving(bytes: number): void {
    this.#leavingBytes += bytes;
    this.#serve();
  }

  /** Of what was leaving. */
  left(bytes: number): void {
    this.#leavingBytes -= bytes;
    this.release(bytes);
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes;
    this.#serve();
  }

  #serve(): void {
    for (;;) {
      const next = this.#next();
      if (next === undefined) return;
      if (!this.tryTake(next.bytes)) break;
      this.#waiters.splice(this.#waiters.indexOf(next), 1);
      next.go();
    }
    if (this.#leavingBytes > 0) return;
    let fullest: MemoryUser | undefined;
    for (const user of this.#users) {
      if (user.spillableBytes > (fullest?.spillableBytes ?? 0)) fullest = user;
    }
    fullest?.spill();
  }

  #next(): Waiter | undefined {
    const [oldest] = this.#waiters;
    if (oldest === undefined || this.#clock.monotonic() - oldest.sinceMs > PATIENCE_MS) return oldest;
    let first = oldest;
    for (const one of this.#waiters) if (one.user.spillableBytes > first.user.spillableBytes) first = one;
    return first;
  }
}
