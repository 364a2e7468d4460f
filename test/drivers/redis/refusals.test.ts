/** What the driver does not start on, and that each is told in one sentence that names the setting. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parseAddress } from "../../../drivers/redis/address.ts";
import { judge } from "../../../drivers/redis/requirements.ts";
import { Scope } from "../../helpers/processes.ts";
import { freePort, tempFolder } from "../../helpers/temp.ts";
import { command, missing } from "../../helpers/tools.ts";
import { failsWith, init, open, put, remove, soon } from "./in-process.ts";
import { DURABLE, RedisServer, refusal } from "./redis.ts";

const SECRET = "s3cr3t-of-this-test";

describe("the redis driver refuses", { skip: missing("redis-server", "redis-sdk") }, () => {
  const scope = new Scope();
  let server: RedisServer;
  before(async () => {
    server = await RedisServer.start(scope);
  });
  after(scope.close);

  const saying = (sentence: RegExp) => (error: Error) => {
    assert.match(error.message, sentence);
    assert.doesNotMatch(error.message, new RegExp(SECRET));
    assert.equal(error.message.split("\n").length, 1);
    return true;
  };
  const refuses = (url: string, flags: readonly string[], sentence: RegExp) =>
    assert.rejects(open(scope, url, flags), saying(sentence));

  it("options that cannot be meant", async () => {
    await refuses(`http://user:${SECRET}@there`, [], /--url begins with http:/);
    await refuses(`redis://:${SECRET}@there:port`, [], /--url is no URL/);
    await refuses("redis://there/zero", [], /--url ends with something that is no database's number/);
    await refuses("redis://there?db=1", [], /--url has something after \?/);
    await refuses("unix://there", [], /--url names no socket/);
    await refuses("redis:///0", [], /--url names no host/);
    await refuses(`redis://:${SECRET}@there`, ["--password", "p"], /the password is given in --url and by --password:/);
    await refuses("redis://there", ["--username", "u"], /there is a user and no password: give --password-file/);
    await refuses("redis://there", ["--password-file", "/nowhere"], /--password-file \/nowhere cannot be read/);
    await refuses(
      "redis://there",
      ["--redis-tls-ca", "x"],
      /--redis-tls-… options need TLS: let --url begin with rediss/,
    );
    await refuses("rediss://there", ["--redis-tls-ca", "/nowhere"], /--redis-tls-ca \/nowhere cannot be read/);
    await refuses("rediss://there", ["--redis-tls-cert", "/x"], /--redis-tls-cert and --redis-tls-key belong together/);
    await refuses("redis://there", ["--key-prefix", "a b"], /--key-prefix "a b" is not/);
    await refuses("redis://there", ["--timeout", "1ms"], /--timeout is 1 ms, not from/);
    await refuses("redis://there", ["--wait-replicas=-1"], /--wait-replicas/);
    await refuses(
      "redis://there",
      ["--allow-loss", "--assume-durable"],
      /--allow-loss and --assume-durable contradict/,
    );
  });

  it("what is not there, no Redis, or silent", async () => {
    await refuses(`redis://127.0.0.1:${await freePort()}`, [], /nobody listens there: check --url/);
    await refuses("redis://no-such-host.invalid", [], /no such host|cannot be looked up/);
    await refuses("unix:///nowhere/redis.sock", [], /no such socket: check --url/);
    const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`;
    /** A server that answers each command by its name; `undefined`: never. */
    const pretend = async (answer: (name: string) => string | undefined) => {
      const fake = createServer((socket) => {
        socket.on("error", () => {});
        socket.on("data", (data) => {
          for (const [name] of String(data).matchAll(/INFO|CONFIG|TIME/g)) socket.write(answer(name) ?? "");
        });
        scope.defer(() => socket.destroy());
      }).listen(0, "127.0.0.1");
      await once(fake, "listening");
      scope.defer(() => fake.close());
      const address = fake.address();
      assert.ok(address !== null && typeof address === "object");
      return `redis://127.0.0.1:${address.port}`;
    };
    await refuses(
      await pretend(() => "HTTP/1.1 400 Bad Request\r\n\r\n"),
      [],
      /does not speak Redis's protocol: check --url/,
    );
    await refuses(
      await pretend(() => undefined),
      ["--timeout", "300ms"],
      /does not answer in time: check it, or raise/,
    );
    const server = (info: string, offSeconds: number) =>
      pretend((name) => {
        if (name === "INFO") return bulk(`${info}\r\nmaxmemory_policy:noeviction\r\n`);
        if (name === "CONFIG") return "-ERR unknown command 'CONFIG'\r\n";
        return `*2\r\n${bulk(String(Math.floor(Date.now() / 1000) + offSeconds))}${bulk("0")}`;
      });
    const loss = ["--allow-loss"];
    await refuses(
      await server("redis_version:4.0.14", 0),
      loss,
      /is Redis 4\.0\.14: 6\.2 or newer, or Valkey, is needed/,
    );
    await refuses(await server("dragonfly:1", 0), loss, /does not say which Redis it is/);
    const valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0";
    await refuses(await server(valkey, 60), loss, /ms ahead of this machine's: set both by NTP/);
    await refuses(await server(valkey, -60), loss, /ms behind this machine's: set both by NTP/);
  });

  it("a database without a store, and one whose number does not exist", async () => {
    const error = await failsWith(open(scope, server.url), "NOT_INITIALISED", /run the driver once with --init/);
    assert.match(error.message, /database 0 under --key-prefix outrigger/);
    await refuses(`${server.url}/99`, [], /has no database 99 .*change the number that --url ends with/);
  });

  for (const [flags, sentence] of [
    [["--appendonly", "no"], /has appendonly no, .*: set it to yes, or run with --allow-loss/],
    [["--appendonly", "yes", "--appendfsync", "everysec"], /has appendfsync everysec, .*: set it to always/],
    [[...DURABLE, "--no-appendfsync-on-rewrite", "yes"], /has no-appendfsync-on-rewrite yes, .*: set it to no/],
    [[...DURABLE, "--maxmemory-policy", "allkeys-lru"], /has maxmemory-policy allkeys-lru, .*: set it to noeviction/],
  ] as const) {
    it(`a server with ${flags.slice(-2).join(" ")}`, async () => {
      const other = await RedisServer.start(scope, { flags });
      await refuses(other.url, [], sentence);
      await assert.rejects(init(other.url), saying(sentence));
      if (/maxmemory/.test(String(flags))) await refuses(other.url, ["--allow-loss"], sentence);
      else {
        await init(other.url, ["--allow-loss"]);
        const { meta, notices } = await open(scope, other.url, ["--allow-loss"]);
        assert.deepEqual(meta.facts.capabilities, ["REPLICAS"]);
        assert.match(String(notices), /acknowledged Writes may be lost/);
      }
      await other.kill();
    });
  }

  it("a server that writes its first append-only file", async () => {
    const other = await RedisServer.start(scope, {
      flags: ["--appendonly", "no", "--appendfsync", "always", "--save", "", "--rdb-key-save-delay", "100"],
    });
    await other.cli("EVAL", "for i = 1, 50000 do redis.call('SET', 'k' .. i, i) end", "0");
    await other.cli("CONFIG", "SET", "appendonly", "yes");
    await refuses(other.url, [], /is still writing its first append-only file/);
    await other.kill();
  });

  it("a server whose append-only file was off, until the next is complete", () => {
    const settings = {
      address: parseAddress(server.url).address,
      allowLoss: false,
      assumeDurable: false,
      waitReplicas: 0,
    };
    const on = {
      appendonly: "yes",
      appendfsync: "always",
      "no-appendfsync-on-rewrite": "no",
      "maxmemory-policy": "noeviction",
    };
    const info = (lines: Readonly<Record<string, string>>) =>
      new Map(Object.entries({ redis_version: "7.0.15", aof_current_size: "100", ...lines }));
    const first = /is still writing its first append-only file/;
    const scheduled = { aof_rewrite_scheduled: "1" };
    assert.throws(() => judge(info({ ...scheduled, aof_current_size: "0" }), on, settings), first);
    // A rewrite of a file that was always written is no matter.
    assert.ok(judge(info(scheduled), on, settings).durable);
    const seen = { appendOnlyOff: false };
    assert.throws(() => judge(info({}), { ...on, appendonly: "no" }, settings, seen), /has appendonly no/);
    assert.throws(() => judge(info(scheduled), on, settings, seen), first);
    assert.throws(() => judge(info({ aof_rewrite_in_progress: "1" }), on, settings, seen), first);
    assert.throws(() => judge(info({ aof_last_bgrewrite_status: "err" }), on, settings, seen), first);
    assert.ok(judge(info({}), on, settings, seen).durable);
    assert.ok(judge(info(scheduled), on, settings, seen).durable);
  });

  it("a server that forbids CONFIG, unless its durability is stated", async () => {
    const other = await RedisServer.start(scope, { flags: [...DURABLE, "--rename-command", "CONFIG", ""] });
    await refuses(other.url, [], /forbids CONFIG, .*--assume-durable, or run with --allow-loss/);
    await init(other.url, ["--assume-durable"]);
    const { meta, notices } = await open(scope, other.url, ["--assume-durable"]);
    assert.deepEqual(meta.facts.capabilities, ["DURABLE", "REPLICAS"]);
    assert.match(String(notices), /--assume-durable: .* is stated, not seen/);
    await other.kill();
    // What CONFIG shows stands over what is stated.
    await other.start([...DURABLE, "--appendfsync", "everysec"]);
    await refuses(other.url, ["--assume-durable"], /has appendfsync everysec/);
    await other.kill();
  });

  it("a replica", async () => {
    const replica = await RedisServer.start(scope, { flags: [...DURABLE, "--replicaof", `127.0.0.1 ${server.port}`] });
    await refuses(replica.url, [], /is a replica: --url must lead to the primary/);
    await replica.kill();
  });

  it("another password, user or right; and takes the right ones from a file, which it never shows", async () => {
    const other = await RedisServer.start(scope, {
      flags: [...DURABLE, "--requirepass", SECRET],
    });
    const rights = ["~{outrigger}:*", "+@all", "-config"];
    await other.cli("-a", SECRET, "ACL", "SETUSER", "driver", "on", `>${SECRET}`, ...rights);
    const file = join(tempFolder(scope), "password");
    writeFileSync(file, `${SECRET}\n`);
    await refuses(other.url, [], /asks for a password: give --password-file/);
    await refuses(other.url, ["--password", `${SECRET}-not`], /refuses the user or the password: check --username/);
    await refuses(other.url, ["--username", "nobody", "--password-file", file], /refuses the user or the password/);
    await init(other.url, ["--password-file", file]);
    await init(`redis://:${SECRET}@${other.address}/1`);
    const { logged } = await open(scope, other.url, ["--password-file", file]);
    assert.doesNotMatch(String(logged), new RegExp(SECRET));
    const user = ["--username", "driver", "--password-file", file];
    await refuses(other.url, user, /forbids CONFIG/);
    await open(scope, other.url, [...user, "--assume-durable"]);
    await refuses(
      other.url,
      [...user, "--assume-durable", "--key-prefix", "others"],
      /docs\/reference\/drivers\/redis\.md lists it/,
    );
    await other.kill();
  });

  it("a user who lacks a permission of a Write, by its name, and then does nothing of it", async () => {
    const other = await RedisServer.start(scope);
    await init(other.url);
    const { meta } = await open(scope, other.url);
    await meta.write([put("a", "1")], soon());
    const contents = () =>
      Promise.all([
        other.cli("HGETALL", "{outrigger}:values"),
        other.cli("ZRANGE", "{outrigger}:keys", "0", "-1"),
        other.cli("HGET", "{outrigger}:store", "writes"),
      ]);
    const before = await contents();
    await other.cli("ACL", "SETUSER", "driver", "on", `>${SECRET}`, "~{outrigger}:*", "+@all");
    const user = ["--username", "driver", "--password", SECRET];
    for (const name of ["zadd", "hset", "hdel", "zrem"]) {
      const driver = await open(scope, other.url, user);
      await other.cli("ACL", "SETUSER", "driver", `-${name}`);
      const lacks = new RegExp(`the user lacks \\+${name} on the keys of this store`);
      const error = await failsWith(
        driver.meta.write([remove("a"), put("b", "1"), put("c", "1")], soon()),
        "BACKEND_DOWN",
        lacks,
      );
      assert.equal(error.metadata["sent"], "no");
      assert.deepEqual(await contents(), before);
      await refuses(other.url, user, lacks);
      await open(scope, other.url, user, true);
      await other.cli("ACL", "SETUSER", "driver", "+@all");
    }
    await other.kill();
  });

  it("as a program: one line, without the password", async () => {
    const line = await refusal(server.url.replace("//", `//:${SECRET}@`), ["--log-level", "trace"]);
    // No password is set there, which is the server's business.
    assert.match(line, /holds no store in database 0/);
    assert.doesNotMatch(line, new RegExp(SECRET));
  });
});

describe("the redis driver over TLS", { skip: missing("redis-server", "redis-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("asks for a certificate that it can trust, and shows its own", async () => {
    const folder = tempFolder(scope);
    const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    await command("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
      ...["-keyout", key, "-out", cert, "-subj", "/CN=redis.example", "-addext", "subjectAltName=DNS:redis.example"],
    ]);
    const tlsPort = await freePort();
    const server = await RedisServer.start(scope, {
      flags: [
        ...DURABLE,
        "--tls-port",
        String(tlsPort),
        "--tls-cert-file",
        cert,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        cert,
      ],
    });
    const url = `rediss://127.0.0.1:${tlsPort}`;
    const refuses = (to: string, flags: readonly string[], sentence: RegExp) =>
      failsWith(open(scope, to, ["--timeout", "2s", ...flags]), "BACKEND_DOWN", sentence);
    const trusted = ["--redis-tls-ca", cert];
    const named = [...trusted, "--redis-tls-server-name", "redis.example"];
    const own = ["--redis-tls-cert", cert, "--redis-tls-key", key];
    await refuses(url, [], /not trusted: name its authority's certificate in --redis-tls-ca/);
    await refuses(url, trusted, /is for another name: give that name by --redis-tls-server-name/);
    await refuses(
      url,
      named,
      /asks for a client certificate: give --redis-tls-cert|want a certificate \(--redis-tls-cert\)/,
    );
    await refuses(`redis://127.0.0.1:${tlsPort}`, [], /if it speaks TLS, let --url begin with rediss:\/\//);
    await refuses(`rediss://127.0.0.1:${server.port}`, named, /does not speak TLS: let --url begin with redis:\/\//);
    await init(url, [...named, ...own]);
    const { meta } = await open(scope, url, [...named, ...own]);
    assert.deepEqual(meta.facts.capabilities, ["DURABLE", "REPLICAS"]);
  });
});
