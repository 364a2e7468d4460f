/**
 * A Write as one TransactWriteItems: one action for each operation, in order, with its condition.
 *
 * A table that was deleted and made anew under its name answers like an empty store. So a Write takes effect only in a table
 * that is this store's: either one of its conditions needs an item of the store (nobody else writes under its id), or it also
 * looks at an item that marks the table. Where 100 operations leave no room for that, a place is held first at one of their
 * keys, by an item without etag, which is absent to every reader and condition; the Write then needs that item.
 */
import { randomBytes, randomUUID } from "node:crypto";
import {
  DeleteItemCommand,
  GetItemCommand,
  type TransactWriteItem,
  TransactWriteItemsCommand,
} from "@aws-sdk/client-dynamodb";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import type { CallContext, MetaCondition, MetaOperation } from "../../server/contract.ts";
import type { Failure } from "./failures.ts";
import { anyMarker, keyOf, markerKey, metaItem } from "./items.ts";
import type { Requests } from "./requests.ts";
import type { Table } from "./table.ts";

/** DynamoDB's bound of one transaction. */
const MOST_ACTIONS = 100;
/** How often a Write is begun anew because what it had looked up was changed meanwhile. */
const BEGINNINGS = 4;

/** Begin anew: an item that was looked up before the transaction was changed by somebody else. */
class Overtaken extends Error {}

/** One operation and what its item must be beyond its condition. */
interface Step {
  readonly operation: MetaOperation;
  /** What the answer says of it. */
  readonly etag: string;
  /** Of a check {present}: the etag that was looked up, which is what is answered; "" where there was none. */
  readonly seen?: string;
  /** The Write needs that an item is at its key: one with a value, or at least one that holds the place. */
  readonly held?: "value" | "place";
}

export class Writes {
  readonly #storeId: string;
  readonly #table: Table;
  readonly #requests: Requests;

  constructor(storeId: string, table: Table, requests: Requests) {
    this.#storeId = storeId;
    this.#table = table;
    this.#requests = requests;
  }

  async write(operations: readonly MetaOperation[], call: CallContext): Promise<readonly string[]> {
    for (let begun = 1; ; begun++) {
      try {
        return await this.#begin(operations, call);
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error;
        if (begun < BEGINNINGS) continue;
        throw new OutriggerError("CONFLICT", error.message, { cause: error });
      }
    }
  }

  async #begin(operations: readonly MetaOperation[], call: CallContext): Promise<readonly string[]> {
    const steps = await this.#look(operations, call);
    if (operations.some(provesStore)) await this.#transact(steps, call, false);
    else if (operations.length < MOST_ACTIONS) await this.#transact(steps, call, true);
    else await this.#transactFull(steps, call);
    return steps.map(({ etag }) => etag);
  }

  /** Etags of puts; those of checks are looked up where the condition does not tell them: a transaction answers nothing. */
  #look(operations: readonly MetaOperation[], call: CallContext): Promise<Step[]> {
    return Promise.all(
      operations.map(async (operation): Promise<Step> => {
        if (operation.kind === "put") return { operation, etag: randomBytes(16).toString("hex") };
        if (operation.kind === "delete" || "ifAbsent" in operation.condition) return { operation, etag: "" };
        if ("ifEtag" in operation.condition) return { operation, etag: operation.condition.ifEtag };
        const seen = metaItem(operation.key, await this.#item(operation.key, call))?.etag ?? "";
        return { operation, etag: seen, seen };
      }),
    );
  }

  async #transact(steps: readonly Step[], call: CallContext, marked: boolean): Promise<void> {
    const actions = steps.map((step) => this.#action(step));
    const TransactItems = marked ? [...actions, this.#marker()] : actions;
    await this.#send(TransactItems, call, (index) => {
      const step = steps[index];
      if (step === undefined) return this.#table.replaced();
      const { key } = step.operation;
      if (step.seen || step.held === "place") {
        return new Overtaken(`${key} was changed while a Write was at work on it`);
      }
      return conditionFailed(index, key);
    });
  }

  /** 100 operations of which none needs an item: the first that changes anything is made to need the one at its key. */
  async #transactFull(steps: readonly Step[], call: CallContext): Promise<void> {
    const at = steps.findIndex(({ operation }) => operation.kind !== "check");
    const step = steps[at];
    if (step === undefined) {
      // They change nothing, so that what they found may be confirmed behind them.
      await this.#transact(steps, call, false);
      return this.#table.assertStill(this.#storeId, call.signal);
    }
    const { key, condition } = step.operation;
    const found = await this.#item(key, call);
    if (found === undefined) await this.#hold(key, call);
    // {absent}, the only condition that needs no item, has failed where there is a value; one before it may have, too.
    const held = condition !== undefined && metaItem(key, found) !== undefined ? "value" : "place";
    try {
      await this.#transact(steps.with(at, { ...step, held }), call, false);
    } catch (error) {
      if (found === undefined && !hasReason(error, "BACKEND_DOWN")) await this.#release(key, call);
      throw error;
    }
  }

  async #hold(key: string, call: CallContext): Promise<void> {
    const Put = {
      TableName: this.#table.name,
      Item: keyOf(this.#storeId, key),
      ConditionExpression: "attribute_not_exists(p)",
    };
    await this.#send([{ Put }, this.#marker()], call, (index) =>
      index === 0 ? new Overtaken(`${key} was made while a Write was at work on it`) : this.#table.replaced(),
    );
  }

  /** Nobody sees it; it is only room. */
  async #release(key: string, call: CallContext): Promise<void> {
    try {
      await this.#requests.read(call.signal, (client, options) =>
        client.send(
          new DeleteItemCommand({
            TableName: this.#table.name,
            Key: keyOf(this.#storeId, key),
            ConditionExpression: "attribute_not_exists(e)",
          }),
          options,
        ),
      );
    } catch (error) {
      call.log.debug({ err: error }, "the place that was held for a Write stays held");
    }
  }

  /** @param unmet what it means that the condition of this action, the first of those, did not hold */
  #send(TransactItems: TransactWriteItem[], call: CallContext, unmet: (index: number) => Error): Promise<void> {
    // The same for each time that it is sent: the request must be the same too.
    const input = { TransactItems, ClientRequestToken: randomUUID() };
    const meaning = ({ error, unmet: [first] }: Failure) => (first === undefined ? error : unmet(first));
    return this.#requests.transact(
      call,
      (client, options) => {
        const command = new TransactWriteItemsCommand(input);
        // The last step before the wire: credentials may have been waited for.
        command.middlewareStack.add(
          (next) => (args) => {
            call.assertInTime();
            return next(args);
          },
          { step: "finalizeRequest", priority: "low", name: "notAfter" },
        );
        return client.send(command, options);
      },
      meaning,
    );
  }

  async #item(key: string, call: CallContext) {
    const { Item } = await this.#requests.read(call.signal, (client, options) =>
      client.send(
        new GetItemCommand({ TableName: this.#table.name, Key: keyOf(this.#storeId, key), ConsistentRead: true }),
        options,
      ),
    );
    return Item;
  }

  #marker(): TransactWriteItem {
    return {
      ConditionCheck: {
        TableName: this.#table.name,
        Key: markerKey(anyMarker()),
        ConditionExpression: "id = :id",
        ExpressionAttributeValues: { ":id": { S: this.#storeId } },
      },
    };
  }

  #action(step: Step): TransactWriteItem {
    const { operation } = step;
    const TableName = this.#table.name;
    const Key = keyOf(this.#storeId, operation.key);
    const guard = guardOf(step);
    switch (operation.kind) {
      case "put":
        return { Put: { TableName, Item: { ...Key, v: { B: operation.value }, e: { S: step.etag } }, ...guard } };
      case "delete":
        return { Delete: { TableName, Key, ...guard } };
      case "check":
        return { ConditionCheck: { TableName, Key, ConditionExpression: "attribute_exists(e)", ...guard } };
    }
  }
}

/** Whether the Write can only happen where an item of this store is: under its id, nobody else makes one. */
function provesStore({ condition }: MetaOperation): boolean {
  return condition !== undefined && !("ifAbsent" in condition);
}

function guardOf({ operation: { condition }, seen, held }: Step) {
  // It has failed already; which is the first that does, only the transaction tells.
  if (seen === "") return { ConditionExpression: "attribute_exists(e) AND attribute_not_exists(e)" };
  const etag = seen ?? (condition !== undefined && "ifEtag" in condition ? condition.ifEtag : undefined);
  const terms = [
    ...(etag === undefined ? termsOf(condition) : ["e = :e"]),
    ...(held === undefined ? [] : ["attribute_exists(p)"]),
  ];
  return {
    ...(terms.length === 0 ? {} : { ConditionExpression: terms.join(" AND ") }),
    ...(etag === undefined ? {} : { ExpressionAttributeValues: { ":e": { S: etag } } }),
  };
}

function termsOf(condition: MetaCondition | undefined): string[] {
  if (condition === undefined) return [];
  return ["ifAbsent" in condition ? "attribute_not_exists(e)" : "attribute_exists(e)"];
}

function conditionFailed(index: number, key: string): OutriggerError {
  return new OutriggerError("CONDITION_FAILED", `the condition of operation ${index} on ${key} does not hold`, {
    metadata: { index: String(index) },
  });
}
