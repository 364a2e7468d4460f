/** fake-gcs-server and the gcs driver as processes, for the tests of this folder. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { GcsOptions } from "../../../drivers/gcs/options.ts";
import { type DriverProcess, launchOutrigger, listening, runOutrigger } from "../../helpers/outrigger.ts";
import { launch, type Running, type Scope } from "../../helpers/processes.ts";
import { freePort, tempFolder } from "../../helpers/temp.ts";
import { tool } from "../../helpers/tools.ts";

export const BUCKET = "blobs";

export interface Server {
  /** host:port, the same after `restart`. */
  readonly address: string;
  readonly process: Running;
  /** Bytes in a folder: they outlive the process. */
  restart(): Promise<Server>;
}

/** A server of its own with an empty bucket: in memory, or in a folder, where a restart finds everything again. */
export async function startServer(scope: Scope, backend: "memory" | "filesystem" = "memory"): Promise<Server> {
  const port = await freePort();
  const root = tempFolder(scope, "gcs");
  const start = async (): Promise<Server> => {
    const address = `127.0.0.1:${port}`;
    const flags = ["-scheme", "http", "-host", "127.0.0.1", "-port", String(port), "-public-host", address];
    const where = backend === "memory" ? ["-backend", "memory"] : ["-backend", "filesystem", "-filesystem-root", root];
    const process = scope.add(
      launch("fake-gcs-server", tool("fake-gcs-server"), [...flags, ...where, "-log-level", "error"], {}),
    );
    await listening(process, address);
    if (backend === "memory") await makeBucket(address);
    return { address, process, restart: start };
  };
  mkdirSync(join(root, BUCKET));
  return start();
}

export async function makeBucket(address: string, bucket = BUCKET): Promise<void> {
  const answer = await fetch(`http://${address}/storage/v1/b?project=test`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: bucket }),
  });
  if (answer.status !== 200) throw new Error(`the bucket could not be made: ${await answer.text()}`);
}

/** Every name in the bucket. */
export async function namesIn(address: string, prefix = ""): Promise<string[]> {
  const answer = await fetch(`http://${address}/storage/v1/b/${BUCKET}/o?prefix=${encodeURIComponent(prefix)}`);
  const { items = [] } = (await answer.json()) as { items?: { name: string }[] };
  return items.map(({ name }) => name);
}

/** The driver's flags for a bucket behind an address. */
export function flagsFor(address: string, ...more: string[]): string[] {
  return ["--bucket", BUCKET, "--api-endpoint", `http://${address}`, "--anonymous", ...more];
}

export async function initialise(flags: readonly string[]): Promise<void> {
  await runOutrigger(["driver", "gcs", ...flags, "--init"]);
}

/** The driver at an address, by default a socket of its own. */
export async function startGcs(
  scope: Scope,
  flags: readonly string[],
  options: { readonly address?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<DriverProcess> {
  const address = options.address ?? `unix://${join(tempFolder(scope), "g.sock")}`;
  const running = scope.add(
    launchOutrigger("gcs", ["driver", "gcs", ...flags, "--listen", address], {
      ...(options.env === undefined ? {} : { env: options.env }),
    }),
  );
  await listening(running, address);
  return { address, process: running };
}

/** The driver's options in this process. */
export function optionsFor(address: string, more: Partial<GcsOptions> = {}): GcsOptions {
  return {
    bucket: BUCKET,
    apiEndpoint: `http://${address}`,
    anonymous: true,
    prefix: "",
    uploadMemory: 256 * 1024 * 1024,
    uploadTtl: 7 * 24 * 3600_000,
    keyFile: undefined,
    userProject: undefined,
    ...more,
  };
}
