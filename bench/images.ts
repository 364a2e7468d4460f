/** Content to push: bytes that do not compress, the same for the same seed. */
import { createHash, randomBytes } from "node:crypto";

export interface BenchBlob {
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface BenchImage {
  readonly manifest: BenchBlob;
  readonly mediaType: string;
  readonly config: BenchBlob;
  readonly layers: readonly BenchBlob[];
}

export function blobOf(bytes: Buffer): BenchBlob {
  return { digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`, bytes };
}

/** An OCI image of `layers` fresh random layers. */
export function makeImage(layers: number, layerBytes: number): BenchImage {
  const layerBlobs = Array.from({ length: layers }, () => blobOf(randomBytes(layerBytes)));
  const config = blobOf(
    Buffer.from(
      JSON.stringify({
        architecture: "amd64",
        os: "linux",
        rootfs: { type: "layers", diff_ids: layerBlobs.map((layer) => layer.digest) },
      }),
    ),
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = blobOf(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: {
          mediaType: "application/vnd.oci.image.config.v1+json",
          digest: config.digest,
          size: config.bytes.length,
        },
        layers: layerBlobs.map((layer) => ({
          mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
          digest: layer.digest,
          size: layer.bytes.length,
        })),
      }),
    ),
  );
  return { manifest, mediaType, config, layers: layerBlobs };
}

const PIECE = randomBytes(1024 * 1024);

/** A large blob as 1 MiB pieces: numbered, so that no two pieces are alike, without holding it in memory. */
export function largeBlob(
  sizeBytes: number,
  seed: number,
): { digest: string; lengthBytes: number; of: () => Iterable<Buffer> } {
  function* of(): Iterable<Buffer> {
    for (let at = 0; at < sizeBytes; at += PIECE.length) {
      const piece = Buffer.from(PIECE.subarray(0, Math.min(PIECE.length, sizeBytes - at)));
      piece.writeUInt32LE(seed, 0);
      piece.writeUInt32LE(at / PIECE.length, 4);
      yield piece;
    }
  }
  const hash = createHash("sha256");
  for (const piece of of()) hash.update(piece);
  return { digest: `sha256:${hash.digest("hex")}`, lengthBytes: sizeBytes, of };
}
