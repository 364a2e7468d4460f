/**
 * Manifests: OCI image manifests and indexes (image-spec 1.1), the artifact manifest that came before them, Docker
 * schema 2 manifests and lists, and any other JSON object that names its mediaType.
 */
import { isDigest } from "../../proto/keys.ts";
import { RegistryError } from "../errors.ts";

export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

export const mediaTypes = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociArtifact: "application/vnd.oci.artifact.manifest.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerSchema1: "application/vnd.docker.distribution.manifest.v1+json",
  dockerSchema1Signed: "application/vnd.docker.distribution.manifest.v1+prettyjws",
} as const;

const IMAGES: ReadonlySet<string> = new Set([mediaTypes.ociManifest, mediaTypes.dockerManifest]);
const INDEXES: ReadonlySet<string> = new Set([mediaTypes.ociIndex, mediaTypes.dockerList]);

/** Layers that may lie elsewhere (image-spec, "Non-Distributable Layers"; Docker's foreign layers). */
const ELSEWHERE =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.foreign\.diff\.tar(?:\.gzip)?)$/;

export interface Manifest {
  readonly mediaType: string;
  /** Blobs that must be in the repository, each once. */
  readonly blobs: readonly string[];
  /** Every blob it names, also those that may lie elsewhere. */
  readonly mentions: ReadonlySet<string>;
  /** Of an index: the manifests in it, which need not be in the repository; each once. */
  readonly children: readonly string[];
  readonly subject?: string;
  /** What the referrers listing shows: its own, else an image's config.mediaType. */
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * What a stored manifest is, as far as it can be told: never refuses, since it was accepted once, here or by another
 * registry.
 */
export function readManifest(bytes: Buffer): Manifest {
  try {
    return describe(parse(bytes), "");
  } catch {
    // Odd, but stored: whatever looks like a digest in it counts as mentioned, so that nothing it needs is taken away.
    const mentions = new Set(bytes.toString("latin1").match(/sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})/g) ?? []);
    return { mediaType: mediaTypeAtLeast(bytes), blobs: [], mentions, children: [] };
  }
}

function mediaTypeAtLeast(bytes: Buffer): string {
  try {
    return typeOf(parse(bytes), "");
  } catch {
    return "application/octet-stream";
  }
}

/**
 * A manifest that is being pushed.
 * @param contentType the request's, with or without parameters; "" if none was sent
 * @throws MANIFEST_INVALID
 */
export function checkManifest(bytes: Buffer, contentType: string): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new RegistryError("MANIFEST_INVALID", `a manifest has at most ${MAX_MANIFEST_BYTES} bytes`, { status: 413 });
  }
  const json = parse(bytes);
  const type = (contentType.split(";")[0] ?? "").trim().toLowerCase();
  const own = json["mediaType"];
  if (own !== undefined && (typeof own !== "string" || own === "")) throw invalid("mediaType is not a text");
  const manifest = describe(json, type);
  // Before the types are compared: which of schema 1's two it looks like helps nobody.
  if (manifest.mediaType === mediaTypes.dockerSchema1 || manifest.mediaType === mediaTypes.dockerSchema1Signed) {
    throw invalid("Docker schema 1 manifests are no longer accepted: push with a current client");
  }
  if (type !== "" && type !== manifest.mediaType.toLowerCase()) {
    throw invalid(
      `the Content-Type is ${type.slice(0, 255)}, but the manifest ${own === undefined ? "looks like" : "says"} ${manifest.mediaType.slice(0, 255)}`,
    );
  }
  const known = IMAGES.has(manifest.mediaType) || INDEXES.has(manifest.mediaType);
  if (known && json["schemaVersion"] !== 2) throw invalid("schemaVersion is not 2");
  checkShape(json, manifest.mediaType);
  return manifest;
}

function parse(bytes: Buffer): Json {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw new RegistryError("MANIFEST_INVALID", "the manifest is not JSON in UTF-8", { cause: error });
  }
  return objectOf(json, "the manifest");
}

function describe(json: Json, contentType: string): Manifest {
  const mediaType = typeOf(json, contentType);
  const required = new Set<string>();
  const mentions = new Set<string>();
  const descriptors: (readonly [string, Json])[] = [];
  if (json["config"] !== undefined && !INDEXES.has(mediaType)) {
    descriptors.push(["config", objectOf(json["config"], "config")]);
  }
  for (const field of ["layers", "blobs"]) {
    // Only in kinds where the field means blobs: in an unknown kind it may mean anything, but is taken at its word.
    if (json[field] === undefined || INDEXES.has(mediaType)) continue;
    for (const [index, entry] of arrayOf(json[field], field).entries()) {
      const where = `${field}[${index}]`;
      descriptors.push([where, objectOf(entry, where)]);
    }
  }
  const strict = IMAGES.has(mediaType) || mediaType === mediaTypes.ociArtifact;
  for (const [where, descriptor] of descriptors) {
    const digest = descriptor["digest"];
    if (!strict && typeof digest !== "string") continue;
    checkDescriptor(descriptor, where);
    mentions.add(String(digest));
    if (where === "config" || !isElsewhere(descriptor)) required.add(String(digest));
  }
  const children = new Set<string>();
  if (INDEXES.has(mediaType)) {
    for (const [index, entry] of arrayOf(json["manifests"] ?? [], "manifests").entries()) {
      const descriptor = objectOf(entry, `manifests[${index}]`);
      checkDescriptor(descriptor, `manifests[${index}]`);
      children.add(String(descriptor["digest"]));
    }
  }
  let subject: string | undefined;
  if (json["subject"] !== undefined && json["subject"] !== null) {
    const descriptor = objectOf(json["subject"], "subject");
    checkDescriptor(descriptor, "subject");
    subject = String(descriptor["digest"]);
  }
  const artifactType = artifactTypeOf(json, mediaType);
  const annotations = annotationsOf(json);
  return {
    mediaType,
    blobs: [...required],
    mentions,
    children: [...children],
    ...(subject === undefined ? {} : { subject }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** Its own word, else its shape (the OCI types may leave mediaType out); `asked` decides between types of one shape. */
function typeOf(json: Json, asked: string): string {
  const own = json["mediaType"];
  if (typeof own === "string" && own !== "") return own;
  if (json["schemaVersion"] === 1 && Array.isArray(json["fsLayers"])) {
    return Array.isArray(json["signatures"]) ? mediaTypes.dockerSchema1Signed : mediaTypes.dockerSchema1;
  }
  if (Array.isArray(json["manifests"])) return mediaTypes.ociIndex;
  if (json["config"] !== undefined && Array.isArray(json["layers"])) return mediaTypes.ociManifest;
  throw invalid(
    `the manifest has no mediaType, and does not look like an OCI image manifest or index${asked === "" ? "" : ` (Content-Type ${asked.slice(0, 255)})`}`,
  );
}

/** An image that is also an index, or the other way round, would mean different things to different clients (CVE-2021-41190). */
function checkShape(json: Json, mediaType: string): void {
  if (IMAGES.has(mediaType)) {
    if (json["manifests"] !== undefined) throw invalid("an image manifest has no manifests");
    if (json["fsLayers"] !== undefined) throw invalid("an image manifest has no fsLayers");
    if (json["config"] === undefined) throw invalid("an image manifest has a config");
    if (json["layers"] === undefined) throw invalid("an image manifest has layers");
  } else if (INDEXES.has(mediaType)) {
    for (const field of ["layers", "config", "fsLayers"]) {
      if (json[field] !== undefined) throw invalid(`an index has no ${field}`);
    }
    if (json["manifests"] === undefined) throw invalid("an index has manifests");
  }
}

function checkDescriptor(descriptor: Json, where: string): void {
  const { digest, size, mediaType } = descriptor as { digest?: unknown; size?: unknown; mediaType?: unknown };
  if (typeof digest !== "string" || !isDigest(digest)) {
    throw invalid(`${where}.digest is neither sha256:<64 hex> nor sha512:<128 hex>`);
  }
  if (!Number.isSafeInteger(size) || Number(size) < 0) throw invalid(`${where}.size is not a number of bytes`);
  if (mediaType !== undefined && typeof mediaType !== "string") throw invalid(`${where}.mediaType is not a text`);
}

function isElsewhere(descriptor: Json): boolean {
  const { mediaType, urls } = descriptor as { mediaType?: unknown; urls?: unknown };
  return typeof mediaType === "string" && ELSEWHERE.test(mediaType) && Array.isArray(urls) && urls.length > 0;
}

function artifactTypeOf(json: Json, mediaType: string): string | undefined {
  const own = json["artifactType"];
  if (typeof own === "string" && own !== "") return own;
  if (INDEXES.has(mediaType)) return undefined;
  const config = json["config"];
  const type = typeof config === "object" && config !== null ? (config as Json)["mediaType"] : undefined;
  return typeof type === "string" && type !== "" ? type : undefined;
}

function annotationsOf(json: Json): Readonly<Record<string, string>> | undefined {
  const own = json["annotations"];
  if (own === undefined || own === null) return undefined;
  const entries = Object.entries(objectOf(own, "annotations"));
  for (const [key, value] of entries) {
    if (typeof value !== "string") throw invalid(`annotation ${key.slice(0, 100)} is not a text`);
  }
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as Record<string, string>);
}

function objectOf(value: unknown, what: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(`${what} is not an object`);
  return value as Json;
}

function arrayOf(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${what} is not a list`);
  return value;
}

function invalid(message: string): RegistryError {
  return new RegistryError("MANIFEST_INVALID", message);
}
