/** The meta store: one script for each call. */
import { randomBytes } from "node:crypto";
import { OutriggerError } from "../../proto/errors.ts";
import type {
  CallContext,
  MetaCondition,
  MetaDriver,
  MetaItem,
  MetaOperation,
  Page,
  PageRequest,
  StoreFacts,
} from "../../server/contract.ts";
import { oddReply } from "./errors.ts";
import { textOf } from "./inspect.ts";
import type { Argument, Link, Reply } from "./link.ts";
import type { Replication } from "./replication.ts";
import type { Runner } from "./runner.ts";
import { countScript, ETAG_LENGTH, getScript, listScript, writeScript } from "./scripts.ts";

export interface StoreParts {
  readonly facts: StoreFacts;
  readonly runner: Runner;
  readonly reads: Link;
  readonly writes: Link;
  readonly replication: Replication | undefined;
  /** @throws why the server may not be used now */
  readonly assertUsable: () => void;
  readonly check: (signal: AbortSignal) => Promise<void>;
}

/** Values of one answer, together; the last one may stand above it. The host cuts at 4 MiB. */
const PAGE_BYTES = 3.5 * 1024 * 1024;

export class RedisMetaStore implements MetaDriver {
  readonly facts: StoreFacts;
  readonly check: (signal: AbortSignal) => Promise<void>;
  readonly #parts: StoreParts;

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.facts = parts.facts;
    this.check = parts.check;
  }

  async get(keys: readonly string[], call: CallContext): Promise<readonly (MetaItem | undefined)[]> {
    const raws = await this.#read(getScript, [String(PAGE_BYTES), ...keys], call);
    return raws.map((raw, index) => (raw === null ? undefined : itemOf(keys[index] ?? "", raw)));
  }

  async list(request: PageRequest, call: CallContext): Promise<Page<MetaItem>> {
    const [more, ...pairs] = await this.#read(
      listScript,
      [...rangeOf(request), String(request.limit), String(PAGE_BYTES)],
      call,
    );
    const items: MetaItem[] = [];
    for (let index = 0; index + 1 < pairs.length; index += 2)
      items.push(itemOf(textOf(pairs[index] ?? null), pairs[index + 1] ?? null));
    return { items, more: more === 1 };
  }

  async count(prefix: string, call: CallContext): Promise<{ readonly count: number; readonly exact: boolean }> {
    const [count] = await this.#read(countScript, rangeOf({ prefix, startAfter: "" }), call);
    return { count: Number(textOf(count ?? null)), exact: true };
  }

  async write(operations: readonly MetaOperation[], call: CallContext): Promise<readonly string[]> {
    const { runner, writes, replication, assertUsable } = this.#parts;
    assertUsable();
    const etags = newEtags(operations.length);
    const args: Argument[] = [call.notAfterMs === undefined ? "" : String(call.notAfterMs)];
    for (const [index, operation] of operations.entries()) {
      const raw =
        operation.kind === "put" ? Buffer.concat([Buffer.from(etags[index] ?? "", "latin1"), operation.value]) : "";
      args.push(operation.kind, operation.key, conditionOf(operation.condition), raw);
    }
    call.assertInTime();
    const connection = writes.connection;
    const {
      word,
      writes: count,
      rest,
    } = await runner
      .run(writes, writeScript, args, call.signal, () => call.assertInTime())
      .catch((error: unknown) => {
        throw withOutcome(error, call.signal);
      });
    if (word === "late") throw tooLate(call.notAfterMs ?? 0, Number(textOf(rest[0] ?? null)));
    const [changed, ...seen] = rest;
    if (word === "ok" && changed === 1) replication?.answered(connection, count);
    // Also a condition that failed: what it failed against may be on the primary alone.
    await replication?.received(count, call.signal);
    if (word === "failed") throw conditionFailed(operations, Number(textOf(changed ?? null)));
    if (seen.length !== operations.length) throw oddReply("a Write");
    return operations.map(({ kind }, index) =>
      kind === "put" ? (etags[index] ?? "") : kind === "check" ? textOf(seen[index] ?? null) : "",
    );
  }

  async #read(
    script: typeof getScript,
    args: readonly Argument[],
    { signal }: Pick<CallContext, "signal">,
  ): Promise<readonly Reply[]> {
    const { runner, reads, replication, assertUsable } = this.#parts;
    assertUsable();
    const { rest, writes } = await runner.run(reads, script, args, signal);
    replication?.assertMayBeReceived(writes);
    await replication?.received(writes, signal);
    return rest;
  }
}

/**
 * 128 random bits for the Write, then the operation's number: never one that the key had before, whatever became of the
 * server's data. A counter in the store would come again after a failover, or when a copy is put back.
 */
function newEtags(count: number): readonly string[] {
  const write = randomBytes(16).toString("base64url");
  return Array.from({ length: count }, (_, index) => `${write}${index.toString(16).padStart(2, "0")}`);
}

function conditionOf(condition: MetaCondition | undefined): string {
  if (condition === undefined) return "";
  if ("ifAbsent" in condition) return "absent";
  return "ifPresent" in condition ? "present" : `=${condition.ifEtag}`;
}

function itemOf(key: string, raw: Reply): MetaItem {
  if (!Buffer.isBuffer(raw) || raw.length < ETAG_LENGTH) throw oddReply(`what key ${key} holds`);
  return { key, etag: raw.toString("latin1", 0, ETAG_LENGTH), value: raw.subarray(ETAG_LENGTH) };
}

/** As ZRANGEBYLEX takes it. Keys are ASCII: all that begin with the prefix stand below the prefix and a byte of 255. */
function rangeOf({ prefix, startAfter }: Pick<PageRequest, "prefix" | "startAfter">): readonly [Argument, Argument] {
  return [
    startAfter !== "" && startAfter >= prefix ? `(${startAfter}` : `[${prefix}`,
    Buffer.from(`(${prefix}\xff`, "latin1"),
  ];
}

function conditionFailed(operations: readonly MetaOperation[], index: number): OutriggerError {
  return new OutriggerError("CONDITION_FAILED", `the condition on key ${operations[index]?.key} does not hold`, {
    metadata: { index: String(index) },
  });
}

function tooLate(notAfterMs: number, nowMs: number): OutriggerError {
  return new OutriggerError(
    "TOO_LATE",
    `by the server's clock it is ${nowMs - notAfterMs} ms past the request's not-after time`,
    { metadata: { notAfterMs: String(notAfterMs), nowMs: String(nowMs) } },
  );
}

/** A Write that may have happened is said to be one. */
function withOutcome(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted || !(error instanceof OutriggerError)) return error;
  if (error.reason !== "BACKEND_DOWN" || error.metadata["sent"] === "no") return error;
  return new OutriggerError("BACKEND_DOWN", `whether the Write took effect is not known: ${error.message}`, {
    metadata: { outcome: "unknown" },
    cause: error,
  });
}
