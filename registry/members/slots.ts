/** So many at once, the others in their order. */
export class Slots {
  readonly #size: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(size: number) {
    this.#size = size;
  }

  get taken(): number {
    return this.#taken;
  }

  /** `undefined`: none is free. @returns gives the slot back; may be called again */
  takeNow(): (() => void) | undefined {
    if (this.#taken >= this.#size) return undefined;
    this.#taken += 1;
    return this.#held();
  }

  /** @returns as `takeNow`. @throws the signal's reason */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const free = this.takeNow();
    if (free) return free;
    await this.#turn(signal);
    return this.#held();
  }

  #held(): () => void {
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      // The slot goes on to whoever waits: it is not free in between.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#taken -= 1;
    };
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onTurn = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(onTurn), 1);
        reject(signal.reason);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(onTurn);
    });
  }
}

/** Those of one member: bodies that pass at somebody else's pace keep no short request waiting, however many they are. */
export class MemberSlots {
  readonly short: Slots;
  readonly streamed: Slots;

  constructor(sizes: { readonly short: number; readonly streamed: number }) {
    this.short = new Slots(sizes.short);
    this.streamed = new Slots(sizes.streamed);
  }

  get taken(): number {
    return this.short.taken + this.streamed.taken;
  }
}
