import { join } from "node:path";
import { type Running, type Scope, start } from "./processes.ts";
import { tempFolder } from "./temp.ts";
import { tool } from "./tools.ts";

export const goMetaStoreId = "6f2b8c1e-3a54-4f0e-9d7a-2b1c0e5f4a90";

export interface GoMeta {
  readonly address: string;
  readonly process: Running;
}

/** The Go meta driver on a unix socket, ended with the scope. */
export async function startGoMeta(
  scope: Scope,
  options: { readonly address?: string; readonly flags?: readonly string[] } = {},
): Promise<GoMeta> {
  const address = options.address ?? `unix://${join(tempFolder(scope), "meta.sock")}`;
  const process = await start(
    "go-meta",
    tool("go-meta"),
    ["--listen", address, "--store-id", goMetaStoreId, ...(options.flags ?? [])],
    { ready: (line) => line.includes('"listening"') },
  );
  return { address, process: scope.add(process) };
}
