/** The atomic store: a map in memory that follows a journal; one Write is one entry, so all of it or nothing is there. */
import { OutriggerError } from "../../../proto/errors.ts";
import type { GetResponse } from "../../../proto/gen/outrigger/meta/v1/GetResponse.ts";
import type { Item } from "../../../proto/gen/outrigger/meta/v1/Item.ts";
import type { Operation } from "../../../proto/gen/outrigger/meta/v1/Operation.ts";
import type { WriteResponse } from "../../../proto/gen/outrigger/meta/v1/WriteResponse.ts";
import { invalidField } from "../../../proto/keys.ts";
import { limits } from "../../../proto/limits.ts";
import type { Habits } from "../habits.ts";
import type { Call } from "./call.ts";
import { type Page, type PageRequest, pageOf } from "./fields.ts";
import { Journal } from "./journal.ts";
import { journalOf, openStore } from "./store-folder.ts";

export interface MetaChange {
  readonly key: string;
  readonly etag: string;
  /** Base64; absent: the key is taken away. */
  readonly value?: string;
}

interface Kept {
  readonly value: Buffer;
  readonly etag: string;
}

/** What a Write is made of, so that a wrong driver can put it together in another way. */
export interface WriteSteps {
  /** @throws CONDITION_FAILED that names the first operation whose condition does not hold */
  check(operations: readonly Operation[]): void;
  /** @returns an etag for each operation */
  apply(operations: readonly Operation[]): string[];
  /** Both as one step. */
  checkAndApply(operations: readonly Operation[]): string[];
}

/** Tags and lengths around one item, generously. */
const ITEM_OVERHEAD_BYTES = 64;

export class MetaStore {
  readonly id: string;
  readonly #journal: Journal<MetaChange>;
  readonly #items = new Map<string, Kept>();
  readonly #habits: Habits;

  /** @throws NOT_INITIALISED */
  static open(root: string, habits: Habits): MetaStore {
    const { folder, id } = openStore(root, "meta");
    return new MetaStore(folder, id, habits);
  }

  private constructor(folder: string, id: string, habits: Habits) {
    this.id = id;
    this.#habits = habits;
    this.#journal = new Journal({
      folder: journalOf(folder),
      apply: (change) => this.#apply(change),
      written: habits.meta.written,
    });
  }

  #apply({ key, etag, value }: MetaChange): void {
    if (value === undefined) this.#items.delete(key);
    else this.#items.set(key, { value: Buffer.from(value, "base64"), etag });
  }

  #item(key: string): Item | undefined {
    const kept = this.#items.get(key);
    return kept && { key, ...kept };
  }

  async get(keys: readonly string[]): Promise<GetResponse> {
    this.#habits.fields.count("keys", keys.length, limits.getKeys);
    for (const key of keys) this.#habits.fields.key(key);
    const found = await this.#habits.meta.get(keys, (some) => {
      this.#journal.catchUp();
      return some.map((key) => this.#item(key));
    });
    let bytes = 0;
    const full = found.findIndex((item, index) => {
      bytes += bytesOf(keys[index] ?? "", item);
      return index > 0 && bytes > this.#habits.list.pageBytes;
    });
    const answered = full === -1 ? keys.length : full;
    return {
      results: keys.slice(0, answered).map((key, index) => {
        const item = found[index];
        return item === undefined ? { key } : { key, item };
      }),
      unread: keys.slice(answered),
    };
  }

  list(request: PageRequest): Page<Item> {
    this.#journal.catchUp();
    return pageOf(this.#items.keys(), request, this.#habits, (key) => {
      const item = this.#item(key) as Item;
      return { item, bytes: bytesOf(key, item) };
    });
  }

  count(prefix: string): { count: number; exact: boolean } {
    this.#habits.fields.bound("prefix", prefix);
    this.#journal.catchUp();
    return this.#habits.list.count([...this.#items.keys()].filter((key) => key.startsWith(prefix)).length);
  }

  async write(operations: readonly Operation[], call: Call): Promise<WriteResponse> {
    assertOperations(operations, this.#habits.fields);
    const checkAndApply = (some: readonly Operation[]) => this.#change(some, true, call);
    const etags = await this.#habits.meta.write(operations, {
      check: (some) => {
        this.#journal.catchUp();
        this.#assertConditions(some);
      },
      apply: (some) => this.#change(some, false, call),
      checkAndApply,
    });
    return { results: operations.map(({ key }, index) => ({ key, etag: etags[index] ?? "" })) };
  }

  #change(operations: readonly Operation[], conditional: boolean, call: Call): string[] {
    return this.#journal.change((entry) => {
      if (conditional) this.#assertConditions(operations);
      call.assertInTime();
      const changes = operations.flatMap(({ action, key, put }): MetaChange[] => {
        const etag = this.#habits.meta.etag(entry, key, this.#items.get(key)?.etag);
        if (action === "put") return [{ key, etag, value: (put ?? Buffer.alloc(0)).toString("base64") }];
        return action === "delete" ? [{ key, etag: "" }] : [];
      });
      const etags = operations.map(({ action, key }) => {
        if (action === "check") return this.#items.get(key)?.etag ?? "";
        return changes.find((change) => change.key === key)?.etag ?? "";
      });
      return { changes, result: etags };
    });
  }

  #assertConditions(operations: readonly Operation[]): void {
    const index = operations.findIndex((operation) => !this.#holds(operation));
    const failed = operations[index];
    if (failed === undefined) return;
    throw new OutriggerError("CONDITION_FAILED", `operations[${index}]: ${failed.key} is not as ${failed.condition}`, {
      metadata: { index: String(index) },
    });
  }

  #holds({ key, condition, ifEtag }: Operation): boolean {
    const etag = this.#items.get(key)?.etag;
    switch (condition) {
      case "ifAbsent":
        return etag === undefined;
      case "ifPresent":
        return etag !== undefined;
      case "ifEtag":
        return etag !== undefined && this.#habits.meta.sameEtag(etag, ifEtag ?? "");
      default:
        return true;
    }
  }
}

/** [meta.write.05] */
function assertOperations(operations: readonly Operation[], fields: Habits["fields"]): void {
  if (operations.length === 0) throw invalidField("operations", "there are none");
  fields.count("operations", operations.length, limits.writeOperations);
  const seen = new Set<string>();
  let bytes = 0;
  for (const [index, { key, action, condition, put }] of operations.entries()) {
    const field = `operations[${index}]`;
    fields.key(key);
    if (seen.has(key)) throw invalidField(`${field}.key`, "is in this Write twice");
    seen.add(key);
    bytes += key.length + (put?.length ?? 0);
    if ((put?.length ?? 0) > limits.valueBytes) throw invalidField(`${field}.put`, "is more than 256 KiB");
    if (action === undefined) throw invalidField(`${field}.action`, "is none of put, delete and check");
    if (action === "check" && condition === undefined) throw invalidField(`${field}.condition`, "a check needs one");
  }
  if (bytes > limits.writeBytes) throw invalidField("operations", "are together more than 3.5 MiB");
}

function bytesOf(key: string, item: Item | undefined): number {
  return ITEM_OVERHEAD_BYTES + 2 * key.length + (item === undefined ? 0 : item.value.length + item.etag.length);
}
