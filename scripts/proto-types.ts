/**
 * Writes `proto/gen/` with proto-loader-gen-types; with `--check` it writes elsewhere and fails when the result differs
 * from what is committed.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { protoFiles, scannerProtoFile } from "../proto/options.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const committed = join(root, "proto/gen");
const check = process.argv.includes("--check");
const fresh = mkdtempSync(join(tmpdir(), "outrigger-proto-types-"));

/** Every file below a folder, relative to it, sorted. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

try {
  const { status } = spawnSync(
    process.execPath,
    [
      join(root, "node_modules/@grpc/proto-loader/build/bin/proto-loader-gen-types.js"),
      "--longs=Number",
      "--enums=String",
      "--defaults",
      "--arrays",
      "--objects",
      "--oneofs",
      "--grpcLib=@grpc/grpc-js",
      "--inputTemplate=%sInput",
      "--outputTemplate=%s",
      "--targetFileExtension=.ts",
      "--importFileExtension=.ts",
      `--includeDirs=${join(root, "proto")}`,
      `--outDir=${fresh}`,
      ...protoFiles,
      scannerProtoFile,
    ],
    { cwd: join(root, "proto"), stdio: ["ignore", "ignore", "inherit"] },
  );
  if (status !== 0) throw new Error(`proto-loader-gen-types ended with ${status}`);

  // The generator writes each source's absolute path, which differs between machines.
  for (const name of filesBelow(fresh)) {
    const path = join(fresh, name);
    writeFileSync(path, readFileSync(path, "utf8").replaceAll(`// Original file: ${root}`, "// Original file: "));
  }

  if (check) {
    const names = filesBelow(fresh);
    const same =
      names.join() === filesBelow(committed).join() &&
      names.every((name) => readFileSync(join(fresh, name)).equals(readFileSync(join(committed, name))));
    if (!same)
      throw new Error("proto/gen differs from the .proto files: run `npm run proto:types` and commit the result");
  } else {
    rmSync(committed, { recursive: true, force: true });
    cpSync(fresh, committed, { recursive: true });
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
