/** The guide's set-up: a registry with TLS and users, and mutual TLS between it and its driver. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { join } from "node:path";
import { test } from "node:test";
import { launchOutrigger, listening, startDriver, until } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { freePort, tempFolder } from "../helpers/temp.ts";
import { command } from "../helpers/tools.ts";
import { outrigger } from "./cli.ts";

interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate that signs itself, and so is its own authority. */
async function selfSigned(folder: string, name: string): Promise<Pair> {
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  await command("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"],
    ...["-keyout", key, "-out", cert, "-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`],
  ]);
  return { cert, key };
}

function statusOf(url: string, ca: string, authorization?: string): Promise<number | undefined> {
  const headers = authorization === undefined ? {} : { authorization };
  return new Promise((resolve, reject) => {
    get(url, { ca: readFileSync(ca), headers, agent: false }, (response) => {
      response.resume();
      response.once("end", () => resolve(response.statusCode));
    }).once("error", reject);
  });
}

test("mutual TLS to the driver, TLS and a login to the registry", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const folder = tempFolder(scope);
  const [driverPair, corePair, strangerPair] = await Promise.all([
    selfSigned(folder, "localhost"),
    selfSigned(folder, "registry.example"),
    selfSigned(folder, "stranger.example"),
  ]);
  const clients = join(folder, "clients.crt");
  writeFileSync(clients, readFileSync(corePair.cert, "utf8") + readFileSync(strangerPair.cert, "utf8"));
  const driverPort = await freePort();
  const flags = ["--tls-cert", driverPair.cert, "--tls-key", driverPair.key, "--tls-client-ca", clients];
  await startDriver(scope, {
    driver: "memory",
    address: `127.0.0.1:${driverPort}`,
    flags: [...flags, "--tls-allow-client", "registry.example"],
  });

  const { hash } = await import("bcryptjs");
  const users = join(folder, "htpasswd");
  writeFileSync(users, `ann:${await hash("secret", 4)}\n`);
  const port = await freePort();
  const config = (pair: Pair) => {
    const file = join(folder, "outrigger.yaml");
    const text = {
      http: { listen: `127.0.0.1:${port}`, tls: driverPair },
      auth: { htpasswd: { file: users } },
      stores: { blobs: { address: `localhost:${driverPort}`, tls: { ca: driverPair.cert, ...pair } } },
    };
    writeFileSync(file, JSON.stringify(text));
    return file;
  };

  const doctor = (ca: string, pair?: Pair, host = "localhost") =>
    outrigger([
      ...["doctor", "--blobs", `${host}:${driverPort}`, "--tls-ca", ca],
      ...(pair ? ["--tls-cert", pair.cert, "--tls-key", pair.key] : []),
    ]);
  for (const [run, told] of [
    [doctor(driverPair.cert), /wants a client's certificate that it trusts: give one and its key/],
    [doctor(strangerPair.cert, corePair), /is of no authority that is trusted here: give that authority's/],
    [doctor(driverPair.cert, corePair, "127.0.0.1"), /has another name: reach it by that/],
    [doctor(driverPair.cert, { cert: corePair.cert, key: strangerPair.key }), /no certificate and its key, in PEM/],
  ] as const) {
    const ended = await run;
    assert.equal(ended.code, 1);
    assert.match(ended.stdout, told);
    assert.doesNotMatch(ended.stdout, /operate\.md#/);
  }

  // In the clients' authority, but not by name.
  const refused = await outrigger(["config", "check", config(strangerPair)]);
  assert.equal(refused.code, 1, refused.stdout);

  const file = config(corePair);
  const checked = await outrigger(["config", "check", file]);
  assert.equal(checked.code, 0, checked.stderr);
  const registry = scope.add(launchOutrigger("registry", ["registry", "--config", file]));
  await listening(registry, `127.0.0.1:${port}`);
  const base = `https://localhost:${port}`;
  await until(
    async () => (await statusOf(`${base}/readyz`, driverPair.cert)) === 200,
    30_000,
    () => registry.tail(),
  );
  assert.equal(await statusOf(`${base}/v2/`, driverPair.cert), 401);
  const basic = (words: string) => `Basic ${Buffer.from(words).toString("base64")}`;
  assert.equal(await statusOf(`${base}/v2/`, driverPair.cert, basic("ann:secret")), 200);
  assert.equal(await statusOf(`${base}/v2/`, driverPair.cert, basic("ann:guess")), 401);
});
