/** What copying, comparing and verifying have in common: what they are told, and what they tell. */
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import type { Rate } from "./rate.ts";

export interface TransferOptions {
  readonly signal?: AbortSignal;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Default: nothing is logged. */
  readonly log?: Logger;
  /** In [0, 1). */
  readonly random?: () => number;
  /** Blobs, or repositories, at once. Default 4. */
  readonly jobs?: number;
  /** Bytes a second, of all blobs together. Absent: not limited. */
  readonly rate?: Rate;
  /** How long a store may stay away, with nothing getting further, until the work ends. Default 60,000. */
  readonly patienceMs?: number;
  /** Called whenever a count has changed; must be quick. */
  readonly changed?: () => void;
  /** A store is away and is waited for. Called once for each reason. */
  readonly waiting?: (why: string) => void;
}

/** One thing that was not done or is not right; the rest went on. */
export interface Problem {
  /** A digest, `repository:tag`, or a key. */
  readonly what: string;
  /** A sentence's end: "its bytes are damaged at FROM: …". */
  readonly why: string;
}

/** Problems are counted, and the first thousand kept. */
export class Problems {
  readonly kept: Problem[] = [];
  #count = 0;
  readonly #most: number;

  constructor(most = 1000) {
    this.#most = most;
  }

  get count(): number {
    return this.#count;
  }

  add(what: string, why: string): void {
    this.#count += 1;
    if (this.kept.length < this.#most) this.kept.push({ what, why });
  }
}

export const DEFAULT_JOBS = 4;
