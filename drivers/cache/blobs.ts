/** The cache's blob store: every change and every question goes to the slow store; only bytes come from the fast one. */
import { OutriggerError } from "../../proto/errors.ts";
import type {
  BlobDriver,
  BlobInfo,
  CallContext,
  Condition,
  Page,
  PageRequest,
  StoreFacts,
  Upload,
  UploadFacts,
} from "../../server/contract.ts";
import { counted } from "../../server/count.ts";
import { type Member, mutating, reading } from "../composed/member.ts";
import { openPassed } from "../composed/passed-upload.ts";
import type { PrivateKeys } from "../composed/private-keys.ts";
import type { Range, Reads } from "./reads.ts";

export interface CacheBlobsOptions {
  readonly facts: StoreFacts;
  readonly slow: Member;
  readonly reads: Reads;
  readonly privateKeys: PrivateKeys;
}

export class CacheBlobs implements BlobDriver {
  readonly facts: StoreFacts;
  readonly #options: CacheBlobsOptions;

  constructor(options: CacheBlobsOptions) {
    this.facts = options.facts;
    this.#options = options;
  }

  async check(): Promise<void> {
    const { slow } = this.#options;
    if (!slow.isReady) throw new OutriggerError("BACKEND_DOWN", `${slow.who} is not usable: ${slow.problem}`);
  }

  async stat(keys: readonly string[], call: CallContext): Promise<readonly (BlobInfo | undefined)[]> {
    for (const key of keys) this.#options.privateKeys.assertNot(key);
    return this.#options.slow.stat(keys, reading(call));
  }

  async read(key: string, range: Range, call: CallContext) {
    this.#options.privateKeys.assertNot(key);
    return this.#options.reads.read(key, range, call);
  }

  list(request: PageRequest, call: CallContext): Promise<Page<BlobInfo>> {
    const { slow, privateKeys } = this.#options;
    return privateKeys.without((asked) => slow.list(asked, reading(call)), request);
  }

  count(prefix: string, call: CallContext): Promise<{ readonly count: number; readonly exact: boolean }> {
    const { slow, privateKeys } = this.#options;
    return privateKeys.meets(prefix) ? counted(this, prefix, call) : slow.count(prefix, reading(call));
  }

  async delete(key: string, call: CallContext): Promise<void> {
    await this.#changing([key], call, () => this.#options.slow.delete(key, mutating(call)));
  }

  put(key: string, data: Uint8Array, condition: Condition | undefined, call: CallContext): Promise<BlobInfo> {
    const how = condition === undefined ? {} : { condition };
    return this.#changing([key], call, () => this.#options.slow.put(key, data, how, mutating(call)));
  }

  move(source: string, destination: string, call: CallContext): Promise<BlobInfo> {
    return this.#changing([source, destination], call, () =>
      this.#options.slow.move(source, destination, mutating(call)),
    );
  }

  open(uploadId: string, options: Parameters<BlobDriver["open"]>[1], call: CallContext): Promise<Upload> {
    const { slow } = this.#options;
    return openPassed(slow, uploadId, options, call, (target, commitCall, passOn) =>
      this.#changing([target.key], commitCall, () => passOn(target)),
    );
  }

  abort(uploadId: string, call: CallContext, ifIdleMs?: number): Promise<void> {
    return this.#options.slow.abortUpload(uploadId, mutating(call), ifIdleMs);
  }

  async listUploads(
    { uploadId, ...request }: { readonly startAfter: string; readonly limit: number; readonly uploadId?: string },
    call: CallContext,
  ): Promise<Page<UploadFacts>> {
    const { slow } = this.#options;
    if (uploadId === undefined) return slow.listUploads(request, reading(call));
    const upload = await slow.getUpload(uploadId, reading(call));
    return { items: upload === undefined ? [] : [upload], more: false };
  }

  signUrl(key: string, ttlMs: number, call: CallContext) {
    this.#options.privateKeys.assertNot(key);
    return this.#options.slow.signUrl(key, ttlMs, reading(call));
  }

  /** What the fast store holds of the keys is taken away before the change is acknowledged, and whatever became of it. */
  async #changing<Result>(keys: readonly string[], call: CallContext, change: () => Promise<Result>): Promise<Result> {
    const { privateKeys, reads } = this.#options;
    for (const key of keys) privateKeys.assertNot(key);
    call.assertInTime();
    try {
      return await change();
    } finally {
      await Promise.all(keys.map((key) => reads.forget(key)));
    }
  }
}
