/** Which requests calls, pushes and pulls make: docs/reference/drivers/dynamodb.md tells the same. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { HttpFaults } from "../../helpers/http-faults.ts";
import { image, seededContent } from "../../helpers/oci.ts";
import { initialiseRoot, type RegistryProcess, startDriver, startRegistry } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { missing } from "../../helpers/tools.ts";
import { call, context, initialise, newStore, newTable, put, startDynamodb, useCredentials } from "./dynamodb.ts";
import { startDynamodbLocal } from "./dynamodb-local.ts";

type Counts = Readonly<Record<string, number>>;

describe("what the dynamodb driver asks of DynamoDB", { skip: missing("dynamodb-local", "dynamodb-sdk") }, () => {
  const scope = new Scope();
  let faults: HttpFaults;
  before(async () => {
    useCredentials();
    const local = await startDynamodbLocal(scope);
    faults = await HttpFaults.start(scope, local.address);
  });
  after(scope.close);

  async function asked(work: () => Promise<unknown>): Promise<Counts> {
    const before = faults.seen.length;
    await work();
    const counts: Record<string, number> = {};
    for (const { headers } of faults.seen.slice(before)) {
      const operation = String(headers["x-amz-target"]).split(".")[1] ?? "";
      counts[operation] = (counts[operation] ?? 0) + 1;
    }
    return counts;
  }

  it("never with a key that is longer than DynamoDB's own", async () => {
    const { meta } = await newStore(scope, faults.address);
    await meta.write([put(`${"a".repeat(1023)}b`)], call());
    const sizes: unknown[] = [];
    for (const length of [1024, 1500, 4000]) {
      const { items } = await meta.list({ prefix: "", startAfter: "a".repeat(length), limit: 10 }, call());
      assert.equal(items.length, 1);
      sizes.push(faults.seen.at(-1)?.headers["content-length"]);
    }
    assert.ok(Number(sizes[0]) > 1024);
    assert.equal(new Set(sizes).size, 1, `requests of ${sizes} bytes`);
  });

  it("for each call", async () => {
    const { meta } = await newStore(scope, faults.address);
    const [etag = ""] = await meta.write([put("a"), put("b")], call());
    const many = Array.from({ length: 100 }, (_, number) => put(`n/${number}`));
    const costs: readonly (readonly [() => Promise<unknown>, Counts])[] = [
      [() => meta.get(["a"], call()), { GetItem: 1 }],
      [() => meta.get(["absent"], call()), { GetItem: 2 }],
      [() => meta.get(["a", "b", "absent"], call()), { TransactGetItems: 1 }],
      [() => meta.get(["c", "absent"], call()), { TransactGetItems: 1, GetItem: 1 }],
      [() => meta.list({ prefix: "", startAfter: "", limit: 1000 }, call()), { Query: 1 }],
      [() => meta.list({ prefix: "c/", startAfter: "", limit: 1000 }, call()), { Query: 1, GetItem: 1 }],
      [async () => meta.count?.("", call()), { Query: 1 }],
      [() => meta.write([put("c"), put("d")], call()), { TransactWriteItems: 1 }],
      [() => meta.write([{ ...put("a"), condition: { ifEtag: etag } }], call()), { TransactWriteItems: 1 }],
      [
        () => meta.write([{ kind: "check", key: "a", condition: { ifPresent: true } }, put("c")], call()),
        { GetItem: 1, TransactWriteItems: 1 },
      ],
      [() => meta.write(many, call()), { GetItem: 1, TransactWriteItems: 2 }],
      [() => meta.check(context.signal), { GetItem: 1 }],
    ];
    for (const [work, told] of costs) assert.deepEqual(await asked(work), told, String(work));
  });

  it("for a push and a pull", async (t) => {
    const options = { table: newTable(), endpoint: `http://${faults.address}` };
    await initialise(options);
    const meta = await startDynamodb(scope, options);
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    const blobs = await startDriver(scope, { root });
    const registry: RegistryProcess = await startRegistry(scope, { blobs: blobs.address, meta: meta.address });
    const { client } = registry;
    /** Costs only fall: what the page tells is the most. */
    const within = async (what: string, told: Counts, work: () => Promise<unknown>) => {
      const counts = await asked(work);
      t.diagnostic(`${what}: ${JSON.stringify(counts)}`);
      const more = Object.entries(counts).filter(([operation, count]) => count > (told[operation] ?? 0));
      assert.deepEqual(more, [], `${what}: ${JSON.stringify(counts)} were made`);
    };
    const pushed = image({ seed: "dynamodb/costs", layerBytes: [10, 20, 30] });
    await client.pushImage("costs/first", image({ seed: "dynamodb/before", layerBytes: [10] }), "v1");
    // A health look may come between.
    await within("layer", { TransactGetItems: 1, GetItem: 1, TransactWriteItems: 1 }, () =>
      client.pushBlob("costs/first", seededContent("dynamodb/layer", 1000)),
    );
    for (const blob of pushed.blobs) await client.pushBlob("costs/first", blob);
    await within("manifest", { TransactGetItems: 1, GetItem: 1, TransactWriteItems: 1 }, () =>
      client.putManifest("costs/first", "v2", pushed.manifest),
    );
    await within("pull of a manifest", { TransactGetItems: 1, GetItem: 1 }, () =>
      client.getManifest("costs/first", "v2"),
    );
    await within("tags", { Query: 1, GetItem: 1 }, () => client.tags("costs/first"));
  });
});
