/**
 * The mirror's blob store. The primary decides what is there; the secondary answers reads while the primary is away, and
 * only for keys of which both are known to hold the same.
 */
import type { Clock } from "../../proto/clock.ts";
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
  Upload,
  UploadFacts,
} from "../../server/contract.ts";
import { counted } from "../../server/count.ts";
import { isDown } from "../composed/fault.ts";
import { type KeyLocks, within } from "../composed/locks.ts";
import { type Member, mutating, reading } from "../composed/member.ts";
import { COMMIT_MS, openPassed } from "../composed/passed-upload.ts";
import type { PrivateKeys } from "../composed/private-keys.ts";
import type { Copies, Known } from "./copies.ts";
import { fromMember, type Side, toPrimary, withSide } from "./etags.ts";
import type { Journal } from "./journal.ts";
import type { MirrorKeeper } from "./keeper.ts";
import { continued } from "./reading.ts";
import type { MirrorState } from "./state.ts";

export interface MirrorBlobsOptions {
  readonly facts: StoreFacts;
  readonly primary: Member;
  readonly secondary: Member;
  readonly journal: Journal;
  readonly copies: Copies;
  readonly keeper: MirrorKeeper;
  readonly locks: KeyLocks;
  readonly privateKeys: PrivateKeys;
  readonly state: MirrorState;
  readonly clock: Clock;
  readonly readOnly: boolean;
}

/** What a change of the primary may take, where the call tells no time; longer than any unary call takes. */
const CHANGE_MS = 15_000;
/** How long a reader waits for a key that is being written. */
const SETTLED_MS = 5_000;

export class MirrorBlobs implements BlobDriver {
  readonly facts: StoreFacts;
  readonly #options: MirrorBlobsOptions;

  constructor(options: MirrorBlobsOptions) {
    this.facts = options.facts;
    this.#options = options;
  }

  async check(): Promise<void> {
    const { primary, secondary, state } = this.#options;
    if (primary.isReady || (secondary.isReady && state.mayReadSecondary)) return;
    throw new OutriggerError(
      "BACKEND_DOWN",
      `${primary.who} is not usable: ${primary.problem ?? "it was never reached"}`,
    );
  }

  async stat(keys: readonly string[], call: CallContext): Promise<readonly (BlobInfo | undefined)[]> {
    for (const key of keys) this.#options.privateKeys.assertNot(key);
    const [found, side] = await this.#either(keys, (member) => member.stat(keys, reading(call)));
    return found.map((info) => (info === undefined ? undefined : withSide(info, side)));
  }

  async read(
    key: string,
    range: { readonly offsetBytes: number; readonly limitBytes?: number; readonly ifEtag?: string },
    call: CallContext,
  ): Promise<BlobBytes> {
    this.#options.privateKeys.assertNot(key);
    const { secondary, state } = this.#options;
    const changes = state.changes(key);
    const [read, side] = await this.#either([key], (member, from) => {
      const ifEtag = range.ifEtag === undefined ? {} : { ifEtag: fromMember(key, range.ifEtag, from) };
      return member.read(key, { ...range, ...ifEtag }, reading(call));
    });
    const info = withSide(read.info, side);
    const { startBytes, lengthBytes } = read;
    if (side === "secondary") return { ...read, info };
    const body = continued(read, async (atBytes, why) => {
      this.#assertSecondaryReads([key], why);
      if (state.changes(key) !== changes) throw why;
      const limitBytes = startBytes + lengthBytes - atBytes;
      const rest = await secondary.read(key, { offsetBytes: atBytes, limitBytes }, reading(call));
      if (rest.info.sizeBytes === info.sizeBytes && rest.lengthBytes === limitBytes) return rest;
      await rest.cancel();
      throw why;
    });
    return { info, startBytes, lengthBytes, body, cancel: () => read.cancel() };
  }

  async list(request: PageRequest, call: CallContext): Promise<Page<BlobInfo>> {
    const { primary, secondary, privateKeys, journal } = this.#options;
    const from = async (member: Member, side: Side) => {
      const page = await privateKeys.without((asked) => member.list(asked, reading(call)), request);
      return { items: page.items.map((info) => withSide(info, side)), more: page.more };
    };
    try {
      return await from(primary, "primary");
    } catch (error) {
      // A listing has no one key to refuse: it fails rather than hides what the secondary has missed.
      if (!isDown(error) || journal.size > 0) throw error;
      this.#assertSecondaryReads([], error);
      return from(secondary, "secondary");
    }
  }

  async count(prefix: string, call: CallContext): Promise<{ readonly count: number; readonly exact: boolean }> {
    const { primary, privateKeys } = this.#options;
    if (privateKeys.meets(prefix)) return counted(this, prefix, call);
    try {
      return await primary.count(prefix, reading(call));
    } catch (error) {
      if (!isDown(error)) throw error;
      return counted(this, prefix, call);
    }
  }

  async delete(key: string, call: CallContext): Promise<void> {
    const change = () => this.#options.primary.delete(key, mutating(call));
    await this.#change([key], call, change, () => ({ here: undefined }));
  }

  async put(key: string, data: Uint8Array, condition: Condition | undefined, call: CallContext): Promise<BlobInfo> {
    const wanted = condition === undefined ? {} : { condition: toPrimary(key, condition) };
    const info = await this.#change(
      [key],
      call,
      () => this.#options.primary.put(key, data, wanted, mutating(call)),
      (here) => ({ here, data }),
    );
    return withSide(info, "primary");
  }

  async move(source: string, destination: string, call: CallContext): Promise<BlobInfo> {
    const { primary } = this.#options;
    const info = await this.#change([source, destination], call, () =>
      primary.move(source, destination, mutating(call)),
    );
    return withSide(info, "primary");
  }

  async open(uploadId: string, options: Parameters<BlobDriver["open"]>[1], call: CallContext): Promise<Upload> {
    const { primary, journal, copies } = this.#options;
    const opening = openPassed(primary, uploadId, options, call, async (target, commitCall, passOn) => {
      const { info, digest } = await this.#change(
        [target.key],
        commitCall,
        () => passOn(target),
        (committed) => ({ here: committed.info, digest: committed.digest }),
        uploadId,
      );
      return { info: withSide(info, "primary"), digest };
    });
    const upload = await copies.whileOpening(uploadId, opening);
    // What it was answered is a barrier [blob.append.04].
    journal.commitOver(uploadId);
    return upload;
  }

  abort(uploadId: string, call: CallContext, ifIdleMs?: number): Promise<void> {
    return this.#options.primary.abortUpload(uploadId, mutating(call), ifIdleMs);
  }

  async listUploads(
    { uploadId, ...request }: { readonly startAfter: string; readonly limit: number; readonly uploadId?: string },
    call: CallContext,
  ): Promise<Page<UploadFacts>> {
    const { primary } = this.#options;
    if (uploadId === undefined) return primary.listUploads(request, reading(call));
    const upload = await primary.getUpload(uploadId, reading(call));
    return { items: upload === undefined ? [] : [upload], more: false };
  }

  async signUrl(key: string, ttlMs: number, call: CallContext) {
    this.#options.privateKeys.assertNot(key);
    const [signed] = await this.#either([key], (member) => member.signUrl(key, ttlMs, reading(call)));
    return signed;
  }

  /** Asks the primary; while it is away, the secondary. */
  async #either<Result>(
    keys: readonly string[],
    ask: (member: Member, side: Side) => Promise<Result>,
  ): Promise<readonly [Result, Side]> {
    const { primary, secondary, journal, state, readOnly } = this.#options;
    let result: Result;
    try {
      result = await ask(primary, "primary");
    } catch (error) {
      if (!isDown(error)) throw error;
      this.#assertSecondaryReads(keys, error);
      return [await ask(secondary, "secondary"), "secondary"];
    }
    // Sealed, nothing is brought to the secondary: what the primary has is read as it is.
    const pending = state.mode === "sync" && !readOnly ? keys.filter((key) => journal.has(key)) : [];
    if (pending.length === 0) return [result, "primary"];
    await cancelled(result);
    return [await this.#whole(pending, () => ask(primary, "primary")), "primary"];
  }

  /**
   * Where a change is acknowledged by both, nobody may learn of it before: who lost the answer would take it for done. So
   * what is pending is brought to the secondary first, and read while nothing changes it.
   */
  async #whole<Result>(keys: readonly string[], ask: () => Promise<Result>): Promise<Result> {
    const { journal, locks, copies, clock, secondary } = this.#options;
    let isLate = false;
    const asking = locks.during(keys, async () => {
      for (const key of keys) if (!isLate && journal.has(key)) await copies.settle(key);
      const result = await ask();
      if (isLate) await cancelled(result);
      return result;
    });
    try {
      return await within(clock, SETTLED_MS, asking, () => `${keys[0]} is not on ${secondary.who} yet: ask again`);
    } finally {
      isLate = true;
    }
  }

  #assertSecondaryReads(keys: readonly string[], why: unknown): void {
    const { journal, state } = this.#options;
    if (!state.mayReadSecondary || keys.some((key) => journal.has(key))) throw why;
  }

  /** A change of the primary, written down before and brought to the secondary after. */
  async #change<Result>(
    keys: readonly string[],
    call: CallContext,
    change: () => Promise<Result>,
    knownOf?: (result: Result) => Known,
    uploadId?: string,
  ): Promise<Result> {
    const { locks, privateKeys, state, journal, clock } = this.#options;
    for (const key of keys) privateKeys.assertNot(key);
    return locks.during(keys, async () => {
      await state.assertChangeable();
      // A commit may take much longer than any other call, and says by its upload when it is over.
      const untilMs = Math.max(uploadId === undefined ? (call.notAfterMs ?? 0) : 0, clock.now() + CHANGE_MS);
      const commit = uploadId && { uploadId, commitUntilMs: call.notAfterMs ?? clock.now() + COMMIT_MS };
      try {
        for (const key of keys) await journal.arm(key, untilMs, commit === "" ? undefined : commit);
        call.assertInTime();
        for (const key of keys) state.changed(key);
        const result = await change();
        if (uploadId !== undefined) journal.commitOver(uploadId);
        await this.#follow(keys, knownOf?.(result));
        return result;
      } catch (error) {
        for (const key of keys) {
          if (isDown(error)) journal.doubt(key, untilMs);
          this.#options.keeper.settleSoon(key);
        }
        throw error;
      }
    });
  }

  async #follow(keys: readonly string[], known: Known | undefined): Promise<void> {
    const { state, copies, keeper } = this.#options;
    for (const key of keys) {
      if (state.mode === "behind") {
        keeper.settleSoon(key);
        continue;
      }
      const left = await copies.settle(key, known);
      if (left !== undefined) keeper.settleSoon(key, left.againMs);
    }
  }
}

async function cancelled(result: unknown): Promise<void> {
  const { cancel } = result as { cancel?: () => Promise<void> };
  if (typeof cancel === "function") await cancel.call(result);
}
