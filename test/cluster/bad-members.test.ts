/** A member that is killed, stopped, slow, lying or older; and a client that pretends to be one. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, request as httpRequest, type IncomingMessage, type RequestListener } from "node:http";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { memberList } from "../../registry/members/owners.ts";
import { signRequest } from "../../registry/members/peers.ts";
import { bytesContent, digestOf, image, seededContent } from "../helpers/oci.ts";
import { runOutrigger } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { errorCodes, RegistryClient, type Reply } from "../helpers/registry-client.ts";
import { type FakeMember, fakeMember, say } from "../registry/members/fake-member.ts";
import { countRequests, hosts, ids, namesOf, startWorld, type World } from "./world.ts";

const { ownerOf, hash } = memberList(ids, { by: "rendezvous", key: "", rules: [] });
const [ofA = ""] = namesOf(ownerOf, "a", 1);
const [ofB = ""] = namesOf(ownerOf, "b", 1);
const [ofC = "", otherOfC = ""] = namesOf(ownerOf, "c", 2);

function names(reply: Reply, status: number, member: string): void {
  assert.equal(reply.status, status, reply.body.toString());
  assert.deepEqual(errorCodes(reply), ["UNAVAILABLE"]);
  assert.match(reply.body.toString(), new RegExp(`member ${member} of the cluster`));
}

describe("a member that is a process", () => {
  const scope = new Scope();
  let world: World;
  before(async () => {
    world = await startWorld(scope);
    for (const name of [ofA, ofB, ofC]) {
      const pushed = image({ seed: name, layerBytes: [1000], raw: true });
      await world.members.a.client.pushImage(name, pushed, "v1");
    }
  });
  after(scope.close);

  it("killed: what it owns is 503 and named, what others own is served, the catalog is 502; back again, all is whole", async () => {
    const { a, c } = world.members;
    await c.process.kill();
    names(await a.client.request("GET", `/v2/${ofC}/manifests/v1`), 503, "c");
    names(await a.client.request("GET", `/v2/${ofC}/tags/list`), 503, "c");
    names(await a.client.request("POST", `/v2/${ofC}/blobs/uploads/`), 503, "c");
    names(await a.client.request("GET", "/v2/_catalog"), 502, "c");
    for (const name of [ofA, ofB]) await a.client.expect(200, "GET", `/v2/${name}/manifests/v1`);
    await a.client.expect(200, "GET", "/readyz");
    await assert.rejects(runOutrigger(["cluster", "status", "--config", a.file]), /c: .*ECONNREFUSED/);
    await c.restart();
    const whole = async () => (await a.client.request("GET", "/v2/_catalog")).status;
    for (let status = 0; status !== 200; status = await whole());
  });

  it("stopped: the others do not wait for it longer than they may", async () => {
    const { a, b } = world.members;
    b.process.signal("SIGSTOP");
    try {
      names(await a.client.request("GET", `/v2/${ofB}/manifests/v1`), 503, "b");
      names(await a.client.request("GET", "/v2/_catalog"), 502, "b");
      await a.client.expect(200, "GET", `/v2/${ofC}/manifests/v1`);
    } finally {
      b.process.signal("SIGCONT");
    }
    for (let status = 0; status !== 200; status = (await a.client.request("GET", `/v2/${ofB}/manifests/v1`)).status);
  });

  it("where it is allowed, the catalog comes without the member that is down, and says so", async () => {
    const { a, b, c } = world.members;
    await a.reload({ members: world.listOf(...ids), partial: "allow" });
    await c.process.kill();
    const reply = await a.client.expect(200, "GET", "/v2/_catalog");
    assert.deepEqual(JSON.parse(reply.body.toString()), { repositories: [ofA, ofB].sort() });
    assert.match(String(reply.headers["warning"]), /^199 outrigger "without c: not reached"$/);
    names(await b.client.request("GET", "/v2/_catalog"), 502, "c");
    await c.restart();
    await a.reload({ members: world.listOf(...ids) });
  });

  it("hop headers of a client mean nothing without a signature, and are refused with a wrong one", async () => {
    const { a } = world.members;
    const key = Buffer.from(readFileSync(world.keyFile, "latin1").trim());
    const path = `/v2/${ofB}/manifests/v1`;
    const forged = { "outrigger-via": "a", "outrigger-account": "admin", "outrigger-members": hash };
    const asked = await countRequests(world, ["manifest"], async () => {
      await a.client.expect(200, "GET", path, { headers: forged });
    });
    assert.deepEqual(asked, { a: 1, b: 1, c: 0 });
    const request = { method: "GET", path, account: "", listHash: hash, role: "owner" } as const;
    const sign = (with_: Buffer, from: string) => signRequest(with_, { ...request, from, to: "a" }, Date.now());
    const reach = (headers: Record<string, string>, status: number) =>
      a.client.expect(status, "GET", path, { headers });
    const none = await countRequests(world, ["manifest"], async () => {
      await reach(sign(Buffer.alloc(32, "x"), "b"), 401);
      await reach(sign(key, "a"), 508);
      await reach(sign(key, "b,c"), 508);
      // A member that takes this one for the owner is told that it is not: nothing goes on from here.
      const told = await reach(sign(key, "c"), 421);
      // Another core of it may know better: the next request is to find that one.
      assert.equal(told.headers["connection"], "close");
    });
    assert.deepEqual(none, { a: 4, b: 0, c: 0 });
  });

  it("the status is for clients and for the command, what members ask each other for members alone", async () => {
    const { b } = world.members;
    const reply = await b.client.request("GET", "/v2/_outrigger/members/self");
    assert.equal(reply.status, 404);
    const { stdout } = await runOutrigger(["cluster", "status", "--url", b.url]);
    assert.match(stdout, /nothing has to move/);
    const json = await runOutrigger(["cluster", "status", "--config", b.file, "--json"]);
    const status = JSON.parse(json.stdout) as { members: { id: string; agrees: boolean; repositories: number }[] };
    assert.deepEqual(
      status.members.map(({ id, agrees, repositories }) => [id, agrees, repositories]),
      [
        ["a", true, 1],
        ["b", true, 1],
        ["c", true, 1],
      ],
    );
  });
});

describe("a member that is none", () => {
  const scope = new Scope();
  let world: World;
  let fake: FakeMember;
  const content = seededContent("the right bytes", 400_000);
  before(async () => {
    fake = await fakeMember(hosts.c);
    scope.defer(fake.close);
    // One core may go back to a list of before as it likes.
    const config = { cores: "one" };
    world = await startWorld(scope, {
      ...{ urls: { c: fake.url }, running: ["a", "b"], cluster: { answerSeconds: 1 }, config },
    });
    await world.members.a.client.pushBlob(ofA, content);
  });
  after(scope.close);

  async function catalogWith(answer: RequestListener, status: number): Promise<Reply> {
    fake.answer = answer;
    const reply = await world.members.a.client.request("GET", "/v2/_catalog?n=10");
    if (status === 200) assert.equal(reply.status, 200, reply.body.toString());
    else names(reply, status, "c");
    return reply;
  }

  it("catalog pages that lie are refused, and named", async () => {
    const page = (repositories: unknown, headers = {}) => say("c", 200, { repositories }, headers);
    const right = await catalogWith(page([ofC, otherOfC].sort()), 200);
    assert.deepEqual(JSON.parse(right.body.toString()), { repositories: [ofA, ofC, otherOfC].sort() });
    await catalogWith(page([ofC, otherOfC].sort().reverse()), 502);
    await catalogWith(page([ofC, ofC]), 502);
    await catalogWith(page([ofA]), 502);
    await catalogWith(page(["Not A Name"]), 502);
    await catalogWith(page("all"), 502);
    await catalogWith(page([], { Link: '</v2/_catalog?last=x>; rel="next"' }), 502);
    await catalogWith(page(Array.from({ length: 11 }, (_, index) => `n${index + 10}`)), 502);
    await catalogWith(say("b", 200, { repositories: [] }), 502);
    await catalogWith(say("c", 200, {}), 502);
    await catalogWith(say("c", 404, {}), 502);
    await catalogWith((_, response) => void response.writeHead(200, { "Outrigger-Member": "c" }).end("<html>"), 502);
    await catalogWith(say("c", 302, {}, { Location: "http://127.0.0.1:1/v2/_catalog" }), 502);
    await catalogWith(say("c", 200, {}, { "Content-Length": "9999999999" }), 502);
  });

  it("bytes that are not those of the digest do not come through whole", async () => {
    const { client } = world.members.a;
    const asked = digestOf(Buffer.from("what was asked for"));
    const headers = { "Outrigger-Member": "c", "Docker-Content-Digest": asked };
    fake.answer = (_, response) => void response.writeHead(200, { ...headers, "Content-Length": "5" }).end("wrong");
    names(await client.request("GET", `/v2/${ofC}/blobs/${asked}`), 502, "c");
    names(await client.request("GET", `/v2/${ofC}/manifests/${asked}`), 502, "c");
    const large = Buffer.alloc(3_000_000, "wrong");
    fake.answer = (_, response) =>
      void response.writeHead(200, { ...headers, "Content-Length": String(large.length) }).end(large);
    await assert.rejects(client.request("GET", `/v2/${ofC}/blobs/${asked}`), /aborted|socket hang up/);
    const other = { ...headers, "Docker-Content-Digest": content.digest };
    fake.answer = (_, response) => void response.writeHead(200, { ...other, "Content-Length": "5" }).end("wrong");
    names(await client.request("HEAD", `/v2/${ofC}/blobs/${asked}`).then(withoutBody), 502, "c");
    names(await client.request("GET", `/v2/${ofC}/manifests/v1`), 502, "c");
    fake.answer = say("c", 200, { name: ofA, tags: ["v1"] });
    names(await client.request("GET", `/v2/${ofC}/tags/list`), 502, "c");
    fake.answer = say("c", 202, {}, { Location: `/v2/${ofA}/blobs/uploads/x` });
    names(await client.request("POST", `/v2/${ofC}/blobs/uploads/`), 502, "c");
    fake.answer = say("c", 202, {}, { Location: "http://127.0.0.1:1/v2/" });
    names(await client.request("POST", `/v2/${ofC}/blobs/uploads/`), 502, "c");
  });

  it("a mount from it is an upload, as the spec has it", async () => {
    const absent = bytesContent(Buffer.from("not what c has"));
    fake.answer = (_, response) =>
      void response.writeHead(200, { "Outrigger-Member": "c", "Content-Length": "5" }).end("wrong");
    const path = `/v2/${ofA}/blobs/uploads/?mount=${absent.digest}&from=${ofC}`;
    await world.members.a.client.expect(202, "POST", path);
    await world.members.a.client.expect(404, "HEAD", `/v2/${ofA}/blobs/${absent.digest}`);
  });

  it("slow: given up at the end of its time; another list: asked again for some seconds, then 503", async () => {
    const { client } = world.members.a;
    fake.answer = () => {};
    names(await client.request("GET", `/v2/${ofC}/manifests/v1`), 503, "c");
    let asked = 0;
    fake.answer = (request, response) => {
      asked += 1;
      say("c", 421, { errors: [{ code: "UNAVAILABLE", message: "it has list 1" }] })(request, response);
    };
    const reply = await client.request("GET", `/v2/${ofC}/manifests/v1`);
    names(reply, 503, "c");
    assert.ok(Number(reply.headers["retry-after"]) > 0);
    assert.ok(asked > 1);
    asked = 0;
    const manifest = image({ seed: "late", layerBytes: [1], raw: true }).manifest;
    fake.answer = (request, response) => {
      asked += 1;
      if (asked === 1) return say("c", 421, { errors: [{ message: "it has list 1" }] })(request, response);
      response.writeContinue();
      request.resume().on("end", () => {
        const headers = {
          "Docker-Content-Digest": manifest.digest,
          Location: `/v2/${ofC}/manifests/${manifest.digest}`,
        };
        say("c", 201, {}, headers)(request, response);
      });
    };
    await client.putManifest(ofC, "v1", manifest);
    assert.equal(asked, 2);
  });

  it("a refusal before the body ends the connection of a client that still holds it back", async () => {
    fake.answer = say("c", 416, { errors: [{ code: "RANGE_INVALID", message: "not there" }] });
    const refused = httpRequest(`${world.members.a.url}/v2/${ofC}/blobs/uploads/x`, {
      method: "PATCH",
      agent: new Agent({ keepAlive: true }),
      headers: { expect: "100-continue", "content-length": "5" },
    });
    refused.on("continue", () => assert.fail("c did not want the body"));
    refused.flushHeaders();
    const [response] = (await once(refused, "response")) as [IncomingMessage];
    assert.deepEqual([response.statusCode, response.headers.connection], [416, "close"]);
    response.resume();
    // What came next on it would be taken for the body.
    await once(refused, "close");
  });

  it("a client that goes on with its body after a refusal is read no further than anywhere", async () => {
    fake.answer = say("c", 416, { errors: [{ code: "RANGE_INVALID", message: "not there" }] });
    const socket = connect(Number(new URL(world.members.a.url).port), hosts.a);
    let sent = 0;
    const chunk = Buffer.alloc(256 * 1024);
    const ended = new Promise<void>((resolve) => {
      socket.on("error", () => {});
      socket.on("close", () => resolve());
    });
    const length = 1024 ** 3;
    socket.write(`PATCH /v2/${ofC}/blobs/uploads/x HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`);
    const [head] = (await once(socket, "data")) as [Buffer];
    assert.match(head.toString(), /^HTTP\/1\.1 416 /);
    const more = () => {
      while (!socket.destroyed && sent < length) {
        sent += chunk.length;
        if (!socket.write(chunk)) return void socket.once("drain", more);
      }
      socket.end();
    };
    more();
    await ended;
    assert.ok(sent < length, `${sent} bytes were taken`);
  });

  it("300 clients that read slowly keep nobody from what is short", async () => {
    fake.answer = (request, response) => {
      if (!request.url?.includes("/blobs/")) return say("c", 200, { name: ofC, tags: ["v1"] })(request, response);
      response.writeHead(206, { "Outrigger-Member": "c", "Content-Length": "1000000" }).write("the first bytes");
    };
    const clients = Array.from({ length: 3 }, () => new RegistryClient(world.members.a.url));
    const path = `/v2/${ofC}/blobs/${content.digest}`;
    const pulls = await Promise.all(
      clients.flatMap((client) =>
        Array.from({ length: 100 }, () => client.open("GET", path, { headers: { range: "bytes=0-999999" } })),
      ),
    );
    try {
      assert.deepEqual(new Set(pulls.map(({ statusCode }) => statusCode)), new Set([206]));
      await world.members.a.client.expect(200, "GET", `/v2/${ofC}/tags/list`);
    } finally {
      for (const pull of pulls) pull.destroy();
      for (const client of clients) client.close();
    }
  });

  it("digests: all: a member that cannot look says nothing, whoever has the bytes serves them", async () => {
    const { a, b } = world.members;
    const late = seededContent("left at b", 200_000);
    await b.reload({ members: world.listOf("b") });
    await b.client.pushBlob(ofC, late);
    await b.reload({ members: world.listOf(...ids) });
    await a.reload({ members: world.listOf(...ids), digests: "all" });
    const absent = digestOf(Buffer.from("nobody has this"));
    const down = say("c", 503, { errors: [{ code: "UNAVAILABLE", message: "the storage is away" }] });
    const nothing = say("c", 404, { errors: [{ code: "BLOB_UNKNOWN", message: "not here" }] });
    const get = (name: string, kind: string, digest = absent) =>
      a.client.request("GET", `/v2/${name}/${kind}/${digest}`);
    for (const [kind, code] of [
      ["blobs", "BLOB_UNKNOWN"],
      ["manifests", "MANIFEST_UNKNOWN"],
    ] as const) {
      for (const name of [ofA, ofB, ofC]) {
        fake.answer = nothing;
        const reply = await get(name, kind);
        assert.deepEqual([reply.status, errorCodes(reply)], [404, [code]], `${name} ${kind}`);
        // What its owner refuses for a reason is refused.
        for (const answer of [down, say("c", 500, {}), ...(name === ofC ? [] : [say("c", 403, {})])]) {
          fake.answer = answer;
          names(await get(name, kind), 502, "c");
        }
      }
    }
    // Its owner is c.
    for (const answer of [down, nothing]) {
      fake.answer = answer;
      await a.client.pullBlob(ofC, late);
    }
    await a.reload({ members: world.listOf(...ids) });
  });

  it("older: it does not know how to say how it is, and the rest of the status is there", async () => {
    fake.answer = say("c", 200, { id: "c", version: "0.0.1" });
    const reply = await world.members.a.client.expect(200, "GET", "/v2/_outrigger/members");
    const status = JSON.parse(reply.body.toString()) as { members: { id: string; reachable: boolean }[] };
    assert.deepEqual(
      status.members.map(({ id, reachable }) => [id, reachable]),
      [
        ["a", true],
        ["b", true],
        ["c", false],
      ],
    );
  });
});

/** HEAD has none: what the error would say is taken for said. */
function withoutBody(reply: Reply): Reply {
  const errors = [{ code: "UNAVAILABLE", message: "member c of the cluster" }];
  return { ...reply, body: Buffer.from(JSON.stringify({ errors })) };
}
