/** Where an upload lies: on the shard of the key it was opened for, else on that of its id, until its commit. */
import { OutriggerError } from "../../proto/errors.ts";
import { invalidField } from "../../proto/keys.ts";
import type { BlobDriver, BlobInfo, CallContext, Page, Upload, UploadFacts, VerifiedCommit } from "../../server/contract.ts";
import { isDown } from "../composed/fault.ts";
import type { KeyLocks } from "../composed/locks.ts";
import { type Member, mutating, reading } from "../composed/member.ts";
import { openPassed } from "../composed/passed-upload.ts";
import { mergePages } from "./merge.ts";
import { COPY, type Staging } from "./staging.ts";

export interface ShardUploadsOptions {
  readonly members: readonly Member[];
  /** By name: of a key, or of an upload id. */
  readonly memberOf: (what: string) => Member;
  readonly staging: Staging;
  readonly locks: KeyLocks;
  readonly now: () => number;
}

/** What one shard has of an upload. */
interface Found {
  readonly member: Member;
  readonly upload: UploadFacts | undefined;
  /** A commit to another shard that was cut off. */
  readonly staged: BlobInfo | undefined;
}

export class ShardUploads {
  readonly #options: ShardUploadsOptions;

  constructor(options: ShardUploadsOptions) {
    this.#options = options;
  }

  async open(uploadId: string, how: Parameters<BlobDriver["open"]>[1], call: CallContext): Promise<Upload> {
    assertForeign(uploadId);
    const { memberOf } = this.#options;
    const likely = [...new Set([...(how.key === undefined ? [] : [memberOf(how.key)]), memberOf(uploadId)])];
    // With create, it lies on no other shard: nothing was ever acknowledged for it.
    const found = await this.#find(uploadId, likely, !how.create, call);
    let home = found?.member ?? likely[0] ?? memberOf(uploadId);
    if (found?.staged !== undefined) {
      const isBack = await this.#options.staging.finish(found.member, uploadId, found.staged, call);
      if (!isBack && !how.create) throw unknown(uploadId);
      if (!isBack) home = likely[0] ?? home;
    } else if (found === undefined && !how.create) throw unknown(uploadId);
    return openPassed(home, uploadId, how, call, (target, commitCall, passOn) =>
      this.#commit(home, uploadId, target, commitCall, passOn),
    );
  }

  #commit(
    home: Member,
    uploadId: string,
    target: VerifiedCommit,
    call: CallContext,
    passOn: Parameters<Staging["commit"]>[4],
  ) {
    const { memberOf, staging, locks } = this.#options;
    if (memberOf(target.key) === home) return passOn(target);
    return locks.during([target.key], () => staging.commit(home, uploadId, target, call, passOn));
  }

  async abort(uploadId: string, call: CallContext): Promise<void> {
    assertForeign(uploadId);
    const { memberOf, staging } = this.#options;
    const found = await this.#find(uploadId, [memberOf(uploadId)], true, call);
    if (found === undefined) return;
    call.assertInTime();
    await found.member.abortUpload(uploadId, mutating(call));
    if (found.staged !== undefined) await staging.forget(found.member, uploadId);
  }

  async list(
    { uploadId, ...request }: { readonly startAfter: string; readonly limit: number; readonly uploadId?: string },
    call: CallContext,
  ): Promise<Page<UploadFacts>> {
    if (uploadId === undefined) return this.#list(request, call);
    if (isOwn(uploadId)) return { items: [], more: false };
    const found = await this.#find(uploadId, [this.#options.memberOf(uploadId)], true, call);
    if (found === undefined) return { items: [], more: false };
    const { upload, staged } = found;
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

  /**
   * @param everywhere whether the shards that are not likely are asked too
   * @throws BACKEND_DOWN naming a shard that might have it and does not answer
   */
  async #find(
    uploadId: string,
    likely: readonly Member[],
    everywhere: boolean,
    call: CallContext,
  ): Promise<Found | undefined> {
    const first = await this.#look(uploadId, likely, call);
    if (first.found !== undefined) return first.found;
    const others = everywhere ? this.#options.members.filter((member) => !likely.includes(member)) : [];
    const second = await this.#look(uploadId, others, call);
    if (second.found !== undefined) return second.found;
    const failure = first.failure ?? second.failure;
    if (failure !== undefined) throw failure;
    return undefined;
  }

  async #look(uploadId: string, members: readonly Member[], call: CallContext) {
    let failure: unknown;
    const looks = await Promise.all(
      members.map(async (member): Promise<Found | undefined> => {
        try {
          const [upload, staged] = await Promise.all([
            member.getUpload(uploadId, reading(call)),
            this.#options.staging.staged(member, uploadId),
          ]);
          return { member, upload, staged };
        } catch (error) {
          if (!isDown(error)) throw error;
          failure ??= error;
          return undefined;
        }
      }),
    );
    const found =
      looks.find((look) => look?.staged !== undefined) ?? looks.find((look) => look?.upload !== undefined);
    return { found, failure };
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
