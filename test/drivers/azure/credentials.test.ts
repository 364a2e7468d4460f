/** As whom the driver asks: what the options and the environment say, and each kind of credentials on Azurite. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { hasReason } from "../../../proto/errors.ts";
import { runKit } from "../../helpers/kit.ts";
import { runOutrigger } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { command, missing } from "../../helpers/tools.ts";
import { startCommand } from "./azure.ts";
import { account, accountKey, newContainer, noOptions, signatureFor, startAzurite } from "./azurite.ts";

const skip = missing("azurite", "azure-sdk");
/** A write, a copy, uploads, a listing, signed URLs: every way that a credential goes. */
const touching = ["blob.put.01", "blob.move.01", "blob.append.02", "blob.list.02", "fast-paths"];
const only = touching.flatMap((name) => ["--only", name]);

describe("the credentials of an Azure account", { skip }, () => {
  type Options = Partial<Record<keyof typeof noOptions, string>>;
  async function accountOf(options: Options, environment: Record<string, string> = {}) {
    const credentials = await import("../../../drivers/azure/credentials.ts");
    return credentials.accountOf({ ...noOptions, ...options }, environment);
  }
  const key = Buffer.alloc(64, 1).toString("base64");
  const sas = "sv=2026-02-06&se=2099-01-01&sp=racwdl&sig=abc%3D";

  it("are what the flags say, over what the environment says", async () => {
    assert.deepEqual(await accountOf({ account: "images", accountKey: key }, { AZURE_STORAGE_SAS_TOKEN: sas }), {
      name: "images",
      url: "https://images.blob.core.windows.net",
      credentials: { kind: "key", account: "images", key },
    });
    const environment = { AZURE_STORAGE_ACCOUNT: "images", AZURE_STORAGE_SAS_TOKEN: `?${sas}` };
    assert.deepEqual((await accountOf({}, environment)).credentials, { kind: "sas", token: sas });
    assert.equal((await accountOf({ account: "images" })).credentials.kind, "identity");
    assert.equal((await accountOf({ account: "images" }, { AZURE_STORAGE_KEY: key })).credentials.kind, "key");
  });

  it("are read from files, and from connection strings of each kind", async () => {
    const scope = new Scope();
    try {
      const accountKeyFile = join(tempFolder(scope), "key");
      writeFileSync(accountKeyFile, `${key}\n`);
      const { credentials } = await accountOf({ account: "images", accountKeyFile });
      assert.deepEqual(credentials, { kind: "key", account: "images", key });
    } finally {
      await scope.close();
    }
    const ends = "EndpointSuffix=core.chinacloudapi.cn";
    const byKey = `DefaultEndpointsProtocol=https;AccountName=images;AccountKey=${key};${ends}`;
    assert.deepEqual(await accountOf({ connectionString: byKey }), {
      name: "images",
      url: "https://images.blob.core.chinacloudapi.cn",
      credentials: { kind: "key", account: "images", key },
    });
    const bySas = `BlobEndpoint=https://x.example/;SharedAccessSignature=${sas}`;
    assert.deepEqual(await accountOf({}, { AZURE_STORAGE_CONNECTION_STRING: bySas }), {
      name: "",
      url: "https://x.example",
      credentials: { kind: "sas", token: sas },
    });
    assert.equal((await accountOf({ connectionString: "UseDevelopmentStorage=true" })).name, account);
  });

  for (const [options, sentence] of [
    [{}, /account: is needed/],
    [{ account: "My_Account" }, /account: must be a storage account's name/],
    [{ account: "images", accountKey: "no key" }, /accountKey: is not an account key/],
    [{ account: "images", accountKey: key, sasToken: sas }, /sasToken: stands beside --account-key/],
    [{ account: "images", accountKey: key, accountKeyFile: "x" }, /accountKeyFile: stands beside --account-key/],
    [{ account: "images", accountKeyFile: "/no/such/file" }, /accountKeyFile: cannot be read/],
    [{ account: "images", sasToken: "sv=1" }, /sasToken: is not a shared access signature/],
    [{ account: "images", sasToken: "se=2001-01-01&sig=x" }, /sasToken: has expired at 2001-01-01/],
    [{ account: "images", endpoint: "images" }, /endpoint: must be a URL/],
    [{ account: "images", endpoint: `https://x/?${sas}` }, /endpoint: .*goes into --sas-token/],
    [{ endpoint: "https://x", accountKey: key }, /account: is needed with an account key/],
    [{ connectionString: "AccountName=images" }, /connectionString: names neither an AccountKey/],
    [{ connectionString: `AccountKey=${key}` }, /connectionString: names neither an AccountName/],
  ] as const) {
    it(`are refused: ${sentence.source}`, async () => {
      await assert.rejects(accountOf(options), (error) => {
        assert.ok(hasReason(error, "INVALID_FIELD"));
        assert.match(error.message, sentence);
        assert.ok(!error.message.includes(key) && !error.message.includes("abc%3D"));
        return true;
      });
    });
  }
});

describe("the azure driver", { skip }, () => {
  const scope = new Scope();
  after(scope.close);

  it("asks by a shared access signature, and then signs no URLs", { timeout: 200_000 }, async () => {
    const azurite = await startAzurite(scope);
    const container = await newContainer(azurite);
    const env = {
      OUTRIGGER_ENDPOINT: azurite.endpoint,
      OUTRIGGER_CONTAINER: container.containerName,
      AZURE_STORAGE_SAS_TOKEN: await signatureFor(container, "racwdl", new Date(Date.now() + 3600_000)),
    };
    await runOutrigger(["driver", "azure", "--init"], { env });
    const result = await runKit(scope, { addresses: [], start: [startCommand()], env, flags: only });
    assert.equal(result.profiles["fast-paths"], "not-claimed");
  });

  it("asks by an identity, of an account that takes no other, and signs URLs by a delegated key", {
    timeout: 200_000,
  }, async () => {
    const folder = tempFolder(scope);
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const names = ["-subj", "/CN=azurite", "-addext", "subjectAltName=IP:127.0.0.1"];
    const how = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    await command("openssl", ["req", "-x509", ...how, "-keyout", key, "-out", cert, ...names]);
    const azurite = await startAzurite(scope, { flags: ["--oauth", "basic", "--cert", cert, "--key", key] });
    const identity = await startIdentity(scope);
    const env = {
      OUTRIGGER_ACCOUNT: account,
      OUTRIGGER_ENDPOINT: azurite.endpoint.replace("http:", "https:"),
      OUTRIGGER_CONTAINER: "by-identity",
      NODE_EXTRA_CA_CERTS: cert,
      ...identity,
    };
    // By the key, in a process that trusts the certificate, since nobody here does.
    const make = `
      const { connect } = await import("./drivers/azure/client.ts");
      const { accountOf } = await import("./drivers/azure/credentials.ts");
      const { container } = await connect(accountOf(JSON.parse(process.argv[1]), {}), "by-identity");
      await container.create();`;
    const options = JSON.stringify({ account, accountKey, endpoint: env.OUTRIGGER_ENDPOINT });
    await command(process.execPath, ["--import", "tsx", "--input-type=module", "-e", make, options], { env });
    await runOutrigger(["driver", "azure", "--init"], { env });
    const result = await runKit(scope, { addresses: [], start: [startCommand()], env, flags: only });
    assert.equal(result.profiles["fast-paths"], "passed");
    const { OUTRIGGER_ENDPOINT: endpoint } = env;
    await assert.rejects(
      runOutrigger(["driver", "azure", "--init"], { env: { ...env, NODE_EXTRA_CA_CERTS: "" } }),
      new RegExp(`${new URL(endpoint).host} has a certificate that this machine does not trust`),
    );
  });
});

/** What Azure's App Service has for its identities: tokens that Azurite reads, and does not verify. */
async function startIdentity(scope: Scope): Promise<Record<string, string>> {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const server = createServer((request, response) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      aud: "https://storage.azure.com",
      iss: "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
      iat: now - 60,
      nbf: now - 60,
      exp: now + 3600,
      oid: "11059fcc-5514-4800-b5f8-49808b9cfab6",
      tid: "ab1f708d-50f6-404c-a006-d71b2ac7a606",
    };
    const token = `${part({ alg: "none", typ: "JWT" })}.${part(claims)}.x`;
    const known = request.headers["x-identity-header"] === "of-the-test";
    response.writeHead(known ? 200 : 401, { "content-type": "application/json" });
    response.end(
      JSON.stringify({
        access_token: token,
        expires_on: String(claims.exp),
        resource: claims.aud,
        token_type: "Bearer",
        client_id: "f997392c-e15a-4ad8-af9e-cd6966caba7f",
      }),
    );
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  scope.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { IDENTITY_ENDPOINT: `http://127.0.0.1:${port}/token`, IDENTITY_HEADER: "of-the-test" };
}
