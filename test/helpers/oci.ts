/** Images made in code: bytes follow from a seed, so that what is pulled can be checked without keeping it. */
import { createCipheriv, createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

export const mediaTypes = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar+gzip",
  empty: "application/vnd.oci.empty.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
} as const;

export type Algorithm = "sha256" | "sha512";

const BLOCK_BYTES = 256 * 1024;
const CIPHER_BLOCK_BYTES = 16;

/** Bytes that can be read from anywhere, any number of times. */
export interface Content {
  readonly digest: string;
  readonly sizeBytes: number;
  /** From `from` (default 0) up to `to` (default the end). */
  read(from?: number, to?: number): Iterable<Buffer>;
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/** A few bytes, as they are. */
export function bytesContent(bytes: Buffer, algorithm: Algorithm = "sha256"): Content {
  return {
    digest: digestOf(bytes, algorithm),
    sizeBytes: bytes.length,
    *read(from = 0, to = bytes.length) {
      if (to > from) yield bytes.subarray(from, to);
    },
  };
}

/** Any number of bytes that look random: the key stream of AES-CTR, which can be entered anywhere. */
export function seededContent(seed: string, sizeBytes: number, algorithm: Algorithm = "sha256"): Content {
  const key = createHash("sha256").update(seed).digest();
  function* read(from = 0, to = sizeBytes): Generator<Buffer> {
    const firstBlock = Math.floor(from / CIPHER_BLOCK_BYTES);
    const counter = Buffer.alloc(CIPHER_BLOCK_BYTES);
    counter.writeUInt32BE(firstBlock, 12);
    const cipher = createCipheriv("aes-256-ctr", key, counter);
    cipher.update(Buffer.alloc(from - firstBlock * CIPHER_BLOCK_BYTES));
    for (let at = from; at < to; at += BLOCK_BYTES) {
      yield cipher.update(Buffer.alloc(Math.min(BLOCK_BYTES, to - at)));
    }
  }
  const hash = createHash(algorithm);
  for (const block of read()) hash.update(block);
  return { digest: `${algorithm}:${hash.digest("hex")}`, sizeBytes, read };
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly architecture: string; readonly os: string };
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Manifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
  readonly digest: string;
}

export interface Image {
  readonly manifest: Manifest;
  /** Config first, then layers. */
  readonly blobs: readonly Content[];
}

export function manifestOf(content: { readonly mediaType: string; readonly [field: string]: unknown }): Manifest {
  const bytes = Buffer.from(JSON.stringify(content));
  return { mediaType: content.mediaType, bytes, digest: digestOf(bytes) };
}

export function descriptorOf(content: Content, mediaType: string): Descriptor {
  return { mediaType, digest: content.digest, size: content.sizeBytes };
}

export interface ImageOptions {
  readonly seed: string;
  readonly layerBytes: readonly number[];
  readonly format?: "oci" | "docker";
  readonly architecture?: string;
  readonly raw?: boolean;
}

/** A layer that unpacks: one file of seeded bytes in a gzipped tar. Small ones only: it lies in memory. */
function tarLayer(seed: string, sizeBytes: number): { layer: Content; diffId: string } {
  const header = Buffer.alloc(512);
  header.write(`file-${digestOf(Buffer.from(seed)).slice(7, 15)}`, 0);
  header.write("0000644\0" + "0000000\0" + "0000000\0", 100);
  header.write(`${sizeBytes.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0        0", 136);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padding = Buffer.alloc(1024 + ((512 - (sizeBytes % 512)) % 512));
  const tar = Buffer.concat([header, ...seededContent(seed, sizeBytes).read(), padding]);
  return { layer: bytesContent(gzipSync(tar, { level: 1 })), diffId: digestOf(tar) };
}

/** One platform's image, with layers that unpack, or (`raw`) that only look like layers, of exactly these sizes. */
export function image(options: ImageOptions): Image {
  const docker = options.format === "docker";
  const made = options.layerBytes.map((size, index) => {
    if (!options.raw) return tarLayer(`${options.seed}/${index}`, size);
    const layer = seededContent(`${options.seed}/${index}`, size);
    return { layer, diffId: layer.digest };
  });
  const layers = made.map(({ layer }) => layer);
  const config = bytesContent(
    Buffer.from(
      JSON.stringify({
        architecture: options.architecture ?? "amd64",
        os: "linux",
        config: { Labels: { seed: options.seed } },
        rootfs: { type: "layers", diff_ids: made.map(({ diffId }) => diffId) },
      }),
    ),
  );
  const manifest = manifestOf({
    schemaVersion: 2,
    mediaType: docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest,
    config: descriptorOf(config, docker ? mediaTypes.dockerConfig : mediaTypes.ociConfig),
    layers: layers.map((layer) => descriptorOf(layer, docker ? mediaTypes.dockerLayer : mediaTypes.ociLayer)),
  });
  return { manifest, blobs: [config, ...layers] };
}

/** An index, or a Docker list where the images are Docker's. */
export function index(images: readonly Image[], architectures: readonly string[]): Manifest {
  const docker = images[0]?.manifest.mediaType === mediaTypes.dockerManifest;
  return manifestOf({
    schemaVersion: 2,
    mediaType: docker ? mediaTypes.dockerList : mediaTypes.ociIndex,
    manifests: images.map(({ manifest }, position) => ({
      mediaType: manifest.mediaType,
      digest: manifest.digest,
      size: manifest.bytes.length,
      platform: { architecture: architectures[position] ?? "amd64", os: "linux" },
    })),
  });
}

/** What oras pushes beside an image: an artifact manifest with a subject. */
export function artifact(subject: Manifest, artifactType: string, payload: Content): Image {
  const config = bytesContent(Buffer.from("{}"));
  const manifest = manifestOf({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType,
    config: descriptorOf(config, mediaTypes.empty),
    layers: [descriptorOf(payload, "application/octet-stream")],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.bytes.length },
    annotations: { "org.example.made-by": "test" },
  });
  return { manifest, blobs: [config, payload] };
}

/** Writes an OCI layout whose one entry is `entry`: an image's manifest, or an index beside its images. */
export function writeLayout(folder: string, entry: Manifest, images: readonly Image[]): void {
  mkdirSync(join(folder, "blobs/sha256"), { recursive: true });
  const write = (digest: string, bytes: Buffer) => writeFileSync(join(folder, "blobs/sha256", digest.slice(7)), bytes);
  for (const { manifest, blobs } of images) {
    write(manifest.digest, manifest.bytes);
    for (const blob of blobs) write(blob.digest, Buffer.concat([...blob.read()]));
  }
  write(entry.digest, entry.bytes);
  writeFileSync(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const listed = { mediaType: entry.mediaType, digest: entry.digest, size: entry.bytes.length };
  writeFileSync(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [listed] }));
}
