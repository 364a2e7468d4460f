/** The opendal driver and the S3 server behind it as processes, for the tests of this folder. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type DriverProcess, listening } from "../../helpers/outrigger.ts";
import { launch, type Running, type Scope } from "../../helpers/processes.ts";
import { freePort, tempFolder } from "../../helpers/temp.ts";
import { command, repository, tool } from "../../helpers/tools.ts";

export const folder = join(repository, "drivers/opendal");

/** A store that the driver can be started on, any number of times. */
export interface OpendalStore {
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const python = (env: Readonly<Record<string, string>> = {}) => ({ ...env, PYTHONPATH: folder });

/** One shell command that starts the driver, for the kit's --start. */
export function startCommand(store: OpendalStore): string {
  return ["exec", tool("opendal-python"), "-m", "outrigger_opendal", ...store.flags]
    .map((word) => `"${word}"`)
    .join(" ")
    .replace('"exec"', "exec");
}

/** The driver run to its end, as with --init. @throws Error with its last words when it fails */
export function run(store: OpendalStore, flags: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const args = ["-m", "outrigger_opendal", ...store.flags, ...flags];
  return command(tool("opendal-python"), args, { env: environment(store) });
}

export function environment(store: OpendalStore): Record<string, string> {
  return python(store.env);
}

/** The driver at an address, by default a socket of its own. */
export async function startOpendal(
  scope: Scope,
  store: OpendalStore,
  options: { readonly address?: string; readonly flags?: readonly string[] } = {},
): Promise<DriverProcess> {
  const address = options.address ?? `unix://${join(tempFolder(scope), "o.sock")}`;
  const args = ["-m", "outrigger_opendal", ...store.flags, "--listen", address, ...(options.flags ?? [])];
  const running = scope.add(launch("opendal", tool("opendal-python"), args, { env: environment(store) }));
  await listening(running, address);
  return { address, process: running };
}

export async function folderStore(scope: Scope): Promise<OpendalStore & { readonly root: string }> {
  const root = join(tempFolder(scope, "od"), "root");
  const store = { flags: ["--service", "fs", "--option", `root=${root}`], env: {}, root };
  await run(store, ["--init"]);
  return store;
}

export const memoryStore: OpendalStore = { flags: ["--service", "memory"], env: {} };

/** A bucket of a versitygw of its own. */
export async function bucketStore(
  scope: Scope,
): Promise<OpendalStore & { readonly endpoint: string; readonly bucket: string }> {
  const files = tempFolder(scope, "s3");
  mkdirSync(join(files, "bucket"));
  const address = `127.0.0.1:${await freePort()}`;
  const secret = "only-for-this-test";
  const server: Running = scope.add(
    launch("versitygw", tool("versitygw"), ["--port", address, "--quiet", "posix", files], {
      env: { ROOT_ACCESS_KEY: "outrigger", ROOT_SECRET_KEY: secret },
    }),
  );
  await listening(server, address);
  const options = {
    bucket: "bucket",
    region: "us-east-1",
    endpoint: `http://${address}`,
    disable_config_load: "true",
    disable_ec2_metadata: "true",
  };
  const store = {
    endpoint: options.endpoint,
    bucket: options.bucket,
    flags: ["--service", "s3", ...Object.entries(options).flatMap(([name, value]) => ["--option", `${name}=${value}`])],
    env: { OUTRIGGER_OPTION_ACCESS_KEY_ID: "outrigger", OUTRIGGER_OPTION_SECRET_ACCESS_KEY: secret },
  };
  await run(store, ["--init"]);
  return store;
}
