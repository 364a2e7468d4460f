/** `outrigger index rebuild` and `outrigger index verify` over a store that has lost derived keys. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { startProgress } from "../../cli/progress.ts";
import { connect } from "../../client/index.ts";
import { blobKey } from "../../registry/repository/keys.ts";
import { image } from "../helpers/oci.ts";
import { startDriver, startRegistry } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { freePort } from "../helpers/temp.ts";
import { onlyLine, outrigger } from "./cli.ts";

test("verify finds what is missing, rebuild puts it right", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { address } = await startDriver(scope, { driver: "memory" });
  const { client } = await startRegistry(scope, { blobs: address });
  await client.pushImage("team/app", image({ seed: "index", layerBytes: [1000, 2000] }), "v1", "v2");
  const right = await outrigger(["index", "verify", "--blobs", address]);
  assert.equal(right.code, 0, right.stderr);
  assert.match(right.stdout, /^links read +[1-9]\d*\n(?:.*\n)*the index is right\n$/);

  const stores = connect({ blobs: { address } }, { log: pino({ level: "silent" }) });
  await stores.ready();
  const { items } = await stores.meta.list({ prefix: "outrigger/tags/" });
  assert.equal(items.length, 2);
  await stores.meta.write(items.map(({ key }) => ({ kind: "delete" as const, key })));
  await stores.close();
  assert.deepEqual(await client.tags("team/app"), []);

  const wrong = await outrigger(["index", "verify", "--blobs", address, "--json"]);
  assert.equal(wrong.code, 1);
  assert.equal(JSON.parse(wrong.stdout).missing, 2);
  assert.equal(wrong.stderr, "");
  const rebuilt = await outrigger(["index", "rebuild", "--blobs", address]);
  assert.equal(rebuilt.code, 0, rebuilt.stderr);
  assert.match(rebuilt.stdout, /^missing +2\n(?:.*\n)*rebuilt\n$/m);
  assert.deepEqual(await client.tags("team/app"), ["v1", "v2"]);
  assert.match((await outrigger(["index", "rebuild", "--blobs", address])).stdout, /nothing had to be changed\n$/);
});

test("a layer whose bytes are gone is named, and what rebuild does about it is said", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { address } = await startDriver(scope, { driver: "memory" });
  const { client } = await startRegistry(scope, { blobs: address });
  const pushed = image({ seed: "lost", layerBytes: [1000] });
  await client.pushImage("team/app", pushed, "v1");
  const stores = connect({ blobs: { address } }, { log: pino({ level: "silent" }) });
  await stores.ready();
  const lost = pushed.blobs[0]?.digest ?? "";
  await stores.blobs.delete([blobKey(lost)]);
  await stores.close();

  const hex = lost.slice("sha256:".length);
  const verified = await outrigger(["index", "verify", "--blobs", address]);
  assert.equal(verified.code, 1);
  assert.match(verified.stderr, new RegExp(`team/app/_layers/sha256/${hex}/link: its bytes are absent$`, "m"));
  const rebuilt = await outrigger(["index", "rebuild", "--blobs", address]);
  assert.match(rebuilt.stdout, /^layers without bytes +1\nrebuilt\n$/m);
  assert.match(rebuilt.stderr, new RegExp(`${hex}/link: its bytes were absent: dropped$`, "m"));
});

test("rebuild beside a registry that holds the store alone is refused in one line", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { address } = await startDriver(scope, { driver: "memory" });
  await startRegistry(scope, { blobs: address, cores: "one" });
  const ended = await outrigger(["index", "rebuild", "--blobs", address]);
  assert.equal(ended.code, 1);
  assert.match(onlyLine(ended), /^outrigger: /);
  assert.equal((await outrigger(["index", "verify", "--blobs", address])).code, 0);
});

test("where nobody listens it ends at once with one line", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  for (const kind of ["rebuild", "verify"]) {
    const ended = await outrigger(["index", kind, "--blobs", address]);
    assert.equal(ended.code, 1);
    assert.match(onlyLine(ended), /^outrigger: nobody listens at /);
  }
});

test("progress: one line drawn anew on a terminal, plain lines now and then elsewhere", () => {
  const written: string[] = [];
  const stream = (isTTY: boolean) =>
    ({ isTTY, columns: 20, write: (text: string) => written.push(text) > 0 }) as unknown as NodeJS.WriteStream;
  const terminal = startProgress(stream(true));
  terminal.show("a text that is longer than the terminal");
  terminal.show("too soon");
  terminal.end();
  assert.deepEqual(written.splice(0), ["\ra text that is long\u001b[K", "\r\u001b[K"]);
  const plain = startProgress(stream(false));
  plain.show("not yet: nobody waits for this");
  plain.end();
  assert.deepEqual(written, []);
});
