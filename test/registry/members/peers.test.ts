import assert from "node:assert/strict";
import { test } from "node:test";
import { RegistryError } from "../../../registry/errors.ts";
import { claimsToBePeer, type PeerRequest, readPeer, STATUS, signRequest } from "../../../registry/members/peers.ts";

const key = Buffer.from("a key that has more than thirty-two characters");
const other = Buffer.from("another key that has more than thirty-two chars");
const request: PeerRequest = {
  method: "GET",
  path: "/v2/team/app/manifests/latest?x=1",
  from: "a",
  to: "b",
  account: "zoë: the \n first",
  listHash: "0123456789abcdef",
  role: "owner",
};
const given = { method: request.method, path: request.path, to: "b" };
const NOW = 1_700_000_000_000;

function refused(run: () => unknown): RegistryError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof RegistryError);
    return error;
  }
  assert.fail("it was taken");
}

test("a member's request is known again, with its account", () => {
  const headers = signRequest(key, request, NOW);
  const peer = readPeer([key], headers, given, NOW + 59_000);
  assert.deepEqual(peer, { id: "a", account: request.account, listHash: request.listHash, role: "owner" });
});

test("a client that writes the headers without a signature is a client", () => {
  const { "outrigger-signature": _, ...forged } = signRequest(key, request, NOW);
  assert.equal(claimsToBePeer(forged), false);
  assert.equal(readPeer([key], forged, given, NOW), undefined);
});

test("whatever is changed after it was signed: 401", () => {
  const headers = signRequest(key, request, NOW);
  const changed: [string, Record<string, string>, typeof given][] = [
    ["method", headers, { ...given, method: "DELETE" }],
    ["path", headers, { ...given, path: "/v2/team/app/manifests/latest?x=2" }],
    ["who is asked", headers, { ...given, to: "c" }],
    ["who asks", { ...headers, "outrigger-via": "c" }, given],
    ["account", { ...headers, "outrigger-account": "admin" }, given],
    ["list", { ...headers, "outrigger-members": "fedcba9876543210" }, given],
    ["role", { ...headers, "outrigger-role": "previous" }, given],
    ["time", { ...headers, "outrigger-time": String(NOW + 1) }, given],
    ["signature", { ...headers, "outrigger-signature": "AAAA" }, given],
    ["signature", { ...headers, "outrigger-signature": "" }, given],
  ];
  for (const [what, sent, seen] of changed)
    assert.equal(refused(() => readPeer([key], sent, seen, NOW)).status, 401, what);
  assert.match(refused(() => readPeer([other], headers, given, NOW)).message, /cluster\.peers\.keyFile/);
});

test("a request is good for a minute, either way", () => {
  const headers = signRequest(key, request, NOW);
  for (const awayMs of [-61_000, 61_000]) {
    const error = refused(() => readPeer([key], headers, given, NOW + awayMs));
    assert.equal(error.status, 401);
    assert.match(error.message, /clocks/);
  }
});

test("a second hop, or one to itself: 508", () => {
  for (const from of ["b", "a,c", "c, b"]) {
    const headers = signRequest(key, { ...request, from }, NOW);
    assert.equal(refused(() => readPeer([key], headers, given, NOW)).status, 508, from);
  }
});

test("keys are exchanged one after the other: each of the file's is taken", () => {
  const headers = signRequest(other, request, NOW);
  assert.equal(readPeer([key, other], headers, given, NOW)?.id, "a");
});

test("by certificate: whoever the connection's names is that member, with its account, whatever the time", () => {
  const headers = signRequest(undefined, request, NOW);
  const wanted = { id: "a", account: request.account, listHash: request.listHash, role: "owner" };
  for (const keys of [[], [key]]) assert.deepEqual(readPeer(keys, headers, given, 0, { ids: ["x", "a"] }), wanted);
  assert.deepEqual(readPeer([], signRequest(key, request, NOW), given, 0, { ids: ["a"] }), wanted);
});

test("by certificate: another member's, none, or none that counts here: 401, and what would be right", () => {
  const headers = signRequest(undefined, request, NOW);
  const no = (keys: readonly Buffer[], ...shown: Parameters<typeof readPeer>[4][]) => {
    const error = refused(() => readPeer(keys, headers, given, NOW, ...shown));
    assert.equal(error.status, 401);
    return error.message;
  };
  for (const keys of [[], [key]]) {
    assert.match(
      no(keys, { ids: ["c"] }),
      /is of c, and it names itself "a": .* URI:outrigger-member: with its own id/,
    );
    assert.match(no(keys, { refused: "why not" }), /^not a member's request: why not$/);
  }
  assert.match(no([key]), /knows keys alone: it needs cluster\.peers\.tls/);
  const signed = signRequest(key, request, NOW);
  assert.match(refused(() => readPeer([], signed, given, NOW, { refused: "why not" })).message, /why not$/);
  const asSomebody = { ...headers, "outrigger-role": "admin" };
  assert.match(refused(() => readPeer([], asSomebody, given, NOW, { ids: ["a"] })).message, /asks as "admin"/);
});

test("with both a key and certificates, either proves it", () => {
  const signed = signRequest(key, request, NOW);
  for (const shown of [{ refused: "why not" }, { ids: ["c"] }])
    assert.equal(readPeer([key], signed, given, NOW, shown)?.id, "a");
  const wrong = signRequest(other, request, NOW);
  assert.match(refused(() => readPeer([key], wrong, given, NOW, { ids: ["c"] })).message, /cluster\.peers\.keyFile/);
});

test("by certificate: without the headers a member's connection is a client's; a second hop is 508", () => {
  const { "outrigger-signature": _, ...plain } = signRequest(undefined, request, NOW);
  assert.equal(readPeer([], plain, given, NOW, { ids: ["a"] }), undefined);
  for (const [from, status] of [
    ["b", 508],
    ["a,c", 508],
    ["c, b", 508],
    ["c,d", 401],
  ] as const) {
    const headers = signRequest(undefined, { ...request, from }, NOW);
    assert.equal(refused(() => readPeer([], headers, given, NOW, { ids: ["a", "b"] })).status, status, from);
  }
});

test("by certificate: the command asks all how they are, as no member, and nothing else", () => {
  const status = (role: PeerRequest["role"]) => signRequest(undefined, { ...request, from: STATUS, role }, NOW);
  assert.equal(readPeer([], status("itself"), given, NOW, { ids: ["b"] })?.id, STATUS);
  assert.equal(refused(() => readPeer([], status("owner"), given, NOW, { ids: ["b"] })).status, 401);
});
