/** The table: made, looked at before anything is served, and known again while it is. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  CreateTableCommand,
  DescribeTableCommand,
  GetItemCommand,
  ScanCommand,
  type TableDescription,
  TransactWriteItemsCommand,
} from "@aws-sdk/client-dynamodb";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { anyMarker, LAYOUT, MARKER_PARTITION, MARKERS, markerKey } from "./items.ts";
import type { Requests } from "./requests.ts";

const POLL_MS = 500;
const MADE_WITHIN_MS = 120_000;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export class Table {
  readonly name: string;
  readonly #requests: Requests;

  constructor(name: string, requests: Requests) {
    this.name = name;
    this.#requests = requests;
  }

  /** @returns undefined where there is none */
  async describe(signal: AbortSignal): Promise<TableDescription | undefined> {
    try {
      const { Table } = await this.#requests.read(signal, (client, options) =>
        client.send(new DescribeTableCommand({ TableName: this.name }), options),
      );
      return Table;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  /** With on-demand billing, and protected against deletion. Another process may be at it too. */
  async make(signal: AbortSignal): Promise<void> {
    try {
      await this.#requests.read(signal, (client, options) =>
        client.send(
          new CreateTableCommand({
            TableName: this.name,
            BillingMode: "PAY_PER_REQUEST",
            DeletionProtectionEnabled: true,
            KeySchema: [
              { AttributeName: "p", KeyType: "HASH" },
              { AttributeName: "k", KeyType: "RANGE" },
            ],
            AttributeDefinitions: [
              { AttributeName: "p", AttributeType: "S" },
              { AttributeName: "k", AttributeType: "S" },
            ],
          }),
          options,
        ),
      );
    } catch (error) {
      if (!(error instanceof OutriggerError && isNamed(error.cause, "ResourceInUseException"))) throw error;
    }
  }

  /** Waits while it is being made. @throws BACKEND_DOWN where it is, or becomes, nothing that can be used */
  async usable(signal: AbortSignal): Promise<TableDescription> {
    const startedMs = performance.now();
    for (;;) {
      const table = await this.describe(signal);
      if (table === undefined) throw this.#absent();
      if (table.TableStatus === "ACTIVE" || table.TableStatus === "UPDATING") {
        this.#assertOwnSchema(table);
        return table;
      }
      if (table.TableStatus !== "CREATING" || performance.now() - startedMs > MADE_WITHIN_MS) {
        throw new OutriggerError(
          "BACKEND_DOWN",
          `table ${this.name} is ${table.TableStatus}: name another one with --table, or bring it back`,
        );
      }
      await sleep(POLL_MS, undefined, { signal });
    }
  }

  /** @throws NOT_INITIALISED, with what to do about it */
  async storeId(signal: AbortSignal): Promise<string> {
    const id = await this.#markedId(signal);
    if (id !== undefined) return id;
    const data = await this.#anyPartition(signal);
    throw new OutriggerError(
      "NOT_INITIALISED",
      data === undefined
        ? `table ${this.name} is empty: if it is the right one, run the driver once with --init`
        : `table ${this.name} holds items (of partition ${JSON.stringify(data)}) and not the one that names its store: restore it, or run the driver once with --init to begin from what there is`,
    );
  }

  /** Gives the table its store's id where it has none: that of the items there are, else a new one. @throws NOT_INITIALISED */
  async mark(signal: AbortSignal): Promise<void> {
    if ((await this.#markedId(signal)) !== undefined) return;
    const data = await this.#anyPartition(signal);
    if (data !== undefined && !UUID.test(data)) {
      throw new OutriggerError(
        "NOT_INITIALISED",
        `table ${this.name} holds other things (partition ${JSON.stringify(data)}): name an empty table with --table, or one that is absent`,
      );
    }
    const id = data ?? randomUUID();
    try {
      await this.#requests.read(signal, (client, options) =>
        client.send(
          new TransactWriteItemsCommand({
            TransactItems: Array.from({ length: MARKERS }, (_, number) => ({
              Put: {
                TableName: this.name,
                Item: { ...markerKey(number), id: { S: id }, format: { S: LAYOUT } },
                ConditionExpression: "attribute_not_exists(p) OR id = :id",
                ExpressionAttributeValues: { ":id": { S: id } },
              },
            })),
          }),
          options,
        ),
      );
    } catch (error) {
      // Another --init was first.
      if (!hasReason(error, "CONDITION_FAILED")) throw error;
    }
  }

  /** Whether the table is that of `storeId` now, and so was when anything earlier was asked of it. @throws WRONG_STORE */
  async assertStill(storeId: string, signal: AbortSignal): Promise<void> {
    if ((await this.#markedId(signal)) !== storeId) throw this.replaced();
  }

  replaced(): OutriggerError {
    return new OutriggerError(
      "WRONG_STORE",
      `table ${this.name} is not the one that this driver opened: it was deleted and made anew, or emptied; restore it, or start the driver anew on what it is now`,
    );
  }

  #absent(): OutriggerError {
    return new OutriggerError(
      "NOT_INITIALISED",
      `there is no table ${this.name} in ${this.#requests.asked.region || "any region"}: name it with --table, its region with --region (or AWS_REGION), or make it with --init`,
    );
  }

  async #markedId(signal: AbortSignal): Promise<string | undefined> {
    const { Item } = await this.#requests.read(signal, (client, options) =>
      client.send(
        new GetItemCommand({ TableName: this.name, Key: markerKey(anyMarker()), ConsistentRead: true }),
        options,
      ),
    );
    if (Item === undefined) return undefined;
    if (Item["format"]?.S !== LAYOUT) {
      throw new OutriggerError(
        "STORED_CORRUPT",
        `table ${this.name} has layout ${Item["format"]?.S}, and this release knows only ${LAYOUT}: start the release that wrote it`,
      );
    }
    return Item["id"]?.S;
  }

  async #anyPartition(signal: AbortSignal): Promise<string | undefined> {
    const { Items = [] } = await this.#requests.read(signal, (client, options) =>
      client.send(new ScanCommand({ TableName: this.name, ConsistentRead: true, Limit: MARKERS + 1 }), options),
    );
    return Items.map(({ p }) => p?.S ?? "").find((partition) => partition !== MARKER_PARTITION);
  }

  #assertOwnSchema(table: TableDescription): void {
    const types = new Map(
      table.AttributeDefinitions?.map(({ AttributeName, AttributeType }) => [AttributeName, AttributeType]),
    );
    const schema = (table.KeySchema ?? [])
      .map(({ AttributeName, KeyType }) => `${AttributeName} ${KeyType} ${types.get(AttributeName)}`)
      .join(", ");
    if (schema !== "p HASH S, k RANGE S") {
      throw new OutriggerError(
        "STORED_CORRUPT",
        `table ${this.name} is another program's: its key is ${schema}, not p HASH S, k RANGE S; name another one with --table, which --init makes`,
      );
    }
    if ((table.LocalSecondaryIndexes ?? []).length > 0) {
      throw new OutriggerError(
        "STORED_CORRUPT",
        `table ${this.name} has a local secondary index, which bounds a store to 10 GB and one partition: make one without`,
      );
    }
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof OutriggerError && isNamed(error.cause, "ResourceNotFoundException");
}

function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && error.name === name;
}
