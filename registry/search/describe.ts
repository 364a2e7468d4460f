/** Records from bytes: of a manifest, and of the config that it names. */
import { hasReason } from "../../proto/errors.ts";
import { algorithmOf, isDigest } from "../../proto/keys.ts";
import type { RequestContext } from "../repository/contract.ts";
import { type Core, collect, digestOfBytes } from "../repository/core.ts";
import { type CachedManifest, SMALL_BLOB_BYTES } from "../repository/digest-cache.ts";
import { blobKey } from "../repository/keys.ts";
import { type Json, listIn, objectIn, sizeIn, textIn, textsIn } from "./json.ts";
import type { ImageRecord, RecordBlob, RecordChild, RecordConfig, RecordHistory } from "./record.ts";

/** Configs of images: image-spec's, Docker's (schema 2). */
const CONFIG_TYPES: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
]);
/** Larger configs are taken for something else. */
const MAX_CONFIG_BYTES = 1024 * 1024;
/** An image has 127 layers; one with more steps than this is told without the rest. */
const MAX_HISTORY = 1000;

type Context = Pick<RequestContext, "signal" | "requestId">;

/** What is told of a manifest; a Read more when its config is not in memory. A config that is absent or damaged is left out. */
export async function describeImage(core: Core, stored: CachedManifest, context: Context): Promise<ImageRecord> {
  const record = describeManifest(stored);
  const { config } = record;
  if (config === undefined || !isImageConfig(config)) return record;
  const bytes = await readConfig(core, config.digest, context);
  const image = bytes === undefined ? undefined : describeConfig(bytes);
  return image === undefined ? record : { ...record, image };
}

export function isImageConfig(config: ImageRecord["config"]): boolean {
  return config !== undefined && CONFIG_TYPES.has(config.mediaType);
}

/** @returns `undefined`: not there, not its digest's, or far too large */
async function readConfig(core: Core, digest: string, context: Context): Promise<Buffer | undefined> {
  const held = core.cache.blob(digest);
  if (held !== undefined) return held;
  try {
    const read = await core.stores.blobs.read(blobKey(digest), { limitBytes: MAX_CONFIG_BYTES }, context);
    if (read.info.sizeBytes > MAX_CONFIG_BYTES) {
      await read.cancel();
      return undefined;
    }
    const bytes = await collect(read);
    if (digestOfBytes(bytes, algorithmOf(digest)) !== digest) return undefined;
    if (bytes.length <= SMALL_BLOB_BYTES) core.cache.keepBlob(digest, bytes);
    return bytes;
  } catch (error) {
    if (hasReason(error, "KEY_NOT_FOUND", "STORED_CORRUPT")) return undefined;
    throw error;
  }
}

/** All that the manifest itself says. Never refuses: it was accepted once. */
export function describeManifest({ bytes, manifest }: CachedManifest): ImageRecord {
  const json = parsed(bytes);
  const config = descriptorIn(json["config"]);
  const layers = [...listIn(json, "layers"), ...listIn(json, "blobs")].map(descriptorIn);
  const older = listIn(json, "fsLayers").map((entry) => ({ digest: textIn(entry, "blobSum") ?? "", sizeBytes: 0 }));
  return {
    mediaType: manifest.mediaType,
    sizeBytes: bytes.length,
    ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
    ...(manifest.subject === undefined ? {} : { subject: manifest.subject }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
    ...(config === undefined ? {} : { config: { ...config, mediaType: textIn(json["config"], "mediaType") ?? "" } }),
    layers: [...layers, ...older].filter((layer): layer is RecordBlob => layer !== undefined && isDigest(layer.digest)),
    ...(Array.isArray(json["manifests"]) ? { manifests: childrenIn(json) } : {}),
  };
}

function childrenIn(json: Json): RecordChild[] {
  return listIn(json, "manifests").flatMap((entry) => {
    const descriptor = descriptorIn(entry);
    if (descriptor === undefined) return [];
    const platform = objectIn(entry)["platform"];
    const [os, arch, variant] = ["os", "architecture", "variant"].map((field) => textIn(platform, field));
    return [
      {
        ...descriptor,
        mediaType: textIn(entry, "mediaType") ?? "",
        ...(os === undefined ? {} : { os }),
        ...(arch === undefined ? {} : { arch }),
        ...(variant === undefined ? {} : { variant }),
      },
    ];
  });
}

function descriptorIn(value: unknown): RecordBlob | undefined {
  const digest = textIn(value, "digest");
  return digest === undefined || !isDigest(digest) ? undefined : { digest, sizeBytes: sizeIn(value, "size") };
}

/** `undefined`: not a JSON object. (image-spec 1.1, "OCI Image Configuration".) */
export function describeConfig(bytes: Buffer): RecordConfig | undefined {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
  const optional = {
    variant: textIn(json, "variant"),
    osVersion: textIn(json, "os.version"),
    created: textIn(json, "created"),
    author: textIn(json, "author"),
    labels: textsIn(objectIn(json)["config"], "Labels"),
    history: historyIn(json),
  };
  return {
    os: textIn(json, "os") ?? "",
    arch: textIn(json, "architecture") ?? "",
    ...withoutAbsent(optional),
  };
}

function historyIn(json: object): RecordHistory[] | undefined {
  const steps = listIn(json, "history").slice(0, MAX_HISTORY);
  const history = steps.map((entry) =>
    withoutAbsent({
      created: textIn(entry, "created"),
      createdBy: textIn(entry, "created_by"),
      author: textIn(entry, "author"),
      comment: textIn(entry, "comment"),
      emptyLayer: objectIn(entry)["empty_layer"] === true ? true : undefined,
    }),
  );
  return history.length === 0 ? undefined : history;
}

type Present<Fields> = { readonly [Field in keyof Fields]?: Exclude<Fields[Field], undefined> };

function withoutAbsent<Fields extends object>(fields: Fields): Present<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<Fields>;
}

function parsed(bytes: Buffer): Json {
  try {
    return objectIn(JSON.parse(bytes.toString("utf8")));
  } catch {
    return {};
  }
}
