import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { configKeys, nearest, variableOf } from "../../registry/config/keys.ts";
import { anonymousOf, ConfigError, checkConfig, isLoopback, loadConfig, parseListen } from "../../registry/config.ts";

const minimal = { stores: { blobs: { address: "unix:///run/d.sock" } } };

function problems(tree: unknown): readonly string[] {
  try {
    checkConfig(tree);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  assert.fail("it was accepted");
}

test("defaults are the safe ones", () => {
  const config = checkConfig(minimal);
  assert.equal(config.http.listen, "127.0.0.1:5000");
  assert.equal(config.cores, "many");
  assert.equal(config.readOnly, false);
  assert.equal(config.redirect, "never");
  assert.equal(config.reload, "sighup");
  assert.equal(config.uploadBudgetMiB, 128);
  assert.equal(anonymousOf(config), "push");
  assert.equal(anonymousOf(checkConfig({ ...minimal, auth: { htpasswd: { file: "f" } } })), "none");
});

test("unknown keys name their path and the nearest known one", () => {
  assert.deepEqual(problems({ ...minimal, http: { listn: "x" } }), [
    "http.listn is not a setting: did you mean listen?",
  ]);
  assert.deepEqual(problems({ ...minimal, sores: {} }), ["sores is not a setting: did you mean stores?"]);
  assert.deepEqual(problems({ stores: { blobs: { ...minimal.stores.blobs, tls: { sertt: "x" } } } }), [
    "stores.blobs.tls.sertt is not a setting: did you mean cert?",
  ]);
  assert.match(
    problems({ ...minimal, log: { zzzzzzzz: 1 } })[0] ?? "",
    /^log\.zzzzzzzz is not a setting: there are level$/,
  );
});

test("wrong values: every one is told, each by its path", () => {
  assert.deepEqual(problems({}), ["stores.blobs.address is missing"]);
  assert.deepEqual(problems({ stores: { blobs: {} } }), ["stores.blobs.address is missing"]);
  assert.deepEqual(
    problems({
      http: { listen: "nowhere", tls: { cert: "c" } },
      stores: { blobs: { address: "http://x", id: "1", localRoot: "data", tls: { cert: "x" } } },
      cores: "two",
      readOnly: "yes",
      uploadBudgetMiB: 1,
    }).map((line) => line.split(" ")[0]?.replace(/:$/, "")),
    [
      "http.listen",
      "http.tls.key",
      "stores.blobs.address",
      "stores.blobs.tls",
      "stores.blobs.id",
      "stores.blobs.localRoot",
      "cores",
      "readOnly",
      "uploadBudgetMiB",
    ],
  );
});

test("beyond loopback it does not start open", () => {
  for (const listen of [":5000", "0.0.0.0:5000", "[::]:5000", "10.0.0.1:5000", "registry.example.org:443"]) {
    assert.match(problems({ ...minimal, http: { listen } })[0] ?? "", /which others can reach/, listen);
    assert.match(problems({ ...minimal, http: { listen }, auth: { anonymous: "none" } })[0] ?? "", /others can reach/);
    for (const auth of [{ anonymous: "pull" }, { anonymous: "push" }, { htpasswd: { file: "f" } }])
      checkConfig({ ...minimal, http: { listen }, auth });
  }
  for (const listen of ["127.0.0.1:0", "[::1]:1", "localhost:5000", "127.9.9.9:1"])
    checkConfig({ ...minimal, http: { listen } });
});

test("listen addresses are parsed", () => {
  assert.deepEqual(parseListen(":80"), { host: "::", port: 80 });
  assert.deepEqual(parseListen("[::1]:80"), { host: "::1", port: 80 });
  assert.equal(isLoopback("128.0.0.1"), false);
  assert.equal(isLoopback("127.example.org"), false);
});

test("file, then environment, then flags", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "outrigger-config-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "c.yaml");
  await writeFile(file, "stores:\n  blobs:\n    address: a:1\ncores: one\nlog: { level: warn }\n");
  const env = {
    OUTRIGGER_LOG_LEVEL: "debug",
    OUTRIGGER_CORES: "many",
    OUTRIGGER_READ_ONLY: "true",
    OUTRIGGER_AUTH_READ_ONLY: "a, b",
    OUTRIGGER_AUTH_HTPASSWD_FILE: "/f",
    OUTRIGGER_UPLOAD_BUDGET_MIB: "64",
    // Kubernetes sets these beside a service that is named outrigger.
    OUTRIGGER_PORT: "tcp://10.0.0.1:5000",
    OUTRIGGER_LISTEN: "unix:///other",
  };
  const config = await loadConfig({
    file,
    env,
    overrides: { cores: "one", "http.listen": "127.0.0.1:1", "http.tls.cert": undefined },
  });
  assert.equal(config.stores.blobs.address, "a:1");
  assert.equal(config.log.level, "debug");
  assert.equal(config.cores, "one");
  assert.equal(config.http.listen, "127.0.0.1:1");
  assert.equal(config.readOnly, true);
  assert.deepEqual(config.auth.readOnly, ["a", "b"]);
  assert.equal(config.auth.htpasswd?.file, "/f");
  assert.equal(config.uploadBudgetMiB, 64);
});

test("variables: each key has one, wrong ones are told", async () => {
  const variables = configKeys().flatMap(({ variable }) => variable ?? []);
  assert.equal(new Set(variables).size, variables.length);
  assert.equal(variableOf(["stores", "blobs", "acceptStoreId"]), "OUTRIGGER_STORES_BLOBS_ACCEPT_STORE_ID");
  await assert.rejects(
    loadConfig({ env: { OUTRIGGER_HTTP_LISTN: "x" } }),
    /OUTRIGGER_HTTP_LISTN .*did you mean OUTRIGGER_HTTP_LISTEN/,
  );
  await assert.rejects(loadConfig({ env: { OUTRIGGER_READ_ONLY: "yes" } }), /OUTRIGGER_READ_ONLY=yes is not a boolean/);
});

test("a file that is absent, no YAML, or no list of settings", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "outrigger-config-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "c.yaml");
  await assert.rejects(loadConfig({ file }), /cannot be read/);
  for (const [text, message] of [
    ["a: [", /c\.yaml: /],
    ["cores: one\ncores: many\n", /unique/],
    ["- a\n", /not a list of keys and values/],
    ["cores: three\n", /c\.yaml: cores is none of one, many/],
  ] as const) {
    await writeFile(file, text);
    await assert.rejects(loadConfig({ file }), message);
  }
});

test("the nearest name", () => {
  assert.equal(nearest("htpaswd", ["anonymous", "htpasswd"]), "htpasswd");
  assert.equal(nearest("something", ["anonymous", "htpasswd"]), undefined);
});

test("prefixes: each once, each with drivers of its own, one sentence for what is wrong", () => {
  const at = (n: number) => ({ address: `unix:///run/${n}.sock` });
  const wrong = (prefixes: unknown, sentence: RegExp, blobs: object = at(1)) =>
    assert.throws(
      () => checkConfig({ stores: { blobs, prefixes } }),
      (error: unknown) => error instanceof ConfigError && error.problems.length === 1 && sentence.test(error.message),
    );
  const good = checkConfig({
    stores: {
      blobs: at(1),
      prefixes: [
        { prefix: "team-a/", blobs: at(2) },
        { prefix: "team-a/images", blobs: at(3), meta: at(4) },
        { prefix: "team-ab", blobs: at(5) },
      ],
    },
  });
  assert.equal(good.stores.prefixes.length, 3);
  for (const prefix of ["/", "Team", "a//b", "a/b//", "../x", "", "a_"])
    wrong([{ prefix, blobs: at(2) }], /^stores\.prefixes\.0\.prefix is not a prefix: write components/);
  wrong(
    [
      { prefix: "a", blobs: at(2) },
      { prefix: "a/", blobs: at(3) },
    ],
    /^stores\.prefixes\.1\.prefix is that of stores\.prefixes\.0 too: write one entry for a\/$/,
  );
  wrong(
    [{ prefix: "a", blobs: at(1) }],
    /^stores\.prefixes\.0\.blobs\.address is unix:\S+, which stores has: give each/,
  );
  wrong(
    [
      { prefix: "a", blobs: at(2), meta: at(3) },
      { prefix: "b", blobs: at(4), meta: at(3) },
    ],
    /^stores\.prefixes\.1\.meta\.address is unix:\S+, which stores\.prefixes\.0 has/,
  );
  wrong(
    [{ prefix: "a", blobs: { ...at(2), move: { to: at(1).address, phase: "read" } } }],
    /^stores\.prefixes\.0\.blobs\.move\.to is unix:\S+, which stores has/,
  );
  wrong(
    [{ prefix: "a", blobs: at(2), mta: at(3) }],
    /^stores\.prefixes\.0\.mta is not a setting: did you mean meta\?$/,
  );
  wrong([{ prefix: "a" }], /^stores\.prefixes\.0\.blobs\.address is missing$/);
});
