/** A small file system of a test's own, for what happens when it is full. */
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Scope } from "./processes.ts";
import { tempFolder } from "./temp.ts";

/** For a test's `skip`: false, or why a small file system cannot be mounted here. */
export function mountProblem(): string | false {
  if (process.getuid?.() !== 0) return "mounting a small disk needs root";
  if (!existsSync("/proc/filesystems")) return "there is no Linux to mount a small disk with";
  const scope = new Scope();
  const folder = tempFolder(scope);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], { stdio: "pipe" });
    execFileSync("umount", [folder], { stdio: "pipe" });
    return false;
  } catch (error) {
    return `a small disk cannot be mounted: ${error instanceof Error ? error.message.split("\n").at(-2) : error}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface SmallDisk {
  readonly folder: string;
  /** Fills it up to so many bytes. */
  leave(bytes: number): void;
  /** Takes away what filled it. */
  clear(): void;
}

export function smallDisk(scope: Scope, sizeBytes: number): SmallDisk {
  const folder = tempFolder(scope, "disk");
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes}`, "tmpfs", folder]);
  scope.defer(() => {
    execFileSync("umount", [folder]);
  });
  const filler = join(folder, "filler");
  const clear = () => rmSync(filler, { force: true });
  return {
    folder,
    clear,
    leave(bytes) {
      clear();
      const { bavail, bsize } = statfsSync(folder);
      writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - bytes)));
    },
  };
}
