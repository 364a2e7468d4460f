/** The meta store of a core: values by key, all-or-none writes whose lost answers are found out. */
import { hasReason, OutriggerError } from "../proto/errors.ts";
import type { OperationInput } from "../proto/gen/outrigger/meta/v1/Operation.ts";
import { assertAscii, assertKey, invalidField } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";
import type { StoreChannel } from "./channel.ts";
import { checkPage, etagOf, metaItem, violation, wholeNumber } from "./checks.ts";
import type { CallOptions, MetaItem, MetaOperation, MetaStore, Page, PageRequest, StoreFacts } from "./contract.ts";
import { type Asked, Gathering, onBehalf, parts } from "./gather.ts";
import { type Found, findOut, isRepeatable } from "./meta-write.ts";
import { hadNoEffect, isAnswerLost, waitMs } from "./retry.ts";

const WRITE_RETRY = { firstMs: 10, mostMs: 1_000 };
const WRITE_BUDGET_MS = 10_000;
/** How often what is changing is looked at anew. */
const LOOKS = 3;

type ListPage = Required<PageRequest>;

export class DriverMetaStore implements MetaStore {
  readonly #channel: StoreChannel;
  readonly #evenBlocked: boolean;
  readonly #gets: Gathering<readonly string[], (MetaItem | undefined)[]>;
  readonly #lists: Gathering<ListPage, Page<MetaItem>>;

  /** @param evenBlocked for the calls that decide whether the channel is used at all (the pair's record) */
  constructor(channel: StoreChannel, evenBlocked = false) {
    this.#channel = channel;
    this.#evenBlocked = evenBlocked;
    const turnEnd = (run: () => void) => this.#channel.live.turnEnd(run);
    this.#gets = new Gathering(turnEnd, (asked) => {
      for (const part of parts(asked)) void this.#getTogether(part.keys, part.asked);
    });
    this.#lists = new Gathering(turnEnd, (asked) => {
      const same = new Map<string, Asked<ListPage, Page<MetaItem>>[]>();
      for (const one of asked) {
        const name = `${one.question.limit} ${one.question.prefix} ${one.question.startAfter}`;
        const others = same.get(name);
        if (others === undefined) same.set(name, [one]);
        else others.push(one);
      }
      for (const callers of same.values()) void this.#listTogether(callers);
    });
  }

  get facts(): StoreFacts {
    return this.#channel.live.facts;
  }

  async get(keys: readonly string[], options?: CallOptions): Promise<(MetaItem | undefined)[]> {
    if (keys.length > limits.getKeys)
      throw invalidField("keys", `${keys.length} keys; at most ${limits.getKeys} are one Get`);
    for (const key of keys) assertKey(key);
    // Held from now on: a store that is switched away from is not closed before its answer.
    const release = this.#channel.live.hold();
    try {
      return await this.#gets.ask(keys, options);
    } finally {
      release();
    }
  }

  /** One Get for all of them. Whoever it leaves unread asks alone: each caller's keys are read at one moment if they can be. */
  #getTogether(keys: readonly string[], callers: readonly Asked<readonly string[], (MetaItem | undefined)[]>[]) {
    return onBehalf(
      callers,
      (options) => this.#getOnce(keys, options),
      ({ found }, { question, options, resolve, reject }) => {
        if (question.every((key) => found.has(key))) resolve(question.map((key) => found.get(key)));
        else this.#getAlone(question, callers.length === 1 ? found : new Map(), options).then(resolve, reject);
      },
    );
  }

  async #getAlone(
    keys: readonly string[],
    found: Map<string, MetaItem | undefined>,
    options: CallOptions | undefined,
  ): Promise<(MetaItem | undefined)[]> {
    for (let asked = keys.filter((key) => !found.has(key)); asked.length > 0; ) {
      const more = await this.#getOnce(asked, options);
      for (const [key, item] of more.found) found.set(key, item);
      asked = asked.filter((key) => !found.has(key));
    }
    return keys.map((key) => found.get(key));
  }

  /** At least one of the keys; the rest did not fit into the answer. */
  async #getOnce(keys: readonly string[], options: CallOptions | undefined) {
    const found = new Map<string, MetaItem | undefined>();
    const { results, unread } = await this.#channel.repeatable(
      "meta.Get",
      { keys: keys as string[] },
      { options },
      this.#evenBlocked,
    );
    if (results.length === 0 && keys.length > 0) throw violation("meta.get.02", "a Get answers none of the keys asked");
    const asked = new Set(keys);
    for (const { key, item } of results) {
      if (!asked.has(key)) throw violation("meta.get.01", `a Get answers ${key}, which was not asked`);
      found.set(key, item ? metaItem("meta.get.01", item, key) : undefined);
    }
    if (found.size < asked.size)
      for (const key of asked)
        if (!found.has(key) && !unread.includes(key)) throw violation("meta.get.01", `a Get does not answer ${key}`);
    return { found };
  }

  async list(request: PageRequest, options?: CallOptions): Promise<Page<MetaItem>> {
    const page = {
      prefix: request.prefix,
      startAfter: request.startAfter ?? "",
      limit: request.limit ?? limits.listItems,
    };
    assertAscii("prefix", page.prefix);
    assertAscii("start_after", page.startAfter);
    if (!(page.limit >= 1 && page.limit <= limits.listItems))
      throw invalidField("limit", `${page.limit} is not 1 to 1000`);
    const release = this.#channel.live.hold();
    try {
      return await this.#lists.ask(page, options);
    } finally {
      release();
    }
  }

  #listTogether(callers: readonly Asked<ListPage, Page<MetaItem>>[]) {
    const page = callers[0]?.question;
    if (page === undefined) return;
    return onBehalf(
      callers,
      (options) => this.#listOnce(page, options),
      (answer, { resolve }) => resolve(answer),
    );
  }

  async #listOnce(page: ListPage, options: CallOptions | undefined): Promise<Page<MetaItem>> {
    const { items, more } = await this.#channel.repeatable("meta.List", page, {
      options,
      deadlineMs: limits.listDeadlineMs,
    });
    checkPage(
      { order: "meta.list.01", more: "meta.list.03", limit: "meta.list.05" },
      items.map((item) => item.key),
      more,
      page,
    );
    return { items: items.map((item) => metaItem("meta.list.06", item)), more };
  }

  async count(prefix: string, options?: CallOptions): Promise<{ count: number; exact: boolean }> {
    assertAscii("prefix", prefix);
    const answer = await this.#channel.repeatable(
      "meta.Count",
      { prefix },
      { options, deadlineMs: limits.listDeadlineMs },
    );
    return { count: wholeNumber("meta.count.01", "count", answer.count), exact: answer.exact };
  }

  async write(operations: readonly MetaOperation[], options?: CallOptions): Promise<string[]> {
    this.#assertWritable(operations);
    const { clock, random } = this.#channel;
    const startMs = clock.monotonic();
    /** An earlier attempt of this Write may have taken effect, or may still. */
    let lost: unknown;
    for (let tried = 0; ; tried++) {
      let failure: unknown;
      try {
        return await this.#writeOnce(operations, options);
      } catch (error) {
        failure = error;
      }
      if (isAnswerLost(failure) && !hadNoEffect(failure)) lost ??= failure;
      else if (lost !== undefined && hasReason(failure, "CONDITION_FAILED")) {
        // Perhaps the earlier attempt, come late, is what this one lost against: looked at below.
      } else if (!hadNoEffect(failure) && !(hasReason(failure, "TOO_LATE", "READ_ONLY") && lost !== undefined)) {
        throw failure;
      }

      if (lost !== undefined) {
        const found = await this.#lookBack(operations, options).catch((cause) => {
          throw new OutriggerError(
            (lost as OutriggerError).reason,
            `a Write's answer was lost (${(lost as Error).message}) and what it did cannot be read back now`,
            { cause },
          );
        });
        if (found.state === "done") return found.etags;
        // Sealed since: what has not taken effect no longer can.
        if (hasReason(failure, "READ_ONLY")) throw failure;
        if (found.state === "unsure") throw unsettled(lost as OutriggerError);
        if (found.state === "lost") {
          throw new OutriggerError(
            "CONDITION_FAILED",
            `operations[${found.index}]: ${operations[found.index]?.key} was changed by somebody else`,
            { metadata: { index: String(found.index) }, cause: failure },
          );
        }
      }
      const pauseMs = waitMs(failure, tried, random, WRITE_RETRY);
      if (clock.monotonic() - startMs + pauseMs >= WRITE_BUDGET_MS) throw lost ?? failure;
      await this.#channel.live.pause("meta.Write", pauseMs, options?.signal);
    }
  }

  /** What became of a Write. Keys that several Gets answered are of several moments, between which it may have happened. */
  async #lookBack(operations: readonly MetaOperation[], options: CallOptions | undefined): Promise<Found> {
    const keys = operations.map(({ key }) => key);
    const read = () => this.get(keys, withoutNotAfter(options));
    let items = await read();
    for (let looks = 0; looks < LOOKS; looks++) {
      const found = findOut(operations, items);
      if (found.state !== "lost" || keys.length === 1) return found;
      // Unchanged from the first look to the second: so it all was in between.
      const again = await read();
      if (items.every((item, index) => item?.etag === again[index]?.etag)) return found;
      items = again;
    }
    return { state: "unsure" };
  }

  async #writeOnce(operations: readonly MetaOperation[], options: CallOptions | undefined): Promise<string[]> {
    const { results } = await this.#channel.live.unary(
      "meta.Write",
      { operations: operations.map(toWire) },
      { options, mutates: true },
      this.#evenBlocked,
    );
    if (results.length !== operations.length)
      throw violation(
        "meta.write.06",
        `a Write of ${operations.length} operations is answered by ${results.length} results`,
      );
    return operations.map((operation, index) => {
      const result = results[index];
      if (result?.key !== operation.key)
        throw violation(
          "meta.write.06",
          `result ${index} is about ${result?.key}, operation ${index} about ${operation.key}`,
        );
      return operation.kind === "put" ? etagOf("meta.write.06", operation.key, result.etag) : result.etag;
    });
  }

  #assertWritable(operations: readonly MetaOperation[]): void {
    if (operations.length < 1 || operations.length > limits.writeOperations)
      throw invalidField("operations", `${operations.length} operations; 1 to ${limits.writeOperations} are one Write`);
    const keys = new Set<string>();
    const mostBytes = this.#channel.live.isDescribed
      ? this.#channel.live.facts.limits.maxValueBytes
      : limits.valueBytes;
    let bytes = 0;
    for (const operation of operations) {
      assertKey(operation.key);
      if (keys.has(operation.key)) throw invalidField("operations", `${operation.key} is there twice`);
      keys.add(operation.key);
      bytes += operation.key.length;
      if (operation.kind !== "put") continue;
      if (operation.value.length > mostBytes)
        throw invalidField(
          "operations",
          `the value of ${operation.key} has ${operation.value.length} bytes; at most ${mostBytes}`,
        );
      bytes += operation.value.length;
    }
    if (bytes > limits.writeBytes)
      throw invalidField("operations", `${bytes} bytes; at most ${limits.writeBytes} are one Write`);
  }
}

export { isRepeatable };

/** See MetaStore.write. */
function unsettled(lost: OutriggerError): OutriggerError {
  return new OutriggerError(lost.reason, `a Write's answer was lost, and it may still take effect: ${lost.message}`, {
    metadata: { ...lost.metadata, outcome: "unsettled" },
    side: lost.side,
    cause: lost,
  });
}

/** A read back is a new call: it must not fail because the Write's own time is over. */
function withoutNotAfter(options: CallOptions | undefined): CallOptions | undefined {
  if (options?.notAfterMs === undefined) return options;
  const { notAfterMs: _, ...rest } = options;
  return rest;
}

function toWire(operation: MetaOperation): OperationInput {
  const { condition } = operation;
  return {
    key: operation.key,
    ...(operation.kind === "put" ? { put: operation.value as Buffer } : { [operation.kind]: {} }),
    ...(condition === undefined
      ? {}
      : "ifEtag" in condition
        ? { ifEtag: condition.ifEtag }
        : "ifAbsent" in condition
          ? { ifAbsent: {} }
          : { ifPresent: {} }),
  };
}
