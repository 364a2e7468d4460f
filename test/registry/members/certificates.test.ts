import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import type { IncomingMessage, RequestListener } from "node:http";
import { Agent, createServer, request } from "node:https";
import { type AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { membersIn, PeerCertificates, readCertificates, type Shown } from "../../../registry/members/certificates.ts";
import { type Authority, createAuthority, type IssuedPair } from "../../helpers/authority.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";

test("which members a certificate is of: URIs alone, and no name within a name", () => {
  const said: [string | undefined, string[]][] = [
    [undefined, []],
    ["", []],
    ["URI:outrigger-member:a", ["a"]],
    ["DNS:a.example, IP Address:0:0:0:0:0:0:0:1, URI:outrigger-member:store-1, URI:x://y", ["store-1"]],
    ["URI:outrigger-member:a, URI:outrigger-member:b", ["a", "b"]],
    ["DNS:a, email:outrigger-member:a, DNS:outrigger-member:a", []],
    ['DNS:"x, URI:outrigger-member:a, y"', []],
    ['DNS:"x\\", URI:outrigger-member:a, y", URI:outrigger-member:b', ["b"]],
    ['URI:"outrigger-member:a, URI:outrigger-member:b"', []],
    ["URI:x:outrigger-member:a", []],
  ];
  for (const [names, ids] of said) assert.deepEqual(membersIn(names), ids, names);
});

describe("certificates of members", () => {
  const scope = new Scope();
  const folder = tempFolder(scope, "certificates");
  let ours: Authority;
  let theirs: Authority;
  let ofA: IssuedPair;
  before(async () => {
    [ours, theirs] = await Promise.all([createAuthority(folder, "ours"), createAuthority(folder, "theirs")]);
    ofA = await ours.issue("a", "DNS:localhost,URI:outrigger-member:a");
  });
  after(scope.close);

  it("what a configuration names is looked at before it is used", async () => {
    const empty = join(folder, "empty");
    writeFileSync(empty, "nothing");
    const broken = join(folder, "broken");
    writeFileSync(broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    const right = { ca: ours.ca, ...ofA };
    const host = await ours.issue("host", "DNS:a,DNS:a.example");
    const said: [object, RegExp][] = [
      [{ ca: join(folder, "none") }, /^cluster\.peers\.tls\.ca .*none cannot be read/],
      [{ cert: join(folder, "none") }, /^cluster\.peers\.tls\.cert .*none cannot be read/],
      [{ key: join(folder, "none") }, /^cluster\.peers\.tls\.key .*none cannot be read/],
      [{ ca: empty }, /^cluster\.peers\.tls\.ca .*empty is no list of certificates in PEM$/],
      [{ ca: broken }, /^cluster\.peers\.tls\.ca .*broken is no list of certificates in PEM: ./],
      [{ cert: empty }, /^cluster\.peers\.tls: .* are no certificate and its key/],
      [{ key: host.key }, /^cluster\.peers\.tls: .* are no certificate and its key/],
      [host, /is not member a's: .* need URI:outrigger-member:a, and are DNS:a, DNS:a\.example$/],
    ];
    for (const [changed, wanted] of said) {
      await assert.rejects(readCertificates({ ...right, ...changed }, "a", undefined), (error) => {
        assert.match((error as Error).message, wanted);
        return true;
      });
    }
    await assert.rejects(readCertificates(right, "b", undefined), /is not member b's/);
    const first = await readCertificates(right, "a", undefined);
    assert.equal(await readCertificates(right, "a", first), first, "the same authorities: what it saw holds");
    assert.notEqual(await readCertificates({ ...right, ca: theirs.ca, ...ofA }, "a", first), first);
  });

  describe("on a connection", () => {
    let url = "";
    /** What is looked at on each request, in a server that asks for certificates of `ours`. */
    let look: (socket: Socket) => unknown = () => undefined;
    const certificates = () => new PeerCertificates(readFileSync(ours.ca));
    before(async () => {
      const answer: RequestListener = ({ socket }, response) => void response.end(JSON.stringify(look(socket)));
      const files = { cert: readFileSync(ofA.cert), key: readFileSync(ofA.key), ca: readFileSync(ours.ca) };
      const server = createServer({ ...files, requestCert: true, rejectUnauthorized: false }, answer);
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      scope.defer(() => void server.close());
      scope.defer(() => server.closeAllConnections());
      url = `https://localhost:${(server.address() as AddressInfo).port}`;
    });

    const agentOf = (pair: IssuedPair | undefined, options: object = {}) => {
      const shown = pair && { cert: readFileSync(pair.cert), key: readFileSync(pair.key) };
      const agent = new Agent({ ca: readFileSync(ours.ca), family: 4, ...shown, ...options });
      scope.defer(() => agent.destroy());
      return agent;
    };
    const ask = async <Seen>(agent: Agent, seen: (socket: Socket) => Seen): Promise<Seen> => {
      look = seen;
      const sent = request(url, { agent });
      sent.end();
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      let text = "";
      for await (const chunk of response) text += chunk;
      return JSON.parse(text) as Seen;
    };
    const shownBy = (pair: IssuedPair | undefined): Promise<Shown> =>
      ask(agentOf(pair), (socket) => certificates().shownOn(socket));
    const refusal = (shown: Shown) => ("refused" in shown ? shown.refused : assert.fail(`${shown.ids} was taken`));

    it("a member's is known, also through an authority between", async () => {
      assert.deepEqual(await shownBy(ofA), { ids: ["a"] });
      const below = await ours.below("below");
      assert.deepEqual(await shownBy(await below.issue("b", "URI:outrigger-member:b")), { ids: ["b"] });
    });

    it("whatever else is shown is none", async () => {
      assert.match(refusal(await shownBy(undefined)), /no certificate came .* no proxy between that ends TLS/);
      const stranger = await theirs.issue("stranger", "URI:outrigger-member:a");
      assert.match(refusal(await shownBy(stranger)), /none of the authorities .*\(UNABLE_TO_/);
      const namesake = await createAuthority(tempFolder(scope, "namesake"), "ours");
      const forged = await namesake.issue("forged", "URI:outrigger-member:a");
      writeFileSync(forged.cert, `${readFileSync(forged.cert)}${readFileSync(ours.ca)}`);
      assert.match(refusal(await shownBy(forged)), /none of the authorities/);
      const host = await ours.issue("store", "DNS:outrigger-member.example");
      assert.match(
        refusal(await shownBy(host)),
        /need URI:outrigger-member: .* and are DNS:outrigger-member\.example$/,
      );
      const server = await ours.issue("server", "URI:outrigger-member:a", { usage: "serverAuth" });
      assert.match(refusal(await shownBy(server)), /\(INVALID_PURPOSE\)$/);
      assert.match(refusal(certificates().shownOn(new Socket())), /without TLS/);
    });

    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      it(`a resumed session proves nothing (${version})`, async () => {
        for (const pair of [undefined, ofA]) {
          const agent = agentOf(pair, { maxVersion: version });
          await ask(agent, () => "");
          const [isReused, isAuthorized, shown] = await ask(agent, (socket) => [
            (socket as TLSSocket).isSessionReused(),
            (socket as TLSSocket).authorized,
            certificates().shownOn(socket),
          ]);
          assert.equal(isReused, true);
          // What Node says of a client that has shown no certificate: the reason for all this.
          if (version === "TLSv1.3") assert.equal(isAuthorized, true);
          assert.match(refusal(shown as Shown), /resumed TLS session/);
        }
      });
    }

    it("an authority that was taken away counts no more, on open connections either", async () => {
      const agent = agentOf(ofA, { keepAlive: true });
      const [one, other] = [readFileSync(ours.ca), readFileSync(theirs.ca)];
      const both = new PeerCertificates(Buffer.concat([one, other]));
      const sockets = new Set<Socket>();
      const onSame = (of: PeerCertificates) =>
        ask(agent, (socket) => {
          sockets.add(socket);
          return of.shownOn(socket);
        });
      assert.deepEqual(await onSame(certificates()), { ids: ["a"] });
      assert.deepEqual(await onSame(both), { ids: ["a"] });
      assert.match(refusal(await onSame(new PeerCertificates(other))), /none of the authorities/);
      assert.equal(sockets.size, 1);
    });

    it("a connection is looked at once", async () => {
      const agent = agentOf(ofA, { keepAlive: true });
      const of = certificates();
      const looks = await ask(agent, (socket) => {
        const tls = socket as TLSSocket;
        const original = tls.getPeerCertificate;
        let count = 0;
        tls.getPeerCertificate = ((detailed: boolean) => {
          count += 1;
          return original.call(tls, detailed);
        }) as typeof original;
        of.shownOn(socket);
        of.shownOn(socket);
        return count;
      });
      assert.equal(looks, 1);
    });
  });
});
