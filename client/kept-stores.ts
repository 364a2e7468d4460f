/** Blob stores that were switched away from: kept as long as an upload that began on one may still come back to it. */
import type { Clock } from "../proto/clock.ts";
import type { StoreChannel } from "./channel.ts";

/** A store and what leads to it. */
export interface Side<Store> {
  readonly channel: StoreChannel;
  readonly store: Store;
}

/** An upload's Location is good for so long. */
const KEEP_MS = 24 * 60 * 60 * 1000;

export class KeptStores<Store> {
  readonly #clock: Clock;
  readonly #sides = new Map<string, Side<Store> & { readonly cancel: () => void }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(id: string): Store | undefined {
    return this.#sides.get(id)?.store;
  }

  keep(id: string, side: Side<Store>): void {
    this.#leave(id)?.channel.closeWhenIdle();
    const cancel = this.#clock.after(KEEP_MS, () => this.#leave(id)?.channel.close());
    this.#sides.set(id, { ...side, cancel });
  }

  /** The same data are reached through this channel now: whoever still uses the kept one goes on there. */
  replacedBy(id: string, channel: StoreChannel): void {
    const side = this.#leave(id);
    if (side === undefined) return;
    side.channel.successor = channel;
    side.channel.closeWhenIdle();
  }

  close(): void {
    for (const id of [...this.#sides.keys()]) this.#leave(id)?.channel.close();
  }

  #leave(id: string): Side<Store> | undefined {
    const side = this.#sides.get(id);
    side?.cancel();
    this.#sides.delete(id);
    return side;
  }
}

/** `undefined`: not yet known. */
export function idOf(side: Side<unknown> | undefined): string | undefined {
  return side?.channel.isDescribed ? side.channel.facts.id : undefined;
}
