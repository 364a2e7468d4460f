/** The opendal driver as a program: its stubs, what it refuses at its start, and what it keeps to itself. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { runOutrigger } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { freePort, tempFolder } from "../../helpers/temp.ts";
import { command, missing, tool } from "../../helpers/tools.ts";
import { folder, folderStore, memoryStore, type OpendalStore, run, startOpendal } from "./opendal.ts";

describe("the opendal driver as a program", { skip: missing("opendal-python"), concurrency: true }, () => {
  const scope = new Scope();
  after(scope.close);

  const refuses = (flags: readonly string[], why: RegExp, env: Readonly<Record<string, string>> = {}) =>
    assert.rejects(run({ flags: [], env }, flags), (error: Error) => {
      assert.match(error.message, why);
      return true;
    });
  const fs = (root: string): OpendalStore => ({ flags: ["--service", "fs", "--option", `root=${root}`], env: {} });

  it("has the stubs that proto/ gives", async () => {
    await command(tool("opendal-python"), [join(folder, "generate.py"), "--check"]);
  });

  it("says what it is not given, or does not know", async () => {
    const listen = ["--listen", "127.0.0.1:0"];
    await refuses([], /--service is missing/);
    await refuses(["--servce", "fs"], /unknown argument --servce: did you mean --service\?/);
    await refuses(["--service", "nothing", ...listen], /--service nothing cannot be used/);
    await refuses(["--service", "ftp", ...listen], /gives no etags/);
    await refuses(["--service", "s3", "--option", "buckett=x", ...listen], /buckett is none .*did you mean bucket\?/);
    await refuses(
      ["--service", "memory", "--part-size", "1GiB", ...listen],
      /--part-size is .* not from 5MiB to 64MiB/,
    );
    await refuses(["--service", "memory", "--init"], /--init has nothing to write to/);
    await refuses(["--service", "memory"], /--listen is missing/);
    await refuses(["--service", "memory"], /neither unix/, { OUTRIGGER_LISTEN: "nowhere" });
  });

  it("serves no folder that is not there, is empty, or is served by another", async () => {
    const root = join(tempFolder(scope), "root");
    await refuses([...fs(root).flags, "--listen", "127.0.0.1:0"], /is not there: mount it/);
    mkdirSync(root);
    await refuses([...fs(root).flags, "--listen", "127.0.0.1:0"], /is empty \(perhaps it is not mounted\)/);
    await run(fs(root), ["--init"]);
    await startOpendal(scope, fs(root));
    await refuses([...fs(root).flags, "--listen", "127.0.0.1:0"], /another process serves .*--lock-wait/);
  });

  it("adopts a folder that has data and no id", async () => {
    const root = tempFolder(scope);
    mkdirSync(join(root, "a"));
    writeFileSync(join(root, "a/b"), "there already");
    const driver = await startOpendal(scope, fs(root));
    await driver.process.line((line) => line.includes("data without an id was adopted"));
  });

  it("takes secrets from files and variables, and says none of them", async () => {
    const secret = "s3cr3t-of-this-test";
    const file = join(tempFolder(scope), "secret");
    writeFileSync(file, `${secret}\n`);
    const flags = [
      "--service",
      "s3",
      "--option",
      "endpoint=http://127.0.0.1:9",
      "--option",
      "bucket=b",
      "--listen",
      "127.0.0.1:0",
    ];
    const env = { OUTRIGGER_OPTION_ACCESS_KEY_ID: `${secret}-id`, OUTRIGGER_LOG_LEVEL: "trace" };
    await assert.rejects(
      run({ flags, env }, ["--option", "region=us-east-1", "--option-file", `secret_access_key=${file}`]),
      (error: Error) => {
        assert.match(error.message, /s3 does not answer/);
        // The command line that the error shows names the file alone.
        assert.doesNotMatch(error.message, new RegExp(secret));
        return true;
      },
    );
  });

  it("reads a configuration file, and refuses keys that it does not know", async () => {
    const file = join(tempFolder(scope), "driver.yaml");
    const store = await folderStore(scope);
    writeFileSync(file, `service: fs\noptions:\n  root: ${store.root}\nreadOnly: true\n`);
    const driver = await startOpendal(scope, { flags: ["--config", file], env: {} });
    await driver.process.line((line) => line.includes('"readOnly": true'));
    writeFileSync(file, "service: memory\nsevice: memory\n");
    await refuses(["--config", file, "--listen", "127.0.0.1:0"], /unknown key sevice; known are/);
  });

  it("serves TLS to clients whose certificate has an allowed name, and uses a renewed one", async () => {
    const folder = tempFolder(scope);
    const pair = async (name: string, days: number) => {
      const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
      await command("openssl", [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", String(days)],
        ...["-keyout", key, "-out", cert, "-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`],
      ]);
      return { cert, key };
    };
    const served = await pair("localhost", 10);
    const core = await pair("core.example", 10);
    const stranger = await pair("stranger.example", 10);
    const clients = join(folder, "clients.crt");
    writeFileSync(clients, readFileSync(core.cert, "utf8") + readFileSync(stranger.cert, "utf8"));
    const address = `127.0.0.1:${await freePort()}`;
    const tls = ["--tls-cert", served.cert, "--tls-key", served.key, "--tls-client-ca", clients];
    const driver = await startOpendal(scope, memoryStore, {
      address,
      flags: [...tls, "--tls-allow-client", "core.example"],
    });
    const describe = ({ cert, key }: { readonly cert: string; readonly key: string }) =>
      runOutrigger([
        ...["describe", address, "--tls-ca", served.cert, "--tls-server-name", "localhost"],
        ...["--tls-cert", cert, "--tls-key", key],
      ]);
    assert.match((await describe(core)).stdout, /io\.outrigger\.opendal/);
    await assert.rejects(describe(stranger), /none of the names this driver allows/);
    await pair("localhost", 20);
    // Signed by itself, and so another authority than before: only the renewed one is trusted now.
    assert.match((await describe(core)).stdout, /io\.outrigger\.opendal/);
    await driver.process.line((line) => line.includes("the TLS certificate has changed and is in use"));
  });

  it("tells its health to a container", async () => {
    const { address, process } = await startOpendal(scope, memoryStore);
    const health = (at: string) => run({ flags: [], env: {} }, ["health", at]);
    assert.equal((await health(address)).stdout, "serving\n");
    await process.kill();
    await assert.rejects(health(address), /nobody answers at/);
  });

  it("ends at SIGTERM with code 0", async () => {
    const driver = await startOpendal(scope, memoryStore);
    assert.deepEqual(await driver.process.stop(5_000), { code: 0, signal: null });
  });
});
