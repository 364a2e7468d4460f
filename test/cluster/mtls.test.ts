/** Members that prove by certificates who they are: as ever for clients, and nobody else's certificate makes a member. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { memberList } from "../../registry/members/owners.ts";
import { type Role, signRequest } from "../../registry/members/peers.ts";
import { type Authority, createAuthority, type IssuedPair } from "../helpers/authority.ts";
import { image, seededContent } from "../helpers/oci.ts";
import { runOutrigger } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { errorCodes, RegistryClient, type Reply } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";
import { countRequests, ids, type Member, memberName, namesOf, startWorld, type World } from "./world.ts";

const { ownerOf, hash } = memberList(ids, { by: "rendezvous", key: "", rules: [] });
const [ofA = ""] = namesOf(ownerOf, "a", 1);
const [ofB = ""] = namesOf(ownerOf, "b", 1);
const [ofC = ""] = namesOf(ownerOf, "c", 1);

describe("members by certificate", () => {
  const scope = new Scope();
  const folder = tempFolder(scope, "mtls");
  let world: World;
  let theirs: Authority;
  before(async () => {
    [world, theirs] = await Promise.all([startWorld(scope, { certificates: true }), createAuthority(folder, "theirs")]);
  });
  after(scope.close);

  const ours = () => world.authority ?? assert.fail();
  const filesOf = ({ peerTls = assert.fail() }: Member) => peerTls;
  /** Of b, on connections of its own, with a certificate or without. */
  const asking = (pair?: IssuedPair) => {
    const shown = pair && { cert: readFileSync(pair.cert), key: readFileSync(pair.key) };
    const client = new RegistryClient(world.members.b.url, { ca: readFileSync(ours().ca), ...shown });
    scope.defer(() => client.close());
    return client;
  };
  const path = `/v2/${ofB}/tags/list`;
  const claim = (from: string, role: Role = "owner", key?: Buffer) =>
    signRequest(key, { method: "GET", path, account: "", from, to: "b", listHash: hash, role }, Date.now());
  const refused = (reply: Reply, why: RegExp) => {
    assert.equal(reply.status, 401, `${reply.body}`);
    assert.match(reply.body.toString(), why);
    assert.equal(reply.headers["connection"], "close", "the next one may show another certificate");
  };
  const passes = async (write: Member, read: Member, name: string, tag: string) => {
    const pushed = image({ seed: tag, layerBytes: [300, 1_000_000], raw: true });
    await write.client.pushImage(name, pushed, tag);
    await read.client.pullImage(name, tag, pushed);
  };

  it("any member takes any request; the catalog and the status are whole", async () => {
    const { a, b, c } = world.members;
    await passes(a, c, ofB, "a-c");
    await passes(b, a, ofC, "b-a");
    await passes(c, b, ofA, "c-b");
    for (const { client } of [a, b, c]) assert.deepEqual(await client.catalog(), [ofA, ofB, ofC].sort());
    const asked = await countRequests(world, ["tags"], () => a.client.tags(ofB));
    assert.deepEqual(asked, { a: 1, b: 1, c: 0 });
    assert.match((await runOutrigger(["cluster", "status", "--config", b.file])).stdout, /nothing has to move/);
  });

  it("who shows no certificate is a client, and cannot be a member", async () => {
    const client = asking();
    const { "outrigger-signature": _, ...forged } = claim("a");
    const routed = await countRequests(world, ["tags"], async () => {
      await client.expect(200, "GET", `/v2/${ofC}/tags/list`, { headers: forged });
    });
    assert.deepEqual(routed, { a: 0, b: 1, c: 1 });
    const none = await countRequests(world, ["tags"], async () => {
      for (const headers of [claim("a"), claim("a", "owner", randomBytes(32))])
        refused(
          await asking().request("GET", path, { headers }),
          /no certificate came .* no proxy between that ends TLS/,
        );
    });
    assert.deepEqual(none, { a: 0, b: 2, c: 0 });
    // The first connection is closed, and on the next one its session is resumed.
    refused(await client.request("GET", path, { headers: claim("a") }), /no certificate came|resumed TLS session/);
    refused(await client.request("GET", path, { headers: claim("a") }), /resumed TLS session/);
    await client.expect(200, "GET", path);
  });

  it("another authority's certificate, another member's, a host's: 401; a member's own counts once, and no further", async () => {
    const [stranger, host] = await Promise.all([
      theirs.issue("stranger", memberName("a")),
      ours().issue("host", "DNS:a,DNS:a.example"),
    ]);
    refused(await asking(stranger).request("GET", path, { headers: claim("a") }), /none of the authorities in this/);
    refused(await asking(host).request("GET", path, { headers: claim("a") }), /no member's: .* URI:outrigger-member:/);
    // A client that has such a certificate is a client.
    await asking(stranger).expect(200, "GET", path);
    const ofMemberC = asking(filesOf(world.members.c));
    refused(
      await ofMemberC.request("GET", path, { headers: claim("a") }),
      /its certificate is of c, and it names itself \\"a\\"/,
    );
    await asking(filesOf(world.members.c)).expect(200, "GET", path, { headers: claim("c") });
    await asking(filesOf(world.members.c)).expect(508, "GET", path, { headers: claim("a,c") });
    await asking(filesOf(world.members.b)).expect(508, "GET", path, { headers: claim("b") });
    const ofGone = await ours().issue("gone", "URI:outrigger-member:gone");
    const gone = await asking(ofGone).request("GET", path, { headers: claim("gone") });
    assert.deepEqual([gone.status, errorCodes(gone)], [401, ["UNAUTHORIZED"]]);
    assert.match(gone.body.toString(), /gone is none of cluster\.members: there are a, b, c/);
    // Nothing goes on from here.
    await asking(filesOf(world.members.c)).expect(421, "GET", `/v2/${ofA}/tags/list`, { headers: claim("c") });
  });

  it("from certificates to a key and back, member by member, with none refused", async () => {
    const { a, b, c } = world.members;
    const list = world.listOf(...ids);
    const { keyFile } = world;
    const to = (member: Member, peers: object) => member.reload({ members: list, peers });
    const certificates = (member: Member) => ({ tls: filesOf(member) });
    const both = (member: Member) => ({ keyFile, ...certificates(member) });
    const all = async (tag: string) => {
      await passes(a, b, ofC, tag);
      await passes(c, a, ofB, tag);
      await passes(b, c, ofA, tag);
    };
    await to(a, both(a));
    await all("one-both");
    for (const member of [b, c]) await to(member, both(member));
    await to(c, { keyFile });
    await all("one-with-key");
    await to(a, certificates(a));
    // What neither side can prove to the other is said by both.
    const [up, down] = await Promise.all([
      a.client.expect(502, "GET", `/v2/${ofC}/tags/list`),
      c.client.expect(502, "GET", `/v2/${ofA}/tags/list`),
    ]);
    assert.match(up.body.toString(), /member c of the cluster refuses this one: .* knows keys alone: it needs cluster/);
    assert.match(down.body.toString(), /member a of the cluster refuses this one: .* no certificate came with it/);
    await to(c, both(c));
    await all("back");
    for (const member of [b, c]) await to(member, certificates(member));
    await all("certificates");
  });

  it("authority and certificates are exchanged while requests go on; the old ones are none afterwards", async () => {
    const members = ids.map((id) => world.members[id]);
    const { a, b, c } = world.members;
    const before = { cert: `${filesOf(a).cert}.before`, key: `${filesOf(a).key}.before` };
    copyFileSync(filesOf(a).cert, before.cert);
    copyFileSync(filesOf(a).key, before.key);
    const old = asking(before);
    // More than what stands between takes in: the rest is still at b when the certificates are others.
    const content = seededContent("slow", 32_000_000);
    await b.client.pushBlob(ofB, content);
    const pulled = await a.client.open("GET", `/v2/${ofB}/blobs/${content.digest}`, { timeoutMs: 180_000 });
    const readAgain = async (write: (member: Member) => Promise<void> | void) => {
      await Promise.all(
        members.map(async (member) => {
          const said = member.process.lines.length;
          await write(member);
          await member.process.line((line) => /members' certificates were read again/.test(line), 30_000, said);
        }),
      );
    };
    await readAgain((member) =>
      writeFileSync(filesOf(member).ca, `${readFileSync(ours().ca)}${readFileSync(theirs.ca)}`),
    );
    await passes(a, c, ofB, "both-authorities");
    // By a reload, where the files are others: here and there both are read anew.
    for (const member of members) {
      const pair = await theirs.issue(`${member.id}-next`, memberName(member.id));
      const tls = { ca: filesOf(member).ca, ...pair };
      await member.reload({ members: world.listOf(...ids), peers: { tls } });
      await passes(member, b, ofC, `next-${member.id}`);
    }
    await old.expect(200, "GET", path, { headers: claim("a") });
    await readAgain((member) => copyFileSync(theirs.ca, filesOf(member).ca));
    let sizeBytes = 0;
    for await (const chunk of pulled as AsyncIterable<Buffer>) sizeBytes += chunk.length;
    assert.deepEqual([sizeBytes, pulled.complete], [content.sizeBytes, true]);
    // The same connection, and then a new one.
    for (let time = 0; time < 2; time += 1)
      refused(await old.request("GET", path, { headers: claim("a") }), /none of the authorities in this member's/);
    await passes(c, a, ofB, "next-authority");
    await passes(b, c, ofA, "next-authority");
    assert.match((await runOutrigger(["cluster", "status", "--config", a.file])).stdout, /nothing has to move/);
  });
});
