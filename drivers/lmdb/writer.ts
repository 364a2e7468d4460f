/**
 * Writes, one group after the other. Those that arrive while the disk syncs share the next transaction, and so its sync;
 * each has its own conditions, its own not-after time and its own answer.
 */
import { ABORT } from "lmdb";
import type { Logger } from "pino";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import type { CallContext, MetaCondition, MetaOperation } from "../../server/contract.ts";
import { type Environment, lastTransaction, type Tables } from "./environment.ts";
import { lmdbError } from "./errors.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

/** Of the last transaction that this driver made. */
export const TXID = Buffer.from("txid");

const GROUP_WRITES = 256;
const GROUP_BYTES = 16 * 1024 * 1024;
/** A commit that takes longer is a disk that does not answer. */
const STUCK_MS = 30_000;

interface Pending {
  readonly operations: readonly MetaOperation[];
  readonly call: CallContext;
  readonly sizeBytes: number;
  readonly settled: PromiseWithResolve;
  /** Of the last time it was applied. */
  outcome: { readonly etags: readonly string[] } | { readonly error: unknown } | undefined;
}

interface PromiseWithResolve {
  readonly promise: Promise<readonly string[]>;
  readonly resolve: (etags: readonly string[]) => void;
  readonly reject: (error: unknown) => void;
}

export class Writer {
  readonly #environment: Environment;
  readonly #log: Logger;
  #queue: Pending[] = [];
  #running: Promise<void> | undefined;
  #committingSinceMs: number | undefined;
  /** The transaction that was begun last. */
  #transaction = 0;
  #unsettled = false;
  #settling: Promise<void> | undefined;
  #closed = false;

  constructor(environment: Environment, log: Logger) {
    this.#environment = environment;
    this.#log = log;
  }

  /** Resolves once it is on the disk. @throws what MetaDriver.write may */
  write(operations: readonly MetaOperation[], call: CallContext): Promise<readonly string[]> {
    if (this.#closed) return Promise.reject(new OutriggerError("DRAINING", "the driver is about to stop"));
    const sizeBytes = operations.reduce(
      (sum, operation) => sum + operation.key.length + (operation.kind === "put" ? operation.value.byteLength : 0),
      0,
    );
    const settled = promiseWithResolve();
    this.#queue.push({ operations, call, sizeBytes, settled, outcome: undefined });
    this.#running ??= this.#run();
    return settled.promise;
  }

  /** @throws BACKEND_DOWN while nothing can be written */
  async check(): Promise<void> {
    if (this.#unsettled && this.#running === undefined) await this.#settle();
    const forMs = performance.now() - (this.#committingSinceMs ?? Number.POSITIVE_INFINITY);
    if (forMs > STUCK_MS) {
      throw new OutriggerError(
        "BACKEND_DOWN",
        `the disk of ${this.#environment.folder} has not finished a commit in ${Math.round(forMs / 1000)} s: check it`,
      );
    }
  }

  /** What was taken is written; more is refused. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // What came in this turn goes together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) await this.#commit(this.#gather());
    this.#running = undefined;
  }

  #gather(): Pending[] {
    let sizeBytes = 0;
    let count = 0;
    for (const pending of this.#queue) {
      if (count > 0 && (count === GROUP_WRITES || sizeBytes + pending.sizeBytes > GROUP_BYTES)) break;
      sizeBytes += pending.sizeBytes;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  /** Gives each of them its answer. Never rejects. */
  async #commit(group: readonly Pending[]): Promise<void> {
    this.#committingSinceMs = performance.now();
    try {
      if (this.#unsettled) await this.#settle();
      this.#environment.assertInPlace();
      // A late one has its error. The others are told anew: what they were told may rest on what it would have done.
      while ((await this.#transact(group)) === ABORT);
    } catch (failure) {
      const error = await this.#failed(failure);
      // One of them may want more room than there is, and the others less.
      if (error.reason === "QUOTA" && group.length > 1) {
        for (const pending of group) await this.#commit([pending]);
        return;
      }
      // Also those whose conditions did not hold: they may have lost against one that never happened.
      for (const pending of group) if (!isRefused(pending)) pending.outcome = { error };
    } finally {
      this.#committingSinceMs = undefined;
    }
    for (const { outcome, settled } of group) {
      if (outcome !== undefined && "etags" in outcome) settled.resolve(outcome.etags);
      else settled.reject(outcome?.error);
    }
  }

  /** @returns ABORT where one of them became late while others were applied */
  #transact(group: readonly Pending[]): Promise<unknown> {
    return this.#environment.transact((tables) => {
      let changed = false;
      for (const pending of group) {
        if (isRefused(pending)) continue;
        pending.outcome = outcomeOf(tables, pending);
        if ("etags" in pending.outcome) changed ||= pending.operations.some(({ kind }) => kind !== "check");
      }
      if (!changed) return undefined;
      this.#transaction = tables.root.getWriteTxnId();
      tables.own.putSync(TXID, Buffer.from(String(this.#transaction)));
      // As late as can be: the commit follows, and LMDB does not look at the clock [meta.write.08].
      let late = false;
      for (const pending of group) {
        if (pending.outcome === undefined || "error" in pending.outcome) continue;
        try {
          pending.call.assertInTime();
        } catch (error) {
          pending.outcome = { error };
          late = true;
        }
      }
      return late ? ABORT : undefined;
    });
  }

  async #failed(failure: unknown): Promise<OutriggerError> {
    const { folder } = this.#environment;
    const error = await lmdbError(failure, folder, "a Write");
    this.#log.error({ err: error }, "a transaction failed");
    // No transaction was begun.
    if (failure === error) return error;
    this.#unsettled = true;
    try {
      await this.#settle();
    } catch (cause) {
      return asDriverError(cause);
    }
    if (this.#environment.tables().own.get(TXID)?.toString() !== String(this.#transaction)) return error;
    // The page that decides was written, whatever LMDB was told: it may count, now or after a power loss.
    return new OutriggerError("BACKEND_DOWN", `a Write in ${folder} failed when it was almost done: look what it did`, {
      cause: error,
    });
  }

  /** Opens the file anew and looks which of its states counts; once for all who ask meanwhile. @throws BACKEND_DOWN */
  #settle(): Promise<void> {
    this.#settling ??= this.#renew().finally(() => {
      this.#settling = undefined;
    });
    return this.#settling;
  }

  async #renew(): Promise<void> {
    await this.#environment.renew();
    this.#unsettled = false;
    this.#log.info({ txid: lastTransaction(this.#environment.tables()) }, "the store was opened anew");
  }
}

function asDriverError(error: unknown): OutriggerError {
  if (error instanceof OutriggerError) return error;
  return new OutriggerError("INTERNAL", error instanceof Error ? error.message : String(error), { cause: error });
}

/** Its own error, which no other attempt changes. */
function isRefused({ outcome }: Pending): boolean {
  return outcome !== undefined && "error" in outcome && !hasReason(outcome.error, "CONDITION_FAILED");
}

/** Applies one Write whose conditions hold. An error that is not this Write's own is thrown. */
function outcomeOf({ meta }: Tables, { operations, call }: Pending): Exclude<Pending["outcome"], undefined> {
  // Nobody waits for it, and nothing has happened yet.
  if (call.signal.aborted) return { error: call.signal.reason };
  try {
    call.assertInTime();
    for (const [index, { key, condition }] of operations.entries()) {
      if (condition !== undefined && !holds(condition, etagOf(key))) {
        throw new OutriggerError("CONDITION_FAILED", `the condition of operation ${index} on ${key} does not hold`, {
          metadata: { index: String(index) },
        });
      }
    }
    // Before the first put, so that a damaged value leaves no half of a Write behind.
    const seen = operations.map(({ kind, key }) => (kind === "check" ? (etagOf(key) ?? "") : ""));
    return { etags: operations.map((operation, index) => apply(operation) ?? seen[index] ?? "") };
  } catch (error) {
    if (error instanceof OutriggerError) return { error };
    throw error;
  }

  function apply({ key, ...operation }: MetaOperation): string | undefined {
    if (operation.kind === "delete") meta.removeSync(keyBytes(key));
    if (operation.kind !== "put") return undefined;
    const { record, etag } = encodeRecord(key, operation.value);
    meta.putSync(keyBytes(key), record);
    return etag;
  }

  function etagOf(key: string): string | undefined {
    const record = meta.getBinary(keyBytes(key));
    return record && decodeRecord(key, record).etag;
  }
}

function holds(condition: MetaCondition, etag: string | undefined): boolean {
  if ("ifAbsent" in condition) return etag === undefined;
  if ("ifPresent" in condition) return etag !== undefined;
  return etag === condition.ifEtag;
}

/** Keys are ASCII. */
export function keyBytes(key: string): Buffer {
  return Buffer.from(key, "latin1");
}

function promiseWithResolve(): PromiseWithResolve {
  let resolve: PromiseWithResolve["resolve"] = () => {};
  let reject: PromiseWithResolve["reject"] = () => {};
  const promise = new Promise<readonly string[]>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
