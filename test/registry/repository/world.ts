/** One or more cores on one fake backend, and small images to push. */
import { createHash, randomUUID } from "node:crypto";
import { pino } from "pino";
import { type Clock, systemClock } from "../../../proto/clock.ts";
import type { Repositories, RequestContext } from "../../../registry/repository/contract.ts";
import { createRepositories, type RunningRepositories } from "../../../registry/repository/index.ts";
import { mediaTypes } from "../../../registry/repository/manifest.ts";
import { FakeBackend, type FakeHooks, type FakeStores } from "../../helpers/fake-stores.ts";

/** Real time; timers of less than a minute run `factor` times sooner and keep the process alive, as nothing else does here. */
export function hastyClock(factor: number): Clock {
  return {
    ...systemClock,
    after(ms, run) {
      const timer = setTimeout(run, ms / factor);
      if (ms >= 60_000) timer.unref();
      return () => clearTimeout(timer);
    },
  };
}

export const testClock = hastyClock(20);

export const silent = pino({ level: "silent" });

export interface Member {
  readonly repositories: RunningRepositories;
  readonly stores: FakeStores;
}

export async function startCore(
  options: {
    readonly backend?: FakeBackend;
    readonly mode?: "one" | "many";
    readonly clock?: Clock;
    readonly hooks?: FakeHooks;
    readonly random?: () => number;
    readonly contentMemoryBytes?: number;
    readonly pullsFlushMs?: number;
    readonly owns?: (name: string) => boolean;
  } = {},
): Promise<Member> {
  const stores = (options.backend ?? new FakeBackend()).connect(options.hooks ?? {});
  const repositories = createRepositories({
    stores,
    mode: options.mode ?? "many",
    clock: options.clock ?? testClock,
    log: silent,
    // Once, at the end: it would be among the calls that are counted.
    pullsFlushMs: options.pullsFlushMs ?? 3_600_000,
    ...(options.random === undefined ? {} : { random: options.random }),
    ...(options.owns === undefined ? {} : { owns: options.owns }),
    ...(options.contentMemoryBytes === undefined ? {} : { contentMemoryBytes: options.contentMemoryBytes }),
  });
  await repositories.start();
  stores.takeCalls();
  return { repositories, stores };
}

export function context(signal = new AbortController().signal): RequestContext {
  return { requestId: randomUUID(), signal };
}

export function digestOf(bytes: string | Uint8Array, algorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

export async function* body(...chunks: (string | Uint8Array)[]): AsyncIterable<Buffer> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

/** POST and PUT. @returns the digest */
export async function pushBlob(core: Repositories, name: string, content: string): Promise<string> {
  const digest = digestOf(content);
  const session = core.startUpload(name, "sha256");
  await core.finishUpload(
    session,
    digest,
    { offsetBytes: 0, sizeBytes: Buffer.byteLength(content), bytes: body(content) },
    context(),
  );
  return digest;
}

export interface ImageParts {
  readonly config?: string;
  readonly layers?: readonly string[];
  readonly subject?: string;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An image manifest over contents; its blobs are not pushed. */
export function imageOf(parts: ImageParts = {}): Buffer {
  const descriptor = (mediaType: string, content: string) => ({
    mediaType,
    digest: digestOf(content),
    size: Buffer.byteLength(content),
  });
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      ...(parts.artifactType === undefined ? {} : { artifactType: parts.artifactType }),
      config: descriptor("application/vnd.oci.image.config.v1+json", parts.config ?? "{}"),
      layers: (parts.layers ?? []).map((layer) => descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)),
      ...(parts.subject === undefined
        ? {}
        : { subject: { mediaType: mediaTypes.ociManifest, digest: parts.subject, size: 100 } }),
      ...(parts.annotations === undefined ? {} : { annotations: parts.annotations }),
    }),
  );
}

/** Pushes the blobs, then the manifest. @returns the manifest's digest */
export async function pushImage(
  core: Repositories,
  name: string,
  tags: readonly string[],
  parts: ImageParts = {},
): Promise<string> {
  for (const content of [parts.config ?? "{}", ...(parts.layers ?? [])]) await pushBlob(core, name, content);
  return putImage(core, name, tags, imageOf(parts));
}

export async function putImage(
  core: Repositories,
  name: string,
  tags: readonly string[],
  bytes: Buffer,
): Promise<string> {
  const pushed = await core.putManifest(name, { bytes, contentType: mediaTypes.ociManifest, tags }, context());
  return pushed.digest;
}

export async function readAll(read: { readonly body: AsyncIterable<Buffer> } | undefined): Promise<string | undefined> {
  if (read === undefined) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of read.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
