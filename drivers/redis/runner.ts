/** Scripts over a link, and what every answer of theirs says of the store first. */
import type { Logger } from "pino";
import { OutriggerError } from "../../proto/errors.ts";
import { oddReply, UnfitError } from "./errors.ts";
import { textOf } from "./inspect.ts";
import { type Argument, type Link, RefusedError, type Reply } from "./link.ts";
import type { Settings } from "./options.ts";
import type { Script } from "./scripts.ts";

/** The three keys of a store. The braces put them into one slot of a cluster. */
export function keysOf({ keyPrefix }: Pick<Settings, "keyPrefix">): readonly [string, string, string] {
  return [`{${keyPrefix}}:store`, `{${keyPrefix}}:keys`, `{${keyPrefix}}:values`];
}

/**
 * Runs by hash, and by text where the server does not know the hash.
 * @param again is called before the second attempt: the first one did nothing
 */
export async function evaluate(
  run: (command: string, args: readonly Argument[]) => Promise<Reply>,
  script: Script,
  keys: readonly string[],
  args: readonly Argument[],
  again: () => void = () => {},
): Promise<Reply> {
  const rest = [String(keys.length), ...keys, ...args];
  try {
    return await run("EVALSHA", [script.sha1, ...rest]);
  } catch (error) {
    if (!(error instanceof RefusedError) || !/\bNOSCRIPT\b/.test(error.message)) throw error;
  }
  again();
  return run("EVAL", [script.text, ...rest]);
}

export interface Answer {
  readonly word: string;
  readonly writes: number;
  readonly rest: readonly Reply[];
}

export class Runner {
  readonly #keys: readonly string[];
  readonly #id: string;
  readonly #settings: Settings;
  readonly #log: Logger;
  /**
   * The most Writes that the store was ever seen to hold, and must hold from then on. With --wait-replicas only those that
   * so many replicas have received: the others may be lost in any failover, and nobody was told that they are kept.
   */
  #heldWrites = 0;
  /** The store holds less than it did: for good, unless losses are allowed. */
  #lost: OutriggerError | undefined;

  constructor(id: string, settings: Settings, log: Logger) {
    this.#id = id;
    this.#settings = settings;
    this.#log = log;
    this.#keys = keysOf(settings);
  }

  /**
   * @returns the answer: `word` is `ok`, `failed` or `late`, `writes` how many Writes the store held then
   * @throws OutriggerError
   */
  async run(
    link: Link,
    script: Script,
    args: readonly Argument[],
    signal: AbortSignal,
    again?: () => void,
  ): Promise<Answer> {
    if (this.#lost !== undefined) throw this.#lost;
    // Held against what was seen before it was sent: answers of two connections may cross.
    const seen = this.#heldWrites;
    const call = (command: string, all: readonly Argument[]) => link.call(command, all, signal);
    let reply: Reply;
    try {
      reply = await evaluate(call, script, this.#keys, [this.#id, String(seen), ...args], again);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      throw new OutriggerError("INTERNAL", `the server at ${this.#where} refuses a script: ${error.message}`, {
        metadata: { sent: "no" },
        cause: error,
      });
    }
    if (!Array.isArray(reply)) throw oddReply("a script");
    const [first = null, second = null, ...rest] = reply as readonly Reply[];
    const word = textOf(first);
    if (word === "store") throw this.#otherStore(second, link);
    const writes = Number(textOf(second));
    if (word === "back") throw this.#wentBack(seen, writes);
    if (word === "damaged") throw damaged(this.#where, `key ${textOf(rest[0] ?? null)} has no value`);
    if (this.#settings.waitReplicas === 0) this.hold(writes);
    return { word, writes, rest };
  }

  get heldWrites(): number {
    return this.#heldWrites;
  }

  /** From now on the store must hold so many. */
  hold(writes: number): void {
    this.#heldWrites = Math.max(this.#heldWrites, writes);
  }

  get #where(): string {
    const { address, keyPrefix } = this.#settings;
    return `${address.shown}, database ${address.database}, --key-prefix ${keyPrefix}`;
  }

  #otherStore(found: Reply, link: Link): OutriggerError {
    const error =
      found === null
        ? new OutriggerError(
            "BACKEND_DOWN",
            `store ${this.#id} is gone from ${this.#where}: the server was emptied, came back without its data, or is another one; put its data back`,
            { metadata: { sent: "no" } },
          )
        : new OutriggerError(
            "WRONG_STORE",
            `${this.#where} holds store ${textOf(found)} now, not ${this.#id}: restart the driver if that is meant`,
            { metadata: { store: textOf(found), sent: "no" } },
          );
    // Perhaps a new connection leads to the right one.
    link.renew(error);
    return error;
  }

  #wentBack(seen: number, found: number): OutriggerError {
    const error = new OutriggerError(
      "BACKEND_DOWN",
      `${this.#where} has lost at least ${seen - found} acknowledged Writes (a failover, or an older copy was put back): restart the driver to go on with what is there`,
      { metadata: { sent: "no" } },
    );
    if (this.#settings.allowLoss) {
      this.#log.error(error.message);
      // Whether replicas have even that is not known.
      this.#heldWrites = this.#settings.waitReplicas === 0 ? found : 0;
    } else if (this.#lost === undefined) {
      this.#log.fatal(error.message);
      this.#lost = error;
    }
    return error;
  }
}

export function damaged(where: string, what: string): UnfitError {
  return new UnfitError("STORED_CORRUPT", `${where}: ${what}: put the data back from a copy`);
}
