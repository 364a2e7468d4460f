/** What is typed as a request, and which method is meant. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import fc from "fast-check";
import { durationMs, sizeBytes } from "../../../cli/option-values.ts";
import { chunksOf, parseRequest, requestsFrom } from "../../../cli/rpc/requests.ts";
import { findMethod, methods } from "../../../cli/rpc/schema.ts";
import { details, listing } from "../../../cli/rpc/shape.ts";
import { messageToJson } from "../../../cli/rpc/to-json.ts";
import { Scope } from "../../helpers/processes.ts";
import { newSeed } from "../../helpers/random.ts";
import { tempFolder } from "../../helpers/temp.ts";

const request = (method: string, json: string) => parseRequest(findMethod(method), json, "the request");

describe("a request typed as JSON", () => {
  it("is refused with the field's name and what would be right", () => {
    for (const [method, json, said] of [
      ["Put", '{"kei":"x"}', /PutRequest has no field "kei": did you mean key\?/],
      ["Put", '{"value":"x"}', /PutRequest has no field "value": it has key, data, digest, ifAbsent, ifEtag/],
      ["Put", '{"key":7}', /key is 7: give a text/],
      ["Put", '{"key":"k","data":"%"}', /data is "%": give base64, or/],
      ["Put", '{"key":"k","data":"abcde"}', /data is "abcde": give base64, or/],
      ["Put", '{"key":"k","data":{"hex":"0"}}', /data is "0": give pairs of hex digits/],
      ["Put", '{"key":"k","data":{"txt":"0"}}', /give base64, or \{"text"/],
      ["Put", '{"key":"k","ifAbsent":"yes"}', /ifAbsent is "yes": give true or false/],
      ["Read", '{"key":"k","offset":-1}', /offset is -1: give a whole number from 0 to 18446744073709551615/],
      ["Read", '{"key":"k","offset":1.5}', /offset is 1.5: give a whole number/],
      ["Read", '{"key":"k","offset":"18446744073709551616"}', /give a whole number from 0 to/],
      ["Read", '{"key":"k","offset":9007199254740993}', /write it as a text/],
      ["blob.List", '{"limit":4294967296}', /limit is 4294967296: give a whole number from 0 to 4294967295/],
      ["Stat", '{"keys":"k"}', /keys is "k": give a list of string values/],
      ["Stat", '{"keys":["k",1]}', /keys\[1\] is 1: give a text/],
      ["Stat", "[]", /StatRequest is \[\]: give an object with keys/],
      ["Append", '{"open":{"uploadld":"u"}}', /open has no field "uploadld": did you mean uploadId\?/],
      ["Describe", '{"apis":{"outrigger.blob":{"major":"x"}}}', /apis\["outrigger.blob"\].major is "x"/],
      ["meta.Write", '{"operations":[{"key":"k","put":"","delete":{}}]}', /operations\[0\] has both put and delete/],
      ["Stat", "{", /the request is not JSON/],
    ] as const)
      assert.throws(() => request(method, json), said, json);
  });

  it("takes both spellings of names, both of 64-bit numbers, four of bytes, and null for absent", () => {
    assert.deepEqual(request("Read", '{"key":"k","if_etag":"e","offset":"7"}'), { key: "k", ifEtag: "e", offset: "7" });
    assert.deepEqual(request("Read", '{"key":"k","ifEtag":"e","offset":7,"limit":null}'), {
      key: "k",
      ifEtag: "e",
      offset: "7",
    });
    for (const data of ['"-_-_"', '"+/+/"', '{"hex":"fbffbf"}'])
      assert.deepEqual(request("Put", `{"data":${data}}`)["data"], Buffer.from("fbffbf", "hex"));
    assert.deepEqual(request("Put", '{"data":{"text":"ä"}}')["data"], Buffer.from("ä"));
  });

  it("comes back as it was through the wire's form", () => {
    const { request: type } = findMethod("meta.Write");
    const bytes = fc.uint8Array({ maxLength: 20 }).map((data) => Buffer.from(data).toString("base64"));
    const condition = fc.oneof(
      fc.constant({}),
      fc.constant({ ifAbsent: {} }),
      fc.string().map((ifEtag) => ({ ifEtag })),
    );
    const action = fc.oneof(
      bytes.map((put) => ({ put })),
      fc.constant({ delete: {} }),
      fc.constant({ check: {} }),
    );
    const operation = fc.tuple(fc.string(), action, condition).map(([key, how, when]) => ({ key, ...how, ...when }));
    fc.assert(
      fc.property(fc.array(operation), (operations) => {
        const sent = type.encode(type.create(request("meta.Write", JSON.stringify({ operations })))).finish();
        assert.deepEqual(messageToJson(type, type.decode(sent)), { operations });
      }),
      { seed: newSeed(), numRuns: 100 },
    );
  });

  it("keeps every 64-bit number", () => {
    const { request: type } = findMethod("Read");
    for (const offset of ["0", "9007199254740993", "18446744073709551615"]) {
      const sent = type.encode(type.create(request("Read", `{"offset":"${offset}"}`))).finish();
      assert.deepEqual(messageToJson(type, type.decode(sent)), { key: "", offset, ifEtag: "" });
    }
  });
});

describe("requests as lines", () => {
  it("are taken one by one, empty lines left out, the wrong one named by its number", async () => {
    const lines = ['{"flush":{}}\n\n{"chunk":{"off', 'set":0}}\r\n', '{"chunk":{"ofset":0}}'];
    const taken: unknown[] = [];
    await assert.rejects(async () => {
      for await (const one of requestsFrom(Readable.from(lines), findMethod("Append"))) taken.push(one);
    }, /chunk has no field "ofset": did you mean offset\?/);
    const wanted: unknown[] = [{ flush: {} }, { chunk: { offset: "0" } }];
    assert.deepEqual(taken, wanted);
    await assert.rejects(async () => {
      for await (const one of requestsFrom(Readable.from(["{}\nno"]), findMethod("Append"))) taken.push(one);
    }, /line 2 is not JSON/);
  });

  it("of a file are its bytes from where the upload is", async (t) => {
    const scope = new Scope();
    t.after(scope.close);
    const file = join(tempFolder(scope), "blob");
    writeFileSync(file, "0123456789");
    const chunks: unknown[] = [];
    for await (const { chunk } of chunksOf(file, 4)) chunks.push(chunk);
    assert.deepEqual(chunks, [{ offset: 4, data: Buffer.from("456789") }]);
    await assert.rejects(async () => {
      for await (const _ of chunksOf(file, 11));
    }, /the upload holds 11 bytes already and .* only 10/);
  });
});

describe("a method's name", () => {
  it("is taken in every unambiguous spelling", () => {
    for (const name of ["Stat", "stat", "blob.Stat", "BlobService.Stat", "/outrigger.blob.v1.BlobService/Stat"])
      assert.equal(findMethod(name).name, "BlobService.Stat");
    assert.equal(findMethod("Check").name, "Health.Check");
  });

  it("is refused with the nearest ones", () => {
    assert.throws(() => findMethod("Stet"), /there is no method Stet: did you mean BlobService\.Stat/);
    assert.throws(() => findMethod("meta.Gett"), /did you mean MetaService\.Get/);
    assert.throws(() => findMethod("Frobnicate"), /there are HandshakeService\.Version, /);
    assert.throws(() => findMethod("List"), /List is of several services: BlobService\.List or MetaService\.List$/);
  });

  it("is listed with its request's shape, and shown with its rules", () => {
    const all = listing(methods());
    assert.ok(all.includes('    {"keys": [text…]}'));
    assert.equal(all.filter((line) => /^ {2}\S/.test(line)).length, methods().length);
    assert.match(details(findMethod("meta.Write")).join("\n"), /MUST \[meta\.write\.03\]/);
  });
});

describe("times and sizes on the command line", () => {
  it("are read with their units and refused without", () => {
    assert.equal(durationMs("--deadline", "5m"), 300_000);
    assert.equal(sizeBytes("--bytes", "64KiB"), 65_536);
    assert.throws(() => durationMs("--deadline", "soon"), /--deadline is "soon": write a time like/);
    assert.throws(() => sizeBytes("--bytes", "many"), /--bytes is "many": write a size like/);
  });
});
