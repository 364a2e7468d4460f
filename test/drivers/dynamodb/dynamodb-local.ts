/** DynamoDB Local, Amazon's own server for tests, as a process; and what a test asks of it behind the driver's back. */
import { join } from "node:path";
import { listening } from "../../helpers/outrigger.ts";
import { launch, type Running, type Scope } from "../../helpers/processes.ts";
import { freePort, tempFolder } from "../../helpers/temp.ts";
import { tool } from "../../helpers/tools.ts";

export interface DynamodbLocal {
  /** host:port */
  readonly address: string;
  readonly process: Running;
  /** kill -9, and a new process on the same folder and port. */
  restart(): Promise<void>;
}

/** What the driver needs from its environment: DynamoDB Local takes any, and keeps tables apart by key id and region. */
export const credentials = {
  AWS_ACCESS_KEY_ID: "outrigger",
  AWS_SECRET_ACCESS_KEY: "only-for-this-test",
  AWS_REGION: "eu-central-1",
  // No other places are looked at.
  AWS_CONFIG_FILE: "/nonexistent",
  AWS_SHARED_CREDENTIALS_FILE: "/nonexistent",
  AWS_EC2_METADATA_DISABLED: "true",
} as const;

/** @param lasting in a folder instead of memory */
export async function startDynamodbLocal(scope: Scope, { lasting = false } = {}): Promise<DynamodbLocal> {
  const jars = tool("dynamodb-local");
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const where = lasting ? ["-dbPath", tempFolder(scope, "ddb")] : ["-inMemory"];
  const run = async () => {
    const running = scope.add(
      launch("dynamodb-local", "java", [
        ...[`-Djava.library.path=${jars}`, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", join(jars, "*")],
        "com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
        ...[...where, "-port", `${port}`, "-disableTelemetry"],
      ]),
    );
    await listening(running, address, 60_000);
    return running;
  };
  let current = await run();
  return {
    address,
    get process() {
      return current;
    },
    async restart() {
      await current.kill();
      current = await run();
    },
  };
}

/** One request as nobody's driver sends it; signatures are not checked here. @throws Error with the answer's own words */
export async function ask(address: string, operation: string, input: object): Promise<Record<string, unknown>> {
  const { AWS_ACCESS_KEY_ID: id, AWS_REGION: region } = credentials;
  const reply = await fetch(`http://${address}/`, {
    method: "POST",
    headers: {
      "content-type": "application/x-amz-json-1.0",
      "x-amz-target": `DynamoDB_20120810.${operation}`,
      authorization: `AWS4-HMAC-SHA256 Credential=${id}/20260101/${region}/dynamodb/aws4_request, SignedHeaders=host, Signature=x`,
    },
    body: JSON.stringify(input),
  });
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${operation}: ${reply.status} ${text}`);
  return JSON.parse(text) as Record<string, unknown>;
}

/** By another program, with another key. */
export async function makeTable(address: string, table: string, hash = "p", more: object = {}): Promise<void> {
  await ask(address, "CreateTable", {
    TableName: table,
    BillingMode: "PAY_PER_REQUEST",
    KeySchema: [
      { AttributeName: hash, KeyType: "HASH" },
      { AttributeName: "k", KeyType: "RANGE" },
    ],
    AttributeDefinitions: [
      { AttributeName: hash, AttributeType: "S" },
      { AttributeName: "k", AttributeType: "S" },
    ],
    ...more,
  });
}

export async function deleteTable(address: string, table: string): Promise<void> {
  await ask(address, "UpdateTable", { TableName: table, DeletionProtectionEnabled: false });
  await ask(address, "DeleteTable", { TableName: table });
}

export async function itemsOf(address: string, table: string): Promise<{ readonly p: string; readonly k: string }[]> {
  const { Items } = await ask(address, "Scan", { TableName: table, ConsistentRead: true });
  return (Items as { p: { S: string }; k: { S: string } }[])
    .map(({ p, k }) => ({ p: p.S, k: k.S }))
    .filter(({ p }) => p !== "outrigger");
}
