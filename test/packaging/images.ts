/**
 * The Dockerfile built for real and its images run for real, where there is no Docker: buildah with chroot isolation
 * builds, a mount namespace with chroot runs. Needs root. Everything lies in one folder and goes with it.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { launch, type Running, type Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { command, goCommand, missing, repository, tool } from "../helpers/tools.ts";

/** For a test's `skip`: false, or what is missing. */
export function missingForImages(): string | false {
  if (process.getuid?.() !== 0) return "building and running images needs root";
  return missing("buildah", "debootstrap", "skopeo");
}

const AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt";
const BASE = "docker.io/library/node:24-slim";
const GO_BASE = "docker.io/library/golang:1.26";

/** What an image says of itself (Docker format). */
export interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[] | null;
  readonly WorkingDir: string;
  readonly StopSignal: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Volumes: Readonly<Record<string, object>> | null;
  readonly Healthcheck?: { readonly Test: readonly string[] };
}

export interface BuiltImage {
  readonly config: ImageConfig;
  /** Where its root filesystem is mounted. */
  readonly root: string;
}

export interface RunImage {
  readonly uid: number;
  readonly gid: number;
  /** In place of the image's own Cmd. */
  readonly args?: readonly string[];
  /** In place of its Entrypoint and Cmd. */
  readonly command?: readonly string[];
  readonly mounts: readonly { readonly source: string; readonly target: string; readonly readOnly?: boolean }[];
}

export class ImageBuilder {
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor(scope: Scope) {
    this.#folder = tempFolder(scope, "img");
    this.#env = { STORAGE_DRIVER: "vfs", BUILDAH_ISOLATION: "chroot", TMPDIR: this.#folder };
    // Before the folder goes, its mounts have to.
    scope.defer(async () => {
      await this.#buildah(["umount", "--all"]).catch(() => undefined);
      await this.#buildah(["rm", "--all"]).catch(() => undefined);
    });
  }

  async #buildah(args: readonly string[], timeoutMs = 120_000): Promise<string> {
    const storage = ["--root", join(this.#folder, "storage"), "--runroot", join(this.#folder, "run")];
    const { stdout } = await command(tool("buildah"), [...storage, ...args], { env: this.#env, timeoutMs });
    return stdout.trim();
  }

  /** A Debian with this machine's Node.js and npm, under the name that the Dockerfile begins from. @returns its bytes */
  async base(): Promise<number> {
    const root = join(this.#folder, "base");
    const debootstrap = ["--variant=minbase", "--include=ca-certificates", "bookworm", root];
    await command(tool("debootstrap"), debootstrap, { timeoutMs: 300_000 });
    copyFileSync(realpathSync(process.execPath), join(root, "usr/local/bin/node"));
    const npm = dirname(dirname(realpathSync(onPath("npm"))));
    cpSync(npm, join(root, "usr/local/lib/node_modules/npm"), { recursive: true });
    symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", join(root, "usr/local/bin/npm"));
    // How this machine reaches its package registry is the machine's business, and so the base image's: the Dockerfile is
    // the one that everybody builds.
    mkdirSync(join(root, "usr/local/etc"), { recursive: true });
    copyFileSync(AUTHORITIES, join(root, AUTHORITIES));
    const settings = [`cafile=${AUTHORITIES}`, `registry=${npmSetting("registry")}`];
    writeFileSync(join(root, "usr/local/etc/npmrc"), `${settings.join("\n")}\n`);
    const container = await this.#buildah(["from", "scratch"]);
    await this.#buildah(["add", "-q", container, root, "/"]);
    await this.#buildah(["commit", "-q", container, BASE]);
    await this.#buildah(["rm", container]);
    return bytesBelow(root);
  }

  /** The base with this machine's Go, under the name that the Go drivers are built in. */
  async goBase(): Promise<void> {
    const go = dirname(dirname(realpathSync(goCommand())));
    const container = await this.#buildah(["from", "--pull-never", BASE]);
    const root = await this.#buildah(["mount", container]);
    for (const part of ["bin", "pkg", "src", "lib", "VERSION"])
      cpSync(join(go, part), join(root, "usr/local/go", part), { recursive: true });
    const settings = ["GOPROXY", "GOSUMDB", "GOTOOLCHAIN"].map((name) => `${name}=${goSetting(name)}`);
    writeFileSync(join(root, "usr/local/go/go.env"), `${settings.join("\n")}\n`);
    const path = "/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    await this.#buildah(["config", "--env", `PATH=${path}`, container]);
    await this.#buildah(["commit", "-q", container, GO_BASE]);
    await this.#buildah(["rm", container]);
  }

  /** Builds a target of the Dockerfile and mounts it. @param volumes for its RUN steps, HOST:IMAGE */
  async build(target: string, volumes: readonly string[] = []): Promise<BuiltImage> {
    const name = `localhost/outrigger-${target}`;
    const how = ["--pull-never", "--layers", "--format", "docker", "--target", target, "-t", name];
    for (const volume of volumes) how.push("--volume", volume);
    await this.#buildah(["bud", ...how, repository], 600_000);
    const inspected = JSON.parse(await this.#buildah(["inspect", "--type", "image", name]));
    const root = await this.#buildah(["mount", await this.#buildah(["from", "--pull-never", name])]);
    return { config: inspected.Docker.config, root };
  }
}

/** Of this machine: what it has compiled already needs not be compiled again inside. */
export function goCacheVolume(): string {
  return `${goSetting("GOCACHE")}:/root/.cache/go-build`;
}

function goSetting(name: string): string {
  return execFileSync(goCommand(), ["env", name], { encoding: "utf8", cwd: repository }).trim();
}

/** @throws Error when it is not on PATH */
function onPath(name: string): string {
  return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
}

function npmSetting(name: string): string {
  return execFileSync("npm", ["config", "get", name], {
    encoding: "utf8",
    cwd: repository,
    stdio: ["ignore", "pipe", "ignore"],
  }).trim();
}

/** As `du` counts: what it takes on a disk. */
export function bytesBelow(folder: string): number {
  const [kib = "0"] = execFileSync("du", ["-skx", folder], { encoding: "utf8" }).split("\t");
  return Number(kib) * 1024;
}

/** A folder as a new named volume would be: with the owner and mode that the image has at its place. */
export function volume(scope: Scope, name: string): string {
  const folder = tempFolder(scope, name);
  chownSync(folder, 65532, 65532);
  chmodSync(folder, name === "data" ? 0o750 : 0o2770);
  // What lies above must let other users through.
  chmodSync(dirname(folder), 0o755);
  return folder;
}

const ISOLATE = `set -e
root=$1 who=$2; shift 2
mount --make-rprivate /
mkdir -p "$root/proc" "$root/dev" "$root/tmp"
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
while [ "$1" != -- ]; do
  mount --bind "$1" "$root$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
  shift 3
done
shift
mount -o remount,bind,ro "$root"
cd /
[ -x "$root/usr/bin/env" ] || exec /usr/bin/env -i "$@"
exec chroot --userspec="$who" --groups= "$root" /usr/bin/env -i "$@"`;

/** Runs an image under a uid and gid, its root filesystem read-only, all capabilities gone with the uid. */
export function runImage(scope: Scope, name: string, { config, root }: BuiltImage, how: RunImage): Running {
  const mounts = how.mounts.flatMap(({ source, target, readOnly }) => [source, target, readOnly ? "ro" : "rw"]);
  const words = how.command ?? [...config.Entrypoint, ...(how.args ?? config.Cmd ?? [])];
  const user = `${how.uid}:${how.gid}`;
  // An image with nothing but its program has no env to set its variables with: they are set before the chroot.
  const inside = existsSync(join(root, "usr/bin/env"))
    ? [`--chdir=${config.WorkingDir}`, ...config.Env, ...words]
    : [...config.Env, onPath("chroot"), `--userspec=${user}`, "--groups=", root, ...words];
  return scope.add(
    launch(name, "unshare", [...["--mount", "sh", "-c", ISOLATE, "sh", root, user], ...[...mounts, "--", ...inside]]),
  );
}

export function groupAndMode(path: string): { readonly gid: number; readonly mode: string } {
  const { gid, mode } = statSync(path);
  return { gid, mode: (mode & 0o7777).toString(8) };
}
