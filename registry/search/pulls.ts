/**
 * How often images are pulled: counted here, added to what the store knows every ten seconds and at the end. A crash loses
 * what was not yet added; an answer that stays unknown may count its ten seconds twice.
 */
import type { MetaOperation } from "../../client/contract.ts";
import { sleep } from "../../proto/clock.ts";
import { limits } from "../../proto/limits.ts";
import type { Core } from "../repository/core.ts";
import { pullsKey, revisionLink } from "../repository/keys.ts";
import { WRITE_OPERATIONS } from "../repository/ledger.ts";
import { untilNotRaced } from "../repository/races.ts";
import { decodePulls } from "./record.ts";

const FLUSH_MS = 10_000;
/** Two keys each, in a Get and in a Write. */
const AT_ONCE = Math.floor(Math.min(WRITE_OPERATIONS, limits.getKeys) / 2);
/** Images counted while the store cannot be written to; further ones are not. */
const MOST_COUNTED = 100_000;
const CLOSE_MS = 5_000;

export interface PullsParts {
  /** Its ledger must not wait for a sealed store. */
  readonly core: Core;
  /** Nothing is written, as of now. */
  readonly readOnly: () => boolean;
  /** Default 10 s. */
  readonly flushMs?: number;
}

interface Counted {
  readonly name: string;
  readonly digest: string;
  count: number;
  /** Unix ms. */
  lastMs: number;
}

export class Pulls {
  readonly #parts: PullsParts;
  readonly #closing = new AbortController();
  #counted = new Map<string, Counted>();
  #flushing: Promise<void> = Promise.resolve();
  #cancel: (() => void) | undefined;
  #complained = false;

  constructor(parts: PullsParts) {
    this.#parts = parts;
  }

  count(name: string, digest: string): void {
    this.#add({ name, digest, count: 1, lastMs: this.#parts.core.clock.now() });
    this.#later();
  }

  #add({ name, digest, count, lastMs }: Counted): void {
    const key = `${name}@${digest}`;
    const counted = this.#counted.get(key);
    if (counted !== undefined) {
      counted.count += count;
      counted.lastMs = Math.max(counted.lastMs, lastMs);
    } else if (this.#counted.size < MOST_COUNTED) {
      this.#counted.set(key, { name, digest, count, lastMs });
    }
  }

  #later(): void {
    if (this.#cancel !== undefined || this.#closing.signal.aborted) return;
    this.#cancel = this.#parts.core.clock.after(this.#parts.flushMs ?? FLUSH_MS, () => {
      this.#cancel = undefined;
      void this.flush().then(() => {
        if (this.#counted.size > 0) this.#later();
      });
    });
  }

  /** Adds what was counted so far; what could not be added is kept. Never rejects. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush(this.#closing.signal));
    return this.#flushing;
  }

  async #flush(signal: AbortSignal): Promise<void> {
    const { core, readOnly } = this.#parts;
    if (readOnly()) return;
    const counted = [...this.#counted.values()];
    this.#counted = new Map();
    for (let at = 0; at < counted.length; at += AT_ONCE) {
      const some = counted.slice(at, at + AT_ONCE);
      try {
        await untilNotRaced(core, signal, () => this.#store(some, signal));
      } catch (error) {
        for (const one of counted.slice(at)) this.#add(one);
        if (!signal.aborted && !this.#complained) {
          core.log.warn({ err: error }, "pulls could not be counted in the store; trying again every 10 s");
        }
        this.#complained = true;
        return;
      }
    }
    this.#complained = false;
  }

  async #store(counted: readonly Counted[], signal: AbortSignal): Promise<void> {
    const { ledger } = this.#parts.core;
    const basis = ledger.basis();
    const keys = counted.flatMap(({ name, digest }) => [revisionLink(name, digest), pullsKey(name, digest)]);
    const items = await ledger.get(keys, { signal });
    const operations = counted.flatMap(({ name, digest, count, lastMs }, index): MetaOperation[] => {
      const revision = items[2 * index];
      const held = items[2 * index + 1];
      // Deleted since: so are its pulls.
      if (revision === undefined) return [];
      const before = (held && decodePulls(held.value)) ?? { count: 0, lastMs: 0 };
      const sum = { count: before.count + count, lastMs: Math.max(before.lastMs, lastMs) };
      return [
        { kind: "check", key: revision.key, condition: { ifEtag: revision.etag } },
        {
          kind: "put",
          key: pullsKey(name, digest),
          value: Buffer.from(JSON.stringify(sum)),
          condition: held === undefined ? { ifAbsent: true } : { ifEtag: held.etag },
        },
      ];
    });
    if (operations.length > 0) await ledger.write(operations, { signal }, basis);
  }

  /** What was counted is added, if the store takes it soon. */
  async close(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    const done = new AbortController();
    await Promise.race([this.flush(), sleep(this.#parts.core.clock, CLOSE_MS, done.signal).catch(() => undefined)]);
    done.abort();
    this.#closing.abort(new Error("closing"));
  }
}
