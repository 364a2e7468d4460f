/**
 * `Repositories` in memory, with the rules that HTTP relies on: what is acknowledged is there, uploads keep what came before
 * an error of their body, offsets are checked. `faults` makes the next call of a method fail.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BlobRead } from "../../../client/contract.ts";
import { algorithmOf } from "../../../proto/keys.ts";
import { RegistryError } from "../../../registry/errors.ts";
import type {
  Descriptor,
  Listing,
  ManifestFound,
  Reference,
  Repositories,
  UploadSession,
} from "../../../registry/repository/contract.ts";
import { assertName } from "../../../registry/repository/names.ts";

interface Repository {
  readonly blobs: Set<string>;
  readonly manifests: Map<string, { mediaType: string; subject?: string; artifactType?: string }>;
  readonly tags: Map<string, string>;
}

export interface FakeRepositories extends Repositories {
  readonly bytes: Map<string, Buffer>;
  readonly repositories: Map<string, Repository>;
  /** Bytes of uploads that are not finished. */
  readonly uploads: Map<string, Buffer>;
  /** By method: thrown by its next call. */
  readonly faults: Map<keyof Repositories, unknown>;
  /** Every call, in order. */
  readonly calls: (keyof Repositories)[];
  /** Called with the bytes that an upload now holds. */
  onReceived: (id: string, sizeBytes: number) => void;
  /** Blobs are answered by descriptor, as with LOCAL_FILE. */
  asFiles(): void;
  /** Descriptors that were opened and not closed. */
  openFiles(): number;
  cleanUp(): Promise<void>;
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export function digestOf(bytes: Uint8Array, algorithm: string): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

export function fakeRepositories(): FakeRepositories {
  const bytes = new Map<string, Buffer>();
  const repositories = new Map<string, Repository>();
  const uploads = new Map<string, Buffer>();
  const cancelled = new Set<string>();
  const faults = new Map<keyof Repositories, unknown>();
  const calls: (keyof Repositories)[] = [];
  let folder: string | undefined;
  let openFiles = 0;

  const enter = (method: keyof Repositories, name?: string) => {
    calls.push(method);
    if (name !== undefined) assertName(name);
    if (!faults.has(method)) return;
    const fault = faults.get(method);
    faults.delete(method);
    throw fault;
  };
  const repository = (name: string): Repository => {
    const found = repositories.get(name) ?? { blobs: new Set(), manifests: new Map(), tags: new Map() };
    repositories.set(name, found);
    return found;
  };
  const page = (names: readonly string[], last: string, limit: number): Listing => {
    const rest = [...names].sort().filter((name) => name > last);
    return { names: rest.slice(0, limit), more: rest.length > limit };
  };
  const find = (name: string, reference: Reference): ManifestFound | undefined => {
    const repo = repositories.get(name);
    const digest = "digest" in reference ? reference.digest : repo?.tags.get(reference.tag);
    const manifest = digest === undefined ? undefined : repo?.manifests.get(digest);
    const held = digest === undefined ? undefined : bytes.get(digest);
    if (!manifest || !held || digest === undefined) return undefined;
    return { digest, sizeBytes: held.length, mediaType: manifest.mediaType, bytes: held };
  };
  const append = async (session: UploadSession, offset: number, body: AsyncIterable<Uint8Array>): Promise<Buffer> => {
    if (cancelled.has(session.id)) throw new RegistryError("BLOB_UPLOAD_UNKNOWN", "the upload was cancelled");
    let held = uploads.get(session.id) ?? Buffer.alloc(0);
    if (offset !== held.length) throw new RegistryError("RANGE_INVALID", "the upload is elsewhere");
    const size = () => held.length;
    try {
      for await (const chunk of body) {
        held = Buffer.concat([held, chunk]);
        fake.onReceived(session.id, size());
      }
    } finally {
      uploads.set(session.id, held);
    }
    return held;
  };

  const fake: FakeRepositories = {
    bytes,
    repositories,
    uploads,
    faults,
    calls,
    onReceived: () => {},
    asFiles() {
      folder = mkdtempSync(join(tmpdir(), "outrigger-fake-"));
    },
    openFiles: () => openFiles,
    async cleanUp() {
      if (folder !== undefined) await rm(folder, { recursive: true });
    },
    search: {
      async view() {
        throw new Error("these repositories have no search");
      },
    },
    async statBlob(name, digest) {
      enter("statBlob", name);
      const held = repositories.get(name)?.blobs.has(digest) ? bytes.get(digest) : undefined;
      return held && { digest, sizeBytes: held.length };
    },
    async readBlob(name, digest, range) {
      enter("readBlob", name);
      const held = repositories.get(name)?.blobs.has(digest) ? bytes.get(digest) : undefined;
      if (!held) return undefined;
      const startBytes = range?.offsetBytes ?? 0;
      const lengthBytes = Math.min(range?.limitBytes ?? Number.POSITIVE_INFINITY, held.length - startBytes);
      const info = { key: digest, sizeBytes: held.length, etag: "e", modifiedMs: 0, digests: [digest] };
      const part = held.subarray(startBytes, startBytes + lengthBytes);
      const read: BlobRead = { info, startBytes, lengthBytes, body: inChunks(part), cancel: async () => {} };
      if (folder === undefined) return read;
      const path = join(folder, digest.replace(":", "-"));
      await writeFile(path, held);
      const handle = await open(path, "r");
      openFiles += 1;
      const close = async () => {
        await handle.close();
        openFiles -= 1;
      };
      return { ...read, file: { fd: handle.fd, close } };
    },
    async statManifest(name, reference) {
      enter("statManifest", name);
      return find(name, reference);
    },
    async getManifest(name, reference) {
      enter("getManifest", name);
      return find(name, reference);
    },
    async listTags(name, { last, limit }) {
      enter("listTags", name);
      const repo = repositories.get(name);
      return repo && page([...repo.tags.keys()], last, limit);
    },
    async listRepositories({ last, limit }) {
      enter("listRepositories");
      return page([...repositories.keys()], last, limit);
    },
    async listReferrers(name, subject, { artifactType, last, limit }) {
      enter("listReferrers", name);
      const all: Descriptor[] = [...(repositories.get(name)?.manifests ?? [])]
        .filter(([, manifest]) => manifest.subject === subject)
        .filter(([, manifest]) => artifactType === undefined || manifest.artifactType === artifactType)
        .map(([digest, { mediaType, artifactType: type }]) => ({
          mediaType,
          digest,
          size: bytes.get(digest)?.length ?? 0,
          ...(type === undefined ? {} : { artifactType: type }),
        }))
        .sort((left, right) => (left.digest < right.digest ? -1 : 1))
        .filter(({ digest }) => digest > last);
      return { manifests: all.slice(0, limit), more: all.length > limit };
    },
    startUpload(name, algorithm) {
      enter("startUpload", name);
      return {
        id: randomUUID(),
        repository: name,
        storeId: randomUUID(),
        algorithm,
        offsetBytes: 0,
        startedMs: Date.now(),
      };
    },
    async appendUpload(session, body) {
      enter("appendUpload", session.repository);
      const held = await append(session, body.offsetBytes, body.bytes);
      return { ...session, offsetBytes: held.length };
    },
    async finishUpload(session, digest, body) {
      enter("finishUpload", session.repository);
      const held = await append(session, body.offsetBytes, body.bytes);
      uploads.delete(session.id);
      if (digestOf(held, algorithmOf(digest)) !== digest)
        throw new RegistryError("DIGEST_INVALID", "the bytes have another digest");
      bytes.set(digest, held);
      repository(session.repository).blobs.add(digest);
      return { digest, sizeBytes: held.length };
    },
    async uploadProgress(session) {
      enter("uploadProgress", session.repository);
      const held = uploads.get(session.id);
      if (cancelled.has(session.id) || (!held && session.offsetBytes > 0))
        throw new RegistryError("BLOB_UPLOAD_UNKNOWN", "there is no such upload");
      return { ...session, offsetBytes: held?.length ?? 0 };
    },
    async cancelUpload(session) {
      enter("cancelUpload", session.repository);
      if (cancelled.has(session.id)) throw new RegistryError("BLOB_UPLOAD_UNKNOWN", "the upload was cancelled");
      cancelled.add(session.id);
      uploads.delete(session.id);
    },
    async mountBlob(name, digest, { from, mayRead }) {
      enter("mountBlob", name);
      for (const [source, repo] of repositories) {
        if ((from === undefined ? !mayRead(source) : from !== source) || !repo.blobs.has(digest)) continue;
        repository(name).blobs.add(digest);
        return { digest, sizeBytes: bytes.get(digest)?.length ?? 0 };
      }
      return undefined;
    },
    async putManifest(name, manifest) {
      enter("putManifest", name);
      let parsed: { subject?: { digest: string }; artifactType?: string };
      try {
        parsed = JSON.parse(manifest.bytes.toString());
      } catch (error) {
        throw new RegistryError("MANIFEST_INVALID", "not JSON", { cause: error });
      }
      const algorithm = manifest.digest === undefined ? "sha256" : algorithmOf(manifest.digest);
      const digest = digestOf(manifest.bytes, algorithm);
      if (manifest.digest !== undefined && manifest.digest !== digest)
        throw new RegistryError("DIGEST_INVALID", "another digest");
      const repo = repository(name);
      bytes.set(digest, manifest.bytes);
      const subject = parsed.subject?.digest;
      repo.manifests.set(digest, {
        mediaType: manifest.contentType,
        ...(subject === undefined ? {} : { subject }),
        ...(parsed.artifactType === undefined ? {} : { artifactType: parsed.artifactType }),
      });
      for (const tag of manifest.tags) repo.tags.set(tag, digest);
      return { digest, tags: manifest.tags, ...(subject === undefined ? {} : { subject }) };
    },
    async deleteTag(name, tag) {
      enter("deleteTag", name);
      return repositories.get(name)?.tags.delete(tag) ?? false;
    },
    async deleteManifest(name, digest) {
      enter("deleteManifest", name);
      const repo = repositories.get(name);
      for (const [tag, named] of repo?.tags ?? []) if (named === digest) repo?.tags.delete(tag);
      return repo?.manifests.delete(digest) ?? false;
    },
    async deleteBlob(name, digest) {
      enter("deleteBlob", name);
      return repositories.get(name)?.blobs.delete(digest) ?? false;
    },
  };
  return fake;
}

async function* inChunks(part: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < part.length; at += 64 * 1024) yield part.subarray(at, at + 64 * 1024);
}
