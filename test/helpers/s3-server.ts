/** versitygw: a real S3 server on a folder, for the tests of whatever speaks S3. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { listening } from "./outrigger.ts";
import { launch, type Running, type Scope } from "./processes.ts";
import { freePort, tempFolder } from "./temp.ts";
import { tool } from "./tools.ts";

export const accessKey = "outrigger";
export const secretKey = "only-for-this-test";

export interface S3Server {
  /** host:port */
  readonly address: string;
  readonly endpoint: string;
  /** Where the objects lie. */
  readonly folder: string;
  /** The one that runs now. */
  process: Running;
  /** On the same address, after its end. */
  restart(): Promise<void>;
  /** A bucket of this name. */
  makeBucket(name: string): void;
}

export interface S3ServerOptions {
  /** Before the backend's name: "--versioning-dir" and the like belong to the posix backend and go after it. */
  readonly flags?: readonly string[];
  readonly backendFlags?: (folder: string) => readonly string[];
}

export async function startS3Server(scope: Scope, options: S3ServerOptions = {}): Promise<S3Server> {
  const folder = tempFolder(scope, "s3");
  const address = `127.0.0.1:${await freePort()}`;
  const start = async () => {
    const process = scope.add(
      launch(
        "versitygw",
        tool("versitygw"),
        [
          "--port",
          address,
          "--quiet",
          ...(options.flags ?? []),
          "posix",
          ...(options.backendFlags?.(folder) ?? []),
          folder,
        ],
        { env: { ROOT_ACCESS_KEY: accessKey, ROOT_SECRET_KEY: secretKey } },
      ),
    );
    await listening(process, address);
    return process;
  };
  const server: S3Server = {
    address,
    endpoint: `http://${address}`,
    folder,
    process: await start(),
    async restart() {
      server.process = await start();
    },
    makeBucket(name) {
      mkdirSync(join(folder, name), { recursive: true });
    },
  };
  return server;
}
