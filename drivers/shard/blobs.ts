/** The shards' blob store: each key on the one shard that its hash names. */
import { randomUUID } from "node:crypto";
import { OutriggerError } from "../../proto/errors.ts";
import type {
  BlobBytes,
  BlobDriver,
  BlobInfo,
  CallContext,
  Condition,
  Page,
  PageRequest,
  StoreFacts,
} from "../../server/contract.ts";
import { counted } from "../../server/count.ts";
import { copyBlob } from "../composed/copy.ts";
import type { KeyLocks } from "../composed/locks.ts";
import { type Member, mutating, reading } from "../composed/member.ts";
import type { PrivateKeys } from "../composed/private-keys.ts";
import { mergePages } from "./merge.ts";
import { COPY } from "./staging.ts";
import type { ShardUploads } from "./uploads.ts";

export interface ShardBlobsOptions {
  readonly facts: StoreFacts;
  readonly members: readonly Member[];
  readonly memberOf: (key: string) => Member;
  readonly uploads: ShardUploads;
  readonly locks: KeyLocks;
  readonly privateKeys: PrivateKeys;
  readonly now: () => number;
}

/** Where a Move tells no time of its own. */
const MOVE_MS = 30_000;

export class ShardBlobs implements BlobDriver {
  readonly facts: StoreFacts;
  readonly #options: ShardBlobsOptions;

  constructor(options: ShardBlobsOptions) {
    this.facts = options.facts;
    this.#options = options;
  }

  get open(): BlobDriver["open"] {
    return (...asked) => this.#options.uploads.open(...asked);
  }

  get abort(): BlobDriver["abort"] {
    return (...asked) => this.#options.uploads.abort(...asked);
  }

  get listUploads(): BlobDriver["listUploads"] {
    return (...asked) => this.#options.uploads.list(...asked);
  }

  /** One that serves is enough: the others' keys fail by themselves. */
  async check(): Promise<void> {
    const { members } = this.#options;
    if (members.some((member) => member.isReady)) return;
    throw new OutriggerError("BACKEND_DOWN", `no shard is usable: ${members[0]?.who} ${members[0]?.problem ?? ""}`);
  }

  async stat(keys: readonly string[], call: CallContext): Promise<readonly (BlobInfo | undefined)[]> {
    const asked = new Map<Member, string[]>();
    for (const key of keys) {
      const member = this.#memberOf(key);
      asked.set(member, [...(asked.get(member) ?? []), key]);
    }
    const found = new Map<string, BlobInfo | undefined>();
    await Promise.all(
      [...asked].map(async ([member, own]) => {
        const infos = await member.stat(own, reading(call));
        for (const [index, key] of own.entries()) found.set(key, infos[index]);
      }),
    );
    return keys.map((key) => found.get(key));
  }

  async read(
    key: string,
    range: { readonly offsetBytes: number; readonly limitBytes?: number; readonly ifEtag?: string },
    call: CallContext,
  ): Promise<BlobBytes> {
    return this.#memberOf(key).read(key, range, reading(call));
  }

  async list(request: PageRequest, call: CallContext): Promise<Page<BlobInfo>> {
    const { members, privateKeys } = this.#options;
    const pages = await Promise.all(
      members.map((member) => privateKeys.without((asked) => member.list(asked, reading(call)), request)),
    );
    return mergePages(pages, request.limit, ({ key }) => key);
  }

  async count(prefix: string, call: CallContext): Promise<{ readonly count: number; readonly exact: boolean }> {
    const { members, privateKeys } = this.#options;
    if (privateKeys.meets(prefix)) return counted(this, prefix, call);
    const counts = await Promise.all(members.map((member) => member.count(prefix, reading(call))));
    // A key on its way from one shard to another may be counted twice.
    return {
      count: counts.reduce((sum, { count }) => sum + count, 0),
      exact: counts.every(({ exact }) => exact) && !this.#isMoving,
    };
  }

  #moves = 0;
  get #isMoving(): boolean {
    return this.#moves > 0;
  }

  async delete(key: string, call: CallContext): Promise<void> {
    const member = this.#memberOf(key);
    await this.#options.locks.during([key], () => member.delete(key, mutating(call)));
  }

  async put(key: string, data: Uint8Array, condition: Condition | undefined, call: CallContext): Promise<BlobInfo> {
    const member = this.#memberOf(key);
    const how = condition === undefined ? {} : { condition };
    return this.#options.locks.during([key], () => member.put(key, data, how, mutating(call)));
  }

  async move(source: string, destination: string, call: CallContext): Promise<BlobInfo> {
    const [from, to] = [this.#memberOf(source), this.#memberOf(destination)];
    return this.#options.locks.during([source, destination], async () => {
      if (from === to) return from.move(source, destination, mutating(call));
      const info = await from.statOne(source, reading(call));
      if (info === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no key ${source}`);
      this.#moves++;
      try {
        const copied = await copyBlob({
          from,
          info,
          to,
          key: destination,
          uploadId: `${COPY}${randomUUID()}`,
          notAfterMs: async () => {
            call.assertInTime();
            return call.notAfterMs ?? this.#options.now() + MOVE_MS;
          },
          signal: call.signal,
        });
        await from.delete(source, mutating(call));
        return copied;
      } finally {
        this.#moves--;
      }
    });
  }

  async signUrl(key: string, ttlMs: number, call: CallContext) {
    return this.#memberOf(key).signUrl(key, ttlMs, reading(call));
  }

  #memberOf(key: string): Member {
    this.#options.privateKeys.assertNot(key);
    return this.#options.memberOf(key);
  }
}
