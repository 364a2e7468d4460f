/** MetaDriver over the table: Get in one transaction, List and Count by consistent queries of one partition. */
import { GetItemCommand, QueryCommand, TransactGetItemsCommand } from "@aws-sdk/client-dynamodb";
import type {
  CallContext,
  MetaDriver,
  MetaItem,
  MetaOperation,
  Page,
  PageRequest,
  StoreFacts,
} from "../../server/contract.ts";
import { isTooLarge } from "./failures.ts";
import { type Attributes, keyOf, MOST_KEY_BYTES, metaItem } from "./items.ts";
import type { Requests } from "./requests.ts";
import type { Table } from "./table.ts";
import { Writes } from "./writes.ts";

export class MetaStore implements MetaDriver {
  readonly facts: StoreFacts;
  readonly #table: Table;
  readonly #requests: Requests;
  readonly #writes: Writes;

  constructor(facts: StoreFacts, table: Table, requests: Requests) {
    this.facts = facts;
    this.#table = table;
    this.#requests = requests;
    this.#writes = new Writes(facts.id, table, requests);
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#table.assertStill(this.facts.id, signal);
  }

  /** One transaction. Where the items are too large for one together, fewer of them are answered. */
  async get(keys: readonly string[], call: CallContext): Promise<readonly (MetaItem | undefined)[]> {
    for (let asked = [...keys]; ; asked = asked.slice(0, Math.ceil(asked.length / 2))) {
      try {
        const distinct = [...new Set(asked)];
        const [only] = distinct;
        const items =
          distinct.length === 1 && only !== undefined
            ? [await this.#getOne(only, call)]
            : await this.#getTogether(distinct, call);
        const found = new Map(distinct.map((key, index) => [key, metaItem(key, items[index])]));
        // What is found is this store's. Of an empty answer that is not said yet.
        if (items.every((item) => item === undefined)) await this.#table.assertStill(this.facts.id, call.signal);
        return asked.map((key) => found.get(key));
      } catch (error) {
        if (asked.length === 1 || !isTooLarge(error)) throw error;
      }
    }
  }

  async list({ prefix, startAfter, limit }: PageRequest, call: CallContext): Promise<Page<MetaItem>> {
    const items: MetaItem[] = [];
    // One more than is wanted tells whether more follow.
    for await (const page of this.#pages(prefix, startAfter, { Limit: limit + 1 }, call)) {
      for (const found of page.Items ?? []) {
        const item = metaItem(found["k"]?.S ?? "", found);
        if (item !== undefined) items.push(item);
      }
      if (items.length > limit) return { items: items.slice(0, limit), more: true };
      if (items.length > 0) return { items, more: page.LastEvaluatedKey !== undefined };
    }
    await this.#table.assertStill(this.facts.id, call.signal);
    return { items, more: false };
  }

  write(operations: readonly MetaOperation[], call: CallContext): Promise<readonly string[]> {
    return this.#writes.write(operations, call);
  }

  /** Never exact: a Query may see a part of a transaction, also where it is the only one. */
  async count(prefix: string, call: CallContext): Promise<{ readonly count: number; readonly exact: boolean }> {
    let count = 0;
    for await (const { Count = 0 } of this.#pages(prefix, "", { Select: "COUNT" }, call)) count += Count;
    if (count === 0) await this.#table.assertStill(this.facts.id, call.signal);
    return { count, exact: false };
  }

  async #getOne(key: string, call: CallContext): Promise<Attributes | undefined> {
    const { Item } = await this.#requests.read(call.signal, (client, options) =>
      client.send(
        new GetItemCommand({ TableName: this.#table.name, Key: keyOf(this.facts.id, key), ConsistentRead: true }),
        options,
      ),
    );
    return Item;
  }

  async #getTogether(keys: readonly string[], call: CallContext): Promise<(Attributes | undefined)[]> {
    const TransactItems = keys.map((key) => ({
      Get: { TableName: this.#table.name, Key: keyOf(this.facts.id, key) },
    }));
    const { Responses = [] } = await this.#requests.read(call.signal, (client, options) =>
      client.send(new TransactGetItemsCommand({ TransactItems }), options),
    );
    return keys.map((_, index) => Responses[index]?.Item);
  }

  /** Pages of 1 MB at most, from behind `startAfter`, of what begins with the prefix. */
  async *#pages(
    prefix: string,
    startAfter: string,
    input: { readonly Limit: number } | { readonly Select: "COUNT" },
    call: CallContext,
  ) {
    // No key is as long; and a start behind all that begin with the prefix.
    if (prefix.length > MOST_KEY_BYTES || (startAfter > prefix && !startAfter.startsWith(prefix))) return;
    // Keys are at most this long, so that those behind a longer string are those behind its beginning.
    const start = startAfter >= prefix ? startAfter.slice(0, MOST_KEY_BYTES) : "";
    let ExclusiveStartKey = start === "" ? undefined : keyOf(this.facts.id, start);
    do {
      const page = await this.#requests.read(call.signal, (client, options) =>
        client.send(
          new QueryCommand({
            ...input,
            TableName: this.#table.name,
            ConsistentRead: true,
            KeyConditionExpression: prefix === "" ? "p = :p" : "p = :p AND begins_with(k, :prefix)",
            FilterExpression: "attribute_exists(e)",
            ExpressionAttributeValues: {
              ":p": { S: this.facts.id },
              ...(prefix === "" ? {} : { ":prefix": { S: prefix } }),
            },
            ExclusiveStartKey,
          }),
          options,
        ),
      );
      yield page;
      ExclusiveStartKey = page.LastEvaluatedKey;
    } while (ExclusiveStartKey !== undefined);
  }
}
