/** The Azure store on Azurite: what server/objects relies on, by each of the ways that a copy and a listing can go. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Client } from "../../../drivers/azure/client.ts";
import type { ObjectStore, RequestHow } from "../../../server/objects/contract.ts";
import { type HttpAnswer, HttpFaults } from "../../helpers/http-faults.ts";
import { bytes, objectStoreSuite } from "../../helpers/object-store-suite.ts";
import { Scope } from "../../helpers/processes.ts";
import { missing } from "../../helpers/tools.ts";
import { type Azurite, account, clientOf, log, newContainer, startAzurite, storeOf } from "./azurite.ts";

const skip = missing("azurite", "azure-sdk");
const KIB = 1024;
const signal = () => AbortSignal.timeout(60_000);
const how = (): RequestHow => ({ signal: signal(), assertInTime() {} });

objectStoreSuite(
  "azure",
  async (scope) => {
    const azurite = await startAzurite(scope);
    const { containerName } = await newContainer(azurite);
    return {
      store: await storeOf(azurite.endpoint, containerName),
      other: await storeOf(azurite.endpoint, containerName),
    };
  },
  { skip },
);

/** As an older service is: it does not know where a listing shall begin, and says nothing of that. */
function withoutStart(client: Client): Client {
  const container = new Proxy(client.container, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (name !== "listBlobsFlat") return typeof member === "function" ? member.bind(target) : member;
      return (options: Parameters<typeof target.listBlobsFlat>[0]) => {
        const { startFrom: _, ...rest } = options ?? {};
        return target.listBlobsFlat(rest);
      };
    },
  });
  return { ...client, container };
}

async function oldStore(endpoint: string, container: string): Promise<ObjectStore> {
  const { createAzureStore } = await import("../../../drivers/azure/store.ts");
  return createAzureStore(withoutStart(await clientOf(endpoint, container)), {
    requestTimeoutMs: 30_000,
    log,
    bytesFolder: "!outrigger/bytes/",
    copySizes: { atOnceMostBytes: 64 * KIB, blockBytes: 64 * KIB },
  });
}

objectStoreSuite(
  "azure, where listings begin at the beginning and copies are of blocks",
  async (scope) => {
    const azurite = await startAzurite(scope);
    const { containerName } = await newContainer(azurite);
    return {
      store: await oldStore(azurite.endpoint, containerName),
      other: await oldStore(azurite.endpoint, containerName),
    };
  },
  { skip, names: 60 },
);

describe("an Azure container", { skip }, () => {
  const scope = new Scope();
  let azurite: Azurite;
  let container: Client["container"];
  let store: ObjectStore;
  before(async () => {
    azurite = await startAzurite(scope);
    container = await newContainer(azurite);
    store = await storeOf(azurite.endpoint, container.containerName);
  });
  after(scope.close);

  it("has each block once, however often it was sent, and no block of another upload (D#4571, D#4887)", async () => {
    const name = "!blocks/data";
    const [one, two] = [await store.parts.begin(name, how()), await store.parts.begin(name, how())];
    assert.notEqual(one, two);
    for (const ref of [one, two, one]) {
      for (const number of [2, 1]) await store.parts.put(name, ref, number, [bytes(1000, number)], how());
    }
    await store.parts.put(name, two, 3, [bytes(1000, 3)], how());
    const parts = await store.parts.list(name, one, signal());
    assert.deepEqual(
      parts.map(({ number, sizeBytes }) => [number, sizeBytes]),
      [
        [1, 1000],
        [2, 1000],
      ],
    );
    assert.equal((await store.parts.complete(name, one, parts, {}, how())).sizeBytes, 2000);
    const told = await container.getBlockBlobClient(name).getBlockList("all");
    assert.deepEqual([told.committedBlocks?.length, told.uncommittedBlocks?.length ?? 0], [2, 0]);
  });

  it("gives empty blobs, and blobs of an empty block list (D#3018, D#4586)", async () => {
    await store.put("empty/put", Buffer.alloc(0), {}, how());
    const ref = await store.parts.begin("!empty/parts", how());
    await store.parts.complete("!empty/parts", ref, [], {}, how());
    for (const name of ["empty/put", "!empty/parts"]) {
      const read = await store.read(name, { offsetBytes: 0 }, signal());
      assert.deepEqual([read.lengthBytes, read.facts.sizeBytes], [0, 0], name);
      for await (const piece of read.body) assert.equal(piece.length, 0);
    }
  });

  it("keeps no blocks under a key before that key's blob is whole", async () => {
    const small = await storeOf(azurite.endpoint, container.containerName, {
      copySizes: { atOnceMostBytes: 1, blockBytes: 1000 },
    });
    const source = await small.put("!large/source", bytes(10_500, 1), {}, how());
    const copied = await small.copy(source, "large/key", { condition: { ifAbsent: true }, digest: "sha256:00" }, how());
    assert.deepEqual(await small.head("large/key", signal()), copied);
    assert.deepEqual(copied.digests, ["sha256:00"]);
    const told = await container.getBlockBlobClient("large/key").getBlockList("all");
    assert.deepEqual([told.committedBlocks?.length, told.uncommittedBlocks?.length ?? 0], [11, 0]);
  });

  it("serves what append blobs hold, as distribution's driver leaves them, and replaces them by a put", async () => {
    const blob = container.getAppendBlobClient("appended");
    await blob.create();
    await blob.appendBlock(bytes(1000, 1), 1000);
    const head = await store.head("appended", signal());
    assert.equal(head?.sizeBytes, 1000);
    const copy = await store.copy(head, "appended-copy", { condition: { ifAbsent: true } }, how());
    assert.equal(copy.sizeBytes, 1000);
    const put = await store.put("appended", bytes(10, 2), { condition: { ifEtag: head.etag } }, how());
    assert.deepEqual(await store.head("appended", signal()), put);
  });

  it("has no blob where somebody's copy is under way or failed", async () => {
    // Azurite ends every copy at once: what a slower service tells is put into its answers.
    const proxy = await HttpFaults.start(scope, azurite.address);
    const { name } = await store.put("copied/by/others", bytes(10, 1), {}, how());
    const told = await storeOf(`http://${proxy.address}/${account}`, container.containerName);
    for (const status of ["pending", "failed", "aborted"]) {
      const rewrite = (answer: Required<HttpAnswer> & { readonly body: Buffer }): HttpAnswer => ({
        ...answer,
        headers: { ...answer.headers, "x-ms-copy-status": status },
        body: answer.body
          .toString("latin1")
          .replace("</Properties>", `<CopyStatus>${status}</CopyStatus></Properties>`),
      });
      proxy.clear();
      for (const method of ["HEAD", "GET"]) proxy.add({ method }, { rewrite });
      assert.equal(await told.head(name, signal()), undefined);
      assert.deepEqual((await told.list({ prefix: name, startAfter: "", limit: 5 }, signal())).items, []);
      await assert.rejects(told.read(name, { offsetBytes: 0 }, signal()), { reason: "KEY_NOT_FOUND" });
      const put = told.put(name, bytes(20, 2), { condition: { ifAbsent: true } }, how());
      if (status === "pending") await assert.rejects(put, { reason: "KEY_EXISTS" });
      else assert.equal((await put).sizeBytes, 20);
    }
    assert.equal((await store.head(name, signal()))?.sizeBytes, 20);
  });
});
