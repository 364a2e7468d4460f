/** The peer: distribution's registry, built from its Go module. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const VERSION = "v3.1.2";

/** Path of distribution's `registry` of that version; built on first use (about a minute and a half). */
export async function distributionBinary(): Promise<string> {
  const given = process.env["OUTRIGGER_BENCH_DISTRIBUTION"];
  if (given !== undefined) return given;
  const bin = join(tmpdir(), `outrigger-tools-distribution-${VERSION}`);
  const binary = join(bin, "registry");
  if (!existsSync(binary)) {
    mkdirSync(bin, { recursive: true });
    execFileSync("go", ["install", `github.com/distribution/distribution/v3/cmd/registry@${VERSION}`], {
      env: { ...process.env, GOBIN: bin },
      stdio: ["ignore", "inherit", "inherit"],
    });
  }
  return binary;
}
