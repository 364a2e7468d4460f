/** The registry that wrote most existing roots: distribution 3.1 (built here) and Debian's docker-registry 2.8. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { listening } from "./outrigger.ts";
import { launch, type Running, type Scope } from "./processes.ts";
import { RegistryClient } from "./registry-client.ts";
import { freePort, tempFolder } from "./temp.ts";
import { tool } from "./tools.ts";

export type DistributionProgram = "distribution" | "docker-registry";

export interface Distribution {
  readonly process: Running;
  readonly client: RegistryClient;
  readonly host: string;
}

export async function startDistribution(
  scope: Scope,
  program: DistributionProgram,
  root: string,
): Promise<Distribution> {
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(tempFolder(scope), "config.yml");
  writeFileSync(
    config,
    JSON.stringify({
      version: "0.1",
      log: { level: "warn" },
      storage: { filesystem: { rootdirectory: root }, delete: { enabled: true }, cache: { blobdescriptor: "" } },
      http: { addr: host, secret: "test" },
    }),
  );
  const running = scope.add(
    launch(program, tool(program), ["serve", config], { env: { OTEL_TRACES_EXPORTER: "none" } }),
  );
  const client = new RegistryClient(`http://${host}`);
  scope.defer(() => client.close());
  await listening(running, host);
  return { process: running, client, host };
}
