/** Bytes on their way to the backend, in order: what is there without a gap can be told as persisted. */
import type { SavedHash } from "./saved-hash.ts";
import { type Tail, type UploadState, withPart } from "./state.ts";

export interface Segment {
  /** A part takes the place of the tails that it begins with; `merged`, a tail does. */
  readonly what: { readonly part: number } | { readonly tail: string; readonly merged: boolean };
  readonly startBytes: number;
  readonly endBytes: number;
  /** Of everything up to endBytes. */
  readonly hash: SavedHash | undefined;
  /** It is in the backend. */
  done: boolean;
}

export interface Reached {
  readonly change: Partial<UploadState>;
  /** How many segments it is of. */
  readonly count: number;
  /** Tails that parts have taken the place of, also such as no state ever named. */
  readonly needless: readonly Tail[];
}

export class Segments {
  #queue: Segment[] = [];

  get pending(): boolean {
    return this.#queue.length > 0;
  }

  add(segment: Omit<Segment, "done">): Segment {
    const added = { ...segment, done: false };
    this.#queue.push(added);
    return added;
  }

  /** What the state will say of everything that is there. */
  reached(state: UploadState): Reached | undefined {
    let { ranges, tails, persistedBytes, hash } = state;
    const seen = [...tails];
    let count = 0;
    for (const segment of this.#queue) {
      if (!segment.done) break;
      const { what, startBytes, endBytes } = segment;
      if ("part" in what) {
        ranges = withPart(ranges, what.part, startBytes, endBytes);
        tails = [];
      } else {
        const tail: Tail = { name: what.tail, startBytes, endBytes };
        seen.push(tail);
        tails = what.merged ? [tail] : [...tails, tail];
      }
      persistedBytes = endBytes;
      hash = segment.hash;
      count++;
    }
    if (count === 0) return undefined;
    const needless = seen.filter((tail) => !tails.includes(tail));
    return { change: { ranges, tails, persistedBytes, hash }, count, needless };
  }

  /** The first ones are told. */
  drop(count: number): void {
    this.#queue = this.#queue.slice(count);
  }
}
