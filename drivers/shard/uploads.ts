/**
 * Where an upload lies: on the shard of its id, or, where its first Open knew the key, on that of the key, with a pointer
 * on the shard of its id. So the id alone finds it, whatever a later Open knows, and one other shard is asked at most.
 */
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { invalidField } from "../../proto/keys.ts";
import type {
  BlobDriver,
  BlobInfo,
  CallContext,
  Page,
  Upload,
  UploadFacts,
  VerifiedCommit,
} from "../../server/contract.ts";
import type { KeyLocks } from "../composed/locks.ts";
import { type Member, mutating, reading } from "../composed/member.ts";
import { openPassed } from "../composed/passed-upload.ts";
import type { PrivateKeys } from "../composed/private-keys.ts";
import { mergePages } from "./merge.ts";
import { COPY, type Staging } from "./staging.ts";

export interface ShardUploadsOptions {
  readonly members: readonly Member[];
  /** By name: of a key, or of an upload id. */
  readonly memberOf: (what: string) => Member;
  readonly privateKeys: PrivateKeys;
  readonly staging: Staging;
  readonly locks: KeyLocks;
  readonly now: () => number;
}

/** What is known of an upload. */
interface Found {
  readonly home: Member;
  readonly upload: UploadFacts | undefined;
  /** A commit to another shard that was cut off. */
  readonly staged: BlobInfo | undefined;
  /** The shard of its id has a pointer. */
  readonly hasPointer: boolean;
}

export class ShardUploads {
  readonly #options: ShardUploadsOptions;

  constructor(options: ShardUploadsOptions) {
    this.#options = options;
  }

  async open(uploadId: string, how: Parameters<BlobDriver["open"]>[1], call: CallContext): Promise<Upload> {
    assertForeign(uploadId);
    let found = await this.#settled(uploadId, call);
    if (found.isThere) {
      try {
        return await this.#openAt(found.home, uploadId, { ...how, create: false }, call);
      } catch (error) {
        if (!hasReason(error, "UPLOAD_NOT_FOUND")) throw error;
      }
      // It waited for a commit under way [blob.append.20], which may have ended behind its staging.
      found = await this.#settled(uploadId, call);
    }
    if (found.isThere) return this.#openAt(found.home, uploadId, how, call);
    if (!how.create) throw unknown(uploadId);
    return this.#openAt(await this.#newHome(uploadId, how.key, found.hasPointer, call), uploadId, how, call);
  }

  /** Where the upload is, once no commit of it is left half done. */
  async #settled(uploadId: string, call: CallContext) {
    const { home, upload, staged, hasPointer } = await this.#find(uploadId, call);
    const isThere = staged === undefined ? upload !== undefined : await this.#options.staging.finish(home, uploadId);
    return { home, isThere, hasPointer };
  }

  #openAt(home: Member, uploadId: string, how: Parameters<BlobDriver["open"]>[1], call: CallContext): Promise<Upload> {
    const { key, ...rest } = how;
    // A home that is not the key's will commit under another: a store of objects opens the key itself, and holds to it.
    const passed = key !== undefined && this.#options.memberOf(key) === home ? how : rest;
    return openPassed(home, uploadId, passed, call, (target, commitCall, passOn) =>
      this.#commit(home, uploadId, target, commitCall, passOn),
    );
  }

  async #newHome(uploadId: string, key: string | undefined, hasPointer: boolean, call: CallContext): Promise<Member> {
    const { memberOf } = this.#options;
    const own = memberOf(uploadId);
    const home = key === undefined ? own : memberOf(key);
    // Before there is anything that only the pointer leads to.
    if (home !== own) await own.putValue(this.#pointer(uploadId), { home: home.name }, mutating(call));
    else if (hasPointer) await this.#dropPointer(uploadId, call);
    return home;
  }

  async #commit(
    home: Member,
    uploadId: string,
    target: VerifiedCommit,
    call: CallContext,
    passOn: Parameters<Staging["commit"]>[4],
  ) {
    const { memberOf, staging, locks } = this.#options;
    const committed = await locks.during([target.key], () =>
      memberOf(target.key) === home ? passOn(target) : staging.commit(home, uploadId, target, call, passOn),
    );
    // Without its upload a pointer leads nowhere: nobody waits for it to go, and what stays expires.
    if (memberOf(uploadId) !== home)
      await this.#dropPointer(uploadId, call).catch((err) =>
        call.log.info({ err, uploadId }, "a pointer stays behind"),
      );
    return committed;
  }

  async abort(uploadId: string, call: CallContext, ifIdleMs?: number): Promise<void> {
    assertForeign(uploadId);
    const { memberOf, staging } = this.#options;
    const { home, hasPointer } = await this.#find(uploadId, call);
    call.assertInTime();
    // Also where none was seen: one that is being opened has to end [blob.abort.03].
    await home.abortUpload(uploadId, mutating(call), ifIdleMs);
    // Asked now: a commit that came before the abort has staged what was there.
    if ((await staging.staged(home, uploadId)) !== undefined) await staging.forget(home, uploadId);
    if (home !== memberOf(uploadId)) await memberOf(uploadId).abortUpload(uploadId, mutating(call), ifIdleMs);
    if (hasPointer) await this.#dropPointer(uploadId, call);
  }

  async list(
    { uploadId, ...request }: { readonly startAfter: string; readonly limit: number; readonly uploadId?: string },
    call: CallContext,
  ): Promise<Page<UploadFacts>> {
    if (uploadId === undefined) return this.#list(request, call);
    if (isOwn(uploadId)) return { items: [], more: false };
    const { upload, staged } = await this.#find(uploadId, call);
    if (staged === undefined) return { items: upload === undefined ? [] : [upload], more: false };
    const idleMs = Math.max(0, this.#options.now() - staged.modifiedMs);
    return { items: [{ uploadId, persistedBytes: staged.sizeBytes, idleMs }], more: false };
  }

  async #list(request: { readonly startAfter: string; readonly limit: number }, call: CallContext) {
    let { startAfter } = request;
    for (;;) {
      const pages = await Promise.all(
        this.#options.members.map((member) => member.listUploads({ ...request, startAfter }, reading(call))),
      );
      const merged = mergePages(pages, request.limit, ({ uploadId }) => uploadId);
      const items = merged.items.filter(({ uploadId }) => !isOwn(uploadId));
      const last = merged.items.at(-1);
      if (items.length > 0 || !merged.more || last === undefined) return { items, more: merged.more };
      startAfter = last.uploadId;
    }
  }

  /** What the commits and Opens of dead processes left behind, of uploads that are no more. */
  async expire(ttlMs: number, call: CallContext): Promise<void> {
    const { members, staging } = this.#options;
    for (const member of members.filter(({ isReady }) => isReady)) {
      await staging.expire(member, ttlMs, async (key) => {
        const { upload, staged } = await this.#find(key.slice(key.lastIndexOf("/") + 1), call);
        return upload !== undefined || staged !== undefined;
      });
    }
  }

  /** @throws BACKEND_DOWN naming the shard that might have it and does not answer */
  async #find(uploadId: string, call: CallContext): Promise<Found> {
    const { memberOf, members } = this.#options;
    const own = memberOf(uploadId);
    const [here, pointer] = await Promise.all([
      this.#look(own, uploadId, call),
      own.getValue(this.#pointer(uploadId), reading(call)),
    ]);
    const hasPointer = pointer !== undefined;
    const home = pointer && members.find(({ name }) => name === readPointer(pointer.text));
    if (home === undefined || home === own || here.staged !== undefined) return { ...here, hasPointer };
    const { upload, staged } = await this.#look(home, uploadId, call);
    // A pointer that came late, from a process that died, leads nowhere.
    const isThere = upload !== undefined || staged !== undefined || here.upload === undefined;
    return isThere ? { home, upload, staged, hasPointer } : { ...here, hasPointer };
  }

  async #look(home: Member, uploadId: string, call: CallContext) {
    // In this order: a commit between the two is seen as what it has staged.
    const upload = await home.getUpload(uploadId, reading(call));
    return { home, upload, staged: await this.#options.staging.staged(home, uploadId) };
  }

  #pointer(uploadId: string): string {
    return `${this.#options.privateKeys.prefix}pointers/${uploadId}`;
  }

  async #dropPointer(uploadId: string, call: CallContext): Promise<void> {
    await this.#options.memberOf(uploadId).delete(this.#pointer(uploadId), mutating(call));
  }
}

function readPointer(text: string): string | undefined {
  try {
    const { home } = JSON.parse(text) as { home: unknown };
    return typeof home === "string" ? home : undefined;
  } catch {
    return undefined;
  }
}

function isOwn(uploadId: string): boolean {
  return uploadId.startsWith(COPY);
}

function assertForeign(uploadId: string): void {
  if (isOwn(uploadId)) throw invalidField("upload_id", `what begins with ${COPY} is this driver's own`);
}

function unknown(uploadId: string): OutriggerError {
  return new OutriggerError("UPLOAD_NOT_FOUND", `there is no upload ${uploadId}`);
}
