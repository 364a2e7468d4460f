/**
 * The blob store of a core while blobs are moved from one store to another: two stores that look like one. Blobs are
 * looked for in both and written to one of them, `from` in phase read, `to` in phase write; what is deleted leaves a mark
 * (tombstones.ts). A core that does neither sees one store through it.
 */
import type {
  AppendRequest,
  AppendResult,
  BlobInfo,
  BlobRead,
  BlobStore,
  CallOptions,
  Condition,
  Page,
  PageRequest,
  StoreFacts,
  UploadInfo,
} from "../../client/contract.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { mergePages } from "../merge-pages.ts";
import { assertCopied } from "./copy-blob.ts";
import type { Tombstones } from "./tombstones.ts";

/** Where blobs lie at one moment. The stores are the drivers' own, not ones that follow an exchange. */
export interface Place {
  /** What the registry's blob store is known as: its id, and what it claims. */
  facts(): StoreFacts;
  /** Written to, and asked first. */
  readonly first: BlobStore;
  readonly second: BlobStore | undefined;
  /** Stores whose blobs must be in `first` too before they are relied on: what is committed there is copied at once. */
  readonly leaving: ReadonlySet<string>;
  readonly tombstones: Tombstones | undefined;
}

export class MovingBlobs implements BlobStore {
  readonly #place: () => Place;
  /** Uploads that began on this store end on it. */
  readonly #uploads: BlobStore | undefined;

  constructor(place: () => Place, uploads?: BlobStore) {
    this.#place = place;
    this.#uploads = uploads;
  }

  get facts(): StoreFacts {
    return this.#place().facts();
  }

  async stat(keys: readonly string[], options?: CallOptions): Promise<(BlobInfo | undefined)[]> {
    const { first, second, tombstones } = this.#place();
    if (second === undefined) return first.stat(keys, options);
    // What is marked may be a copier's, about to be taken away again: nobody may come to rely on it.
    const marked = tombstones?.marked(keys, options) ?? new Set<string>();
    const [found, deleted] = await Promise.all([statBoth(first, second, keys, options), marked]);
    return found.map((info) => (info !== undefined && deleted.has(info.key) ? undefined : info));
  }

  read(
    key: string,
    range?: { offsetBytes?: number; limitBytes?: number; ifEtag?: string },
    options?: CallOptions,
  ): Promise<BlobRead> {
    return this.#eitherHas((store) => store.read(key, range, options), options);
  }

  async put(
    key: string,
    data: Uint8Array,
    how?: { digest?: string; condition?: Condition; once?: boolean },
    options?: CallOptions,
  ): Promise<BlobInfo> {
    const { tombstones, first } = this.#place();
    await tombstones?.clear(key, options);
    // No upload is needed for it: it goes where blobs are written now.
    const info = await first.put(key, data, how, options).catch(async (error: unknown) => {
      // There already, and about to be relied on.
      if (hasReason(error, "KEY_EXISTS")) await this.#settle(first, key, how?.digest, options);
      throw error;
    });
    await this.#settle(first, key, how?.digest, options);
    return info;
  }

  async append(request: AppendRequest, options?: CallOptions): Promise<AppendResult> {
    const { tombstones, first } = this.#place();
    const { commit } = request;
    if (commit !== undefined) await tombstones?.clear(commit.key, options);
    const store = this.#uploads ?? first;
    const result = await store.append(request, options);
    if (commit !== undefined) await this.#settle(store, commit.key, result.committed?.digest ?? commit.digest, options);
    return result;
  }

  async getUpload(uploadId: string, options?: CallOptions): Promise<UploadInfo | undefined> {
    if (this.#uploads !== undefined) return this.#uploads.getUpload(uploadId, options);
    const { first, second } = this.#place();
    return (await first.getUpload(uploadId, options)) ?? (await second?.getUpload(uploadId, options));
  }

  async listUploads(
    request: { startAfter?: string; limit?: number },
    options?: CallOptions,
  ): Promise<Page<UploadInfo>> {
    const { first, second } = this.#place();
    if (second === undefined) return first.listUploads(request, options);
    const pages = await Promise.all([first, second].map((store) => store.listUploads(request, options)));
    return mergePages(pages, ({ uploadId }) => uploadId, request.limit);
  }

  async abortUpload(uploadId: string, how?: { ifIdleMs?: number }, options?: CallOptions): Promise<void> {
    if (this.#uploads !== undefined) return this.#uploads.abortUpload(uploadId, how, options);
    const { first, second } = this.#place();
    await first.abortUpload(uploadId, how, options);
    await second?.abortUpload(uploadId, how, options);
  }

  async move(source: string, destination: string, options?: CallOptions): Promise<BlobInfo> {
    const { first, second } = this.#place();
    if (second === undefined) return first.move(source, destination, options);
    await assertCopied(second, first, source, undefined, options);
    const info = await first.move(source, destination, options);
    await second.delete([source], options);
    return info;
  }

  async delete(keys: readonly string[], options?: CallOptions): Promise<void> {
    const { first, second, tombstones } = this.#place();
    if (second === undefined) return first.delete(keys, options);
    await tombstones?.mark(keys, options);
    // The one that is copied from goes first: what a copier has read by then it will find marked.
    const failures = await Promise.allSettled([second, first].map((store) => store.delete(keys, options)));
    for (const failure of failures) if (failure.status === "rejected") throw failure.reason;
  }

  async list(request: PageRequest, options?: CallOptions): Promise<Page<BlobInfo>> {
    const { first, second } = this.#place();
    if (second === undefined) return first.list(request, options);
    const pages = await Promise.all([first, second].map((store) => store.list(request, options)));
    return mergePages(pages, ({ key }) => key, request.limit);
  }

  async count(prefix: string, options?: CallOptions): Promise<{ count: number; exact: boolean }> {
    const { first, second } = this.#place();
    if (second === undefined) return first.count(prefix, options);
    const counts = await Promise.all([first, second].map((store) => store.count(prefix, options)));
    // How many lie in both nobody counts.
    return { count: Math.max(...counts.map(({ count }) => count)), exact: false };
  }

  async signUrl(
    key: string,
    ttlMs: number,
    options?: CallOptions,
  ): Promise<{ url: string; expiresMs: number } | undefined> {
    const { first, second } = this.#place();
    if (second === undefined) return first.signUrl(key, ttlMs, options);
    for (const store of [first, second]) {
      // Signing asks nobody whether the blob is there.
      const [info] = await store.stat([key], options);
      if (info !== undefined) return store.signUrl(key, ttlMs, options);
    }
    throw new OutriggerError("KEY_NOT_FOUND", `there is no ${key}`);
  }

  /** By the place as it is now, which may have changed since the bytes were sent. */
  async #settle(store: BlobStore, key: string, digest: string | undefined, options: CallOptions | undefined) {
    const { first, leaving, tombstones } = this.#place();
    if (store !== first && leaving.has(store.facts.id)) await assertCopied(store, first, key, digest, options);
    if (tombstones === undefined || !(await tombstones.marked([key], options)).has(key)) return;
    // Deleted since this began. Whoever did that has looked at what relies on the bytes; only a copier has not.
    await tombstones.clear(key, options);
    const [info] = await first.stat([key], options);
    if (info === undefined) throw new OutriggerError("UPLOAD_LOST", `${key} was deleted as it was written`);
  }

  async #eitherHas<Result>(
    ask: (store: BlobStore) => Promise<Result>,
    options: CallOptions | undefined,
  ): Promise<Result> {
    const { first, second } = this.#place();
    if (second === undefined) return ask(first);
    let failure: unknown;
    try {
      return await ask(first);
    } catch (error) {
      options?.signal?.throwIfAborted();
      failure = error;
    }
    try {
      return await ask(second);
    } catch (error) {
      // "Not there" is true only where both have said so.
      throw hasReason(failure, "KEY_NOT_FOUND") ? error : failure;
    }
  }
}

async function statBoth(
  first: BlobStore,
  second: BlobStore,
  keys: readonly string[],
  options: CallOptions | undefined,
): Promise<(BlobInfo | undefined)[]> {
  let failure: { readonly error: unknown } | undefined;
  const found = await first.stat(keys, options).catch((error: unknown): (BlobInfo | undefined)[] => {
    options?.signal?.throwIfAborted();
    failure = { error };
    return keys.map(() => undefined);
  });
  const missing = keys.filter((_, index) => found[index] === undefined);
  if (missing.length === 0) return found;
  const others = new Map((await second.stat(missing, options)).map((info) => [info?.key, info]));
  const merged = keys.map((key, index) => found[index] ?? others.get(key));
  if (failure !== undefined && merged.includes(undefined)) throw failure.error;
  return merged;
}
