import assert from "node:assert/strict";
import { test } from "node:test";
import { RegistryError } from "../../../registry/errors.ts";
import { claimsToBePeer, type PeerRequest, readPeer, signRequest } from "../../../registry/members/peers.ts";

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
