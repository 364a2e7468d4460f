import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { hashSync } from "bcryptjs";
import { createBasicAuthenticator, parseBasic } from "../../../registry/auth/basic.ts";
import { type BcryptPool, createBcryptPool } from "../../../registry/auth/bcrypt-pool.ts";
import type { Outcome } from "../../../registry/auth/contract.ts";
import { parseHtpasswd, readHtpasswd } from "../../../registry/auth/htpasswd-file.ts";
import { startApi } from "../http/api.ts";
import { fakeClock } from "./fake-clock.ts";

/** Cost 4: what counts here is not how slow it is. */
const hash = (password: string) => hashSync(password, 4).replace("$2b$", "$2y$");
const header = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
const nameOf = (outcome: Outcome) => ("account" in outcome ? outcome.account.name : "refused");

function counting(pool: BcryptPool): BcryptPool & { count: number } {
  const counted = {
    count: 0,
    compare(password: string, hashed: string) {
      assert.match(hashed, /^\$2[by]\$\d\d\$.{53}$/, "also what stands for nobody is a hash to work on");
      counted.count += 1;
      return pool.compare(password, hashed);
    },
    close: () => pool.close(),
  };
  return counted;
}

test("a hash that htpasswd itself made is verified", async () => {
  // htpasswd -nbBC 5 alice "correct horse" (Apache 2.4)
  const accounts = parseHtpasswd(readFileSync(new URL("./htpasswd.fixture", import.meta.url), "utf8"), "fixture");
  const pool = createBcryptPool();
  try {
    assert.equal(await pool.compare("correct horse", accounts.get("alice") ?? ""), true);
    assert.equal(await pool.compare("wrong horse", accounts.get("alice") ?? ""), false);
  } finally {
    await pool.close();
  }
});

test("accounts, wrong passwords, unknown names; each is compared once and kept for its time", async (t) => {
  const pool = counting(createBcryptPool());
  t.after(() => pool.close());
  const clock = fakeClock();
  const accounts = new Map([
    ["alice", hash("secret")],
    ["bob", hash("pass:word")],
  ]);
  const auth = createBasicAuthenticator({ accounts, readOnly: new Set(["bob"]), anonymous: "none", pool, clock });
  const ask = async (value?: string) => auth.authenticate(value);

  const many = await Promise.all(Array.from({ length: 20 }, () => ask(header("alice", "secret"))));
  assert.deepEqual(new Set(many.map(nameOf)), new Set(["alice"]));
  assert.equal(pool.count, 1);
  assert.equal(auth.authenticate(header("alice", "secret")) instanceof Promise, false);
  for (const [name, password] of [
    ["alice", "wrong"],
    ["nobody", "secret"],
    ["", "secret"],
  ] as const) {
    const before: number = pool.count;
    assert.equal(nameOf(await ask(header(name, password))), "refused");
    assert.equal(nameOf(await ask(header(name, password))), "refused");
    assert.equal(pool.count, before + 1, "an unknown name takes as long as a wrong password");
  }
  for (const value of [
    "Bearer x",
    "Basic",
    "Basic !!",
    `Basic ${Buffer.from("no colon").toString("base64")}`,
    header("", ""),
  ])
    assert.equal(nameOf(await ask(value)), "refused", value);
  assert.equal(nameOf(await ask(undefined)), "refused");

  const bob = await ask(header("bob", "pass:word"));
  assert.ok("account" in bob);
  assert.deepEqual([bob.account.mayRead("a"), bob.account.mayWrite("a")], [true, false]);

  const known = pool.count;
  clock.advance(11_000);
  await ask(header("alice", "wrong"));
  assert.equal(pool.count, known + 1, "a refusal is kept for seconds");
  await ask(header("alice", "secret"));
  assert.equal(pool.count, known + 1, "an acceptance for minutes");
  clock.advance(6 * 60_000);
  await ask(header("alice", "secret"));
  assert.equal(pool.count, known + 2);
});

test("a pool that is closed fails whoever waits", async (t) => {
  const pool = createBcryptPool();
  t.after(() => pool.close());
  assert.equal(await pool.compare("x", hash("x")), true);
  const asked = assert.rejects(pool.compare("x", hashSync("x", 10)), /stopping/);
  await pool.close();
  await asked;
  await assert.rejects(pool.compare("x", hash("x")), /stopping/);
});

test("too many passwords at once: 429 for the rest", async (t) => {
  const pool = createBcryptPool();
  t.after(() => pool.close());
  const hashed = hash("x");
  const asked = await Promise.allSettled(Array.from({ length: 150 }, () => pool.compare("x", hashed)));
  assert.equal(asked.filter(({ status }) => status === "fulfilled").length, 100);
  const refused = asked.find((each) => each.status === "rejected");
  assert.equal(refused?.reason.code, "TOOMANYREQUESTS");
});

test("an htpasswd file: malformed lines are named, hashes are not repeated", async () => {
  const good = `alice:${hash("a")}`;
  assert.deepEqual([...parseHtpasswd(`# people\n\n${good}\r\n`, "f").keys()], ["alice"]);
  assert.throws(
    () => parseHtpasswd(`${good}\nno-colon\nbob:$apr1$abc$def\n:x\nalice:${hash("b")}\n`, "/etc/people"),
    (error: Error) => {
      assert.match(error.message, /^auth\.htpasswd\.file \/etc\/people: /);
      assert.match(error.message, /line 2 is not name:hash/);
      assert.match(error.message, /line 3 \(bob\) has no bcrypt hash: make it with htpasswd -B/);
      assert.match(error.message, /line 4 is not name:hash/);
      assert.match(error.message, /line 5 names alice a second time/);
      assert.doesNotMatch(error.message, /\$apr1|\$2y/);
      return true;
    },
  );
  await assert.rejects(
    readHtpasswd("/nonexistent/people"),
    /auth\.htpasswd\.file \/nonexistent\/people cannot be read/,
  );
});

test("RFC 7617: the password may hold colons, the scheme any case", () => {
  assert.deepEqual(parseBasic(header("a", "b:c")), { name: "a", password: "b:c" });
  assert.deepEqual(parseBasic(`bAsIc  ${Buffer.from("ü:ß").toString("base64")}`), { name: "ü", password: "ß" });
});

test("the API with accounts: 401 asks, read-only accounts and anonymous pullers are held to it", async (t) => {
  const api = await startApi(t);
  const pool = createBcryptPool();
  t.after(() => pool.close());
  const options = {
    accounts: new Map([
      ["alice", hash("a")],
      ["bob", hash("b")],
    ]),
    readOnly: new Set(["bob"]),
    pool,
    clock: fakeClock(),
  };
  const status = async (method: string, path: string, authorization?: string) => {
    const reply = await api.call(method, path, authorization === undefined ? {} : { headers: { authorization } });
    if (reply.status === 401) {
      assert.match(reply.headers["www-authenticate"] ?? "", /^Basic realm=/);
      assert.equal(reply.error?.code, "UNAUTHORIZED");
    }
    return reply.status;
  };
  const alice = header("alice", "a");
  const bob = header("bob", "b");
  const wrong = header("alice", "x");
  const expected = {
    none: { base: 401, read: 401, write: 401 },
    pull: { base: 401, read: 200, write: 401 },
    push: { base: 401, read: 200, write: 202 },
  };
  for (const anonymous of ["none", "pull", "push"] as const) {
    api.backend.authenticator = createBasicAuthenticator({ ...options, anonymous });
    const nobody = expected[anonymous];
    assert.equal(await status("GET", "/v2/"), nobody.base, `${anonymous}: tools log in when the base asks`);
    assert.equal(await status("GET", "/v2/_catalog"), nobody.read);
    assert.equal(await status("POST", "/v2/a/blobs/uploads/"), nobody.write);
    assert.equal(await status("GET", "/v2/_catalog", header("", "")), nobody.read, "empty credentials are none");
    for (const [who, write] of [
      [alice, 202],
      [bob, 403],
    ] as const) {
      assert.equal(await status("GET", "/v2/", who), 200);
      assert.equal(await status("GET", "/v2/_catalog", who), 200);
      assert.equal(await status("POST", "/v2/a/blobs/uploads/", who), write);
    }
    for (const path of ["/v2/", "/v2/_catalog", "/v2/a/b", "/v2/-/tags/list"])
      assert.equal(await status("GET", path, wrong), 401, "wrong credentials never fall back to none");
  }
});
