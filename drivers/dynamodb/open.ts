/** Opens a table: looks what it is, reads its store's id, and only then serves. */
import { DynamoDBClient, type TableDescription } from "@aws-sdk/client-dynamodb";
import { invalidField } from "../../proto/keys.ts";
import { limits } from "../../proto/limits.ts";
import type { Driver, OpenContext, StoreFacts } from "../../server/contract.ts";
import { release } from "../../server/release.ts";
import { MetaStore } from "./meta-store.ts";
import type { DynamodbOptions } from "./options.ts";
import { Requests } from "./requests.ts";
import { Table } from "./table.ts";

const CONNECT_MS = 1_000;
/** What the host lets be under way on one connection. */
const SOCKETS = 256;
const MIN_REQUEST_MS = 100;
const MAX_REQUEST_MS = 10_000;

interface Opened {
  readonly client: DynamoDBClient;
  readonly requests: Requests;
  readonly table: Table;
}

/** @throws NOT_INITIALISED, or another error whose message is one sentence that says what to change */
export async function openDynamodbDriver(options: DynamodbOptions, { signal }: OpenContext): Promise<Driver> {
  const { client, requests, table } = await connect(options);
  try {
    const description = await table.usable(signal);
    const facts: StoreFacts = {
      id: await table.storeId(signal),
      capabilities: ["DURABLE", "REPLICAS"],
      limits: { maxValueBytes: limits.valueBytes },
      outside: 0,
    };
    return {
      name: "io.outrigger.dynamodb",
      version: release(),
      notices: noticesOf(description),
      meta: new MetaStore(facts, table, requests),
      async close() {
        client.destroy();
      },
    };
  } catch (error) {
    client.destroy();
    throw error;
  }
}

/** Makes the table where it is absent, and gives it a store id where it has none. */
export async function initDynamodb(options: DynamodbOptions, { signal, log }: OpenContext): Promise<void> {
  const { client, table } = await connect(options);
  try {
    if ((await table.describe(signal)) === undefined) {
      log.info({ table: table.name }, "making the table");
      await table.make(signal);
    }
    await table.usable(signal);
    await table.mark(signal);
  } finally {
    client.destroy();
  }
}

async function connect(options: DynamodbOptions): Promise<Opened> {
  const { table: name, region, endpoint = "", requestTimeout: timeoutMs } = options;
  if (!/^[A-Za-z0-9_.-]{3,255}$/.test(name)) throw invalidField("table", "must be 3 to 255 of A-Z a-z 0-9 _ . -");
  if (endpoint !== "" && !/^https?:\/\/[^/\s]+\/?$/.test(endpoint)) {
    throw invalidField("endpoint", "must be http(s)://host:port");
  }
  if (timeoutMs < MIN_REQUEST_MS || timeoutMs > MAX_REQUEST_MS) {
    throw invalidField("requestTimeout", "must be 100ms to 10s");
  }
  // The SDK's release is this package's to choose, and its advice about node is no line of a log.
  process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
  const client = new DynamoDBClient({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === "" ? {} : { endpoint }),
    // Once: repeated here, where a call's time is known.
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      httpAgent: { maxSockets: SOCKETS, keepAlive: true },
      httpsAgent: { maxSockets: SOCKETS, keepAlive: true },
    },
  });
  // Told by the first request, in a sentence.
  const found = await client.config.region().catch(() => "");
  const requests = new Requests(client, { table: name, region: found, endpoint }, timeoutMs);
  return { client, requests, table: new Table(name, requests) };
}

function noticesOf({ TableName, Replicas = [], DeletionProtectionEnabled }: TableDescription): string[] {
  return [
    ...(Replicas.length > 0
      ? [
          `table ${TableName} is a global table: transactions hold within one region, so drivers of one region only may write`,
        ]
      : []),
    ...(DeletionProtectionEnabled === false
      ? [`table ${TableName} is not protected against deletion: set DeletionProtectionEnabled`]
      : []),
  ];
}
