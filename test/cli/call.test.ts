/** `outrigger call`: any call by hand, against a real driver. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { type Ended, onlyLine, outrigger } from "./cli.ts";

describe("outrigger call", () => {
  const scope = new Scope();
  let address = "";
  let folder = "";

  before(async () => {
    folder = tempFolder(scope, "call");
    ({ address } = await startDriver(scope, { driver: "memory" }));
  });
  after(scope.close);

  const call = (...args: string[]): Promise<Ended> => outrigger(["call", address, ...args]);

  /** The JSON of a call that must work. */
  async function answer(...args: string[]) {
    const ended = await call(...args);
    assert.equal(ended.code, 0, ended.stderr);
    return JSON.parse(ended.stdout);
  }

  async function lines(...args: string[]) {
    const ended = await call(...args);
    assert.equal(ended.code, 0, ended.stderr);
    return ended.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  }

  it("reads and writes values, with the store's id by itself", async () => {
    const written = await answer(
      "meta.Write",
      '{"operations":[{"key":"k","put":{"text":"hello"},"if_absent":{}},{"key":"l","put":"aGk="}]}',
    );
    assert.deepEqual(
      written.results.map(({ key }: { key: string }) => key),
      ["k", "l"],
    );
    const read = await answer("MetaService.Get", '{"keys":["k","none"]}', "--text");
    assert.deepEqual(read, {
      results: [
        { key: "k", item: { key: "k", value: { text: "hello" }, etag: written.results[0].etag } },
        { key: "none" },
      ],
      unread: [],
    });
    const plain = await answer("/outrigger.meta.v1.MetaService/Get", '{"keys":["l"]}');
    assert.equal(plain.results[0].item.value, "aGk=");
  });

  it("puts, appends and reads bytes from and to files", async () => {
    const bytes = randomBytes(600_000);
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    writeFileSync(from, bytes);
    const [opened, ...rest] = await lines(
      ...["append", "--data-file", from],
      '{"open":{"uploadId":"u1","sender":"me","attempt":"1","create":true,"algorithm":"sha256"}}',
      '{"flush":{}}',
      '{"commit":{"key":"a/b","size":600000}}',
    );
    assert.equal(opened.opened.persisted, "0");
    assert.equal(rest.at(-1).committed.info.size, "600000");
    const read = await call("Read", '{"key":"a/b","offset":1}', "--out-file", to);
    assert.equal(read.code, 0, read.stderr);
    assert.deepEqual(readFileSync(to), bytes.subarray(1));
    assert.match(read.stdout, /"data":"\(262144 bytes in /);

    await answer("Put", '{"key":"small"}', "--data-file", from).then(({ info }) => assert.equal(info.size, "600000"));
  });

  it("leaves no file behind for a call that failed", async () => {
    const read = await call("Read", '{"key":"nope"}', "--out-file", join(folder, "never"));
    assert.equal(read.code, 1);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith("never")),
      [],
    );
  });

  it("shows an error with code, reason and metadata in one block", async () => {
    const { code, stdout, stderr } = await call(
      "Append",
      '{"open":{"uploadId":"u2","create":true,"algorithm":"sha256","attempt":1,"sender":"s"}}',
      '{"chunk":{"offset":7,"data":"aGk="}}',
    );
    assert.equal(code, 1);
    assert.match(stdout, /^\{"opened":/);
    assert.match(stderr, /^BlobService\.Append failed: OUT_OF_RANGE \(11\) \/ OFFSET_MISMATCH\n/);
    assert.match(stderr, /\n {2}message +offset 7/);
    assert.match(stderr, /\n {2} {2}persisted +0\n/);
    assert.match(stderr, /\n {2}again +reopen and go on\n/);
  });

  it("sends the metadata it is told to", async () => {
    const other = await call("Stat", '{"keys":["a"]}', "--store", "6f9619ff-8b86-4d11-b42d-00cf4fc964ff");
    assert.match(other.stderr, /FAILED_PRECONDITION \(9\) \/ WRONG_STORE/);
    const odd = await call("Put", '{"key":"odd"}', "--no-not-after", "--header", "outrigger-not-after=soon");
    assert.match(odd.stderr, /INVALID_ARGUMENT \(3\) \/ INVALID_FIELD/);
    const loud = await call("Version", "--verbose");
    assert.match(loud.stderr, /outrigger-contract {2,}\S.*trailers:/s);
  });

  it("ends with 2 and one line for a wrong command line", async () => {
    for (const [args, said] of [
      [["Put", '{"kei":"x"}'], /PutRequest has no field "kei": did you mean key\?/],
      [["Stat", "{}", "{}"], /takes one request, not 2/],
      [["Stat", "--data-file", "x"], /--data-file is for Put and Append/],
    ] as const) {
      const ended = await call(...args);
      assert.equal(ended.code, 2, ended.stderr);
      assert.match(onlyLine(ended), said);
    }
  });

  it("says that nobody listens", async () => {
    const ended = await outrigger(["call", "unix:///nowhere/d.sock", "Version"]);
    assert.match(onlyLine(ended), /nobody listens at unix:\/\/\/nowhere\/d\.sock/);
  });
});
