import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigError, checkConfig } from "../../../registry/config.ts";
import { readKeyFile } from "../../../registry/members/key-file.ts";

const minimal = { stores: { blobs: { address: "unix:///run/d.sock" } } };
const members = { a: { url: "http://127.0.0.11:5000" }, b: { url: "https://b.example.org" } };
const cluster = { self: "a", members, peers: { keyFile: "/etc/outrigger/peers" } };

function problems(changed: object): readonly string[] {
  try {
    checkConfig({ ...minimal, cluster: { ...cluster, ...changed } });
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  assert.fail("it was accepted");
}

test("a cluster of two, with the defaults that are safe", () => {
  const checked = checkConfig({ ...minimal, cluster }).cluster;
  assert.equal(checked?.owner.by, "rendezvous");
  assert.equal(checked.partial, "refuse");
  assert.equal(checked.digests, "owner");
  assert.equal(checkConfig(minimal).cluster, undefined);
});

test("what is wrong is told by its key, in one sentence", () => {
  const said: [object, RegExp][] = [
    [{ self: "c" }, /^cluster\.self is c, which is none of cluster\.members: there are a, b$/],
    [{ members: {} }, /^cluster\.members is empty/],
    [{ members: { "A!": members.a } }, /^cluster\.members\.A! is not a member's id: write 1 to 32 of a-z/],
    [{ members: { a: { url: "ftp://x" } } }, /^cluster\.members\.a\.url is not an origin/],
    [{ members: { a: { url: "http://h/v2/" } } }, /^cluster\.members\.a\.url is not an origin/],
    [{ members: { a: { url: "http://u:p@h" } } }, /^cluster\.members\.a\.url is not an origin/],
    [{ members: { ...members, b: { url: "http://127.0.0.11:5000/" } } }, /b\.url is .*, which member a has/],
    [{ members: { a: { ...members.a, tls: { cert: "c" } } } }, /tls: cert and key belong together/],
    [{ members: { a: { ulr: "x" } } }, /^cluster\.members\.a\.(?:url is missing|ulr is not a setting)/],
    [{ peers: {} }, /^cluster\.peers has neither keyFile nor tls: say by what members prove/],
    [{ peers: undefined }, /^cluster\.peers is missing$/],
    [{ peers: { tls: { ca: "ca.crt" } } }, /^cluster\.peers\.tls\.cert is missing$/],
    [{ owner: { by: "hash" } }, /^cluster\.owner\.by is none of rendezvous, prefix, rules$/],
    [{ owner: { by: "rules" } }, /^cluster\.owner\.rules is empty/],
    [{ owner: { by: "prefix", rules: [{ repositories: "**", member: "a" }] } }, /leave one of them out$/],
    [{ owner: { by: "rules", rules: [{ repositories: "**", member: "x" }] } }, /member is x, which is no member/],
    [{ owner: { by: "rules", rules: [{ repositories: "a//b", member: "a" }] } }, /repositories is not a pattern/],
    [{ previous: { members: { a: { url: "x" } } } }, /^cluster\.previous\.members\.a\.url is not an origin/],
    [{ adopt: true }, /^cluster\.adopt is not a setting/],
  ];
  for (const [changed, wanted] of said) assert.match(problems(changed)[0] ?? "", wanted, JSON.stringify(changed));
});

test("members that show certificates: https urls, unless they have a key too; a listener that takes them", () => {
  const tls = { ca: "ca.crt", cert: "a.crt", key: "a.key" };
  const http = { tls: { cert: "h.crt", key: "h.key" } };
  const both = { a: { url: "https://127.0.0.11:5000" }, b: members.b };
  const check = (section: object, rest: object = { http }) =>
    checkConfig({ ...minimal, ...rest, cluster: { ...cluster, ...section } }).cluster?.peers;
  const said = (section: object, rest: object = { http }) => {
    try {
      check(section, rest);
    } catch (error) {
      return (error as ConfigError).problems;
    }
    assert.fail("it was accepted");
  };
  assert.deepEqual(check({ members: both, peers: { tls } }), { tls });
  const withKey = { keyFile: "keys", tls };
  assert.deepEqual(check({ peers: withKey }), withKey);
  const [plain, ...others] = said({ peers: { tls } });
  assert.match(plain ?? "", /^cluster\.members\.a\.url is http:\/\/127\.0\.0\.11:5000, where no .* write https:\/\//);
  assert.deepEqual(others, []);
  const previous = { members: { a: both.a, c: { url: "http://c.example" } } };
  assert.match(
    said({ members: both, peers: { tls }, previous })[0] ?? "",
    /^cluster\.previous\.members\.c\.url is http:/,
  );
  for (const peers of [{ tls }, withKey])
    assert.match(
      said({ members: both, peers }, {})[0] ?? "",
      /^cluster\.peers\.tls is there, and http\.tls is not: .* a proxy/,
    );
});

test("a member that leaves is one of those before", () => {
  const leaving = { ...cluster, self: "c", previous: { members: { ...members, c: { url: "http://127.0.0.33:1" } } } };
  for (const cores of ["one", "many"])
    assert.equal(checkConfig({ ...minimal, cores, cluster: leaving }).cluster?.self, "c");
});

test("the file of keys: one a line, each long enough", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "keys-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "keys");
  const [one, two] = ["k".repeat(32), "l".repeat(40)];
  writeFileSync(file, `${one}\r\n\n${two}\n`);
  assert.deepEqual((await readKeyFile(file)).map(String), [one, two]);
  writeFileSync(file, "\n");
  await assert.rejects(readKeyFile(file), /keyFile .* is empty/);
  writeFileSync(file, `${one}\nshort\n`);
  await assert.rejects(readKeyFile(file), /key 2 has 5 characters: a key needs at least 32/);
  await assert.rejects(readKeyFile(join(folder, "none")), /keyFile .* cannot be read/);
});
