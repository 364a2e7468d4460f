/**
 * Several cores on the same few keys of both stores, through the client: writes with conditions, pushes that must survive
 * their driver, reads, deletes. Every answer goes into a history that the plain model follows.
 */
import { createHash } from "node:crypto";
import type { MetaCondition, MetaOperation } from "../../../client/contract.ts";
import { type Change, History, type ReadInHistory, type Want, type WriteInHistory } from "../history.ts";
import type { Task } from "../plan.ts";
import { idFrom } from "../processes.ts";
import { Random } from "../random.ts";
import { type CoreSlot, pause, type Simulation, told, UNLUCKY, type Workload } from "../simulation.ts";
import type { Life } from "../world.ts";

const META_KEYS = ["m/0", "m/1", "m/2"];
/** Two that everybody fights for; many for many uploads at once. */
const blobKeys = (count: number) => Array.from({ length: count }, (_, i) => `b/${String(i).padStart(2, "0")}`);
/** Beyond a write's own not-after: how far clocks are off, and what is between the check and the disk. */
const SLACK_MS = 5_000;
const UNARY_MS = 10_000;
/** As the client gives a commit. */
const COMMIT_MS = 15 * 60_000;

interface UploadRecord {
  readonly id: string;
  /** Its commit in the history. */
  write: WriteInHistory | undefined;
  /** Somebody asked to abort it. */
  aborted: boolean;
}

export class StoresWorkload implements Workload {
  readonly #simulation: Simulation;
  readonly #meta: History;
  readonly #blobKeys: readonly string[];
  /** One of all keys where a move may touch two, else one for each. */
  readonly #blobs: readonly History[];
  readonly #etags = new Map<string, number>();
  /** Content of a value by its text. */
  #values = 0;
  readonly #contents: Buffer[] = [Buffer.alloc(0)];
  /** Pushed with a digest that is not theirs. */
  readonly #wrong = new Set<number>();
  readonly #uploads: UploadRecord[] = [];
  #requests = 0;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    simulation.watch.onBegunAnew = (uploadId) => this.#begunAnew(uploadId);
    this.#meta = new History(simulation.world, "meta store is one atomic map", META_KEYS.length);
    const shared = simulation.plan.kind === "stores";
    this.#blobKeys = blobKeys(shared ? 2 : 24);
    this.#blobs = shared
      ? [new History(simulation.world, "blob store is one atomic map", this.#blobKeys.length)]
      : this.#blobKeys.map(() => new History(simulation.world, "blob store is one atomic map", 1));
  }

  /** A commit whose answer was lost, where nothing tells that it had taken effect, is done again: 3, 11, 3. */
  #begunAnew(uploadId: string): void {
    this.#simulation.world.coverage.count("push begun anew after a lost commit");
    this.#uploads.find(({ id }) => id === uploadId)?.write?.repeats();
  }

  async task(task: Task, slot: CoreSlot): Promise<void> {
    const random = new Random(task.seed);
    switch (task.what) {
      case "meta write":
        return this.#metaWrite(slot, random);
      case "meta get":
        return this.#metaGet(slot, pickSome(random, META_KEYS.length));
      case "meta list":
        return this.#metaList(slot);
      case "blob push":
        return this.#push(slot, random);
      case "blob push in two":
        return this.#pushInTwo(slot, random);
      case "blob read":
        return this.#read(slot, random.below(this.#blobKeys.length), random);
      case "blob put":
        return this.#put(slot, random);
      case "blob stat":
        return this.#stat(slot);
      case "blob delete":
        return this.#delete(slot, random.below(this.#blobKeys.length));
      case "blob list":
        return this.#list(slot);
      case "blob move":
        return this.#move(slot, random);
      case "blob abort":
        return this.#abort(slot, random);
      default:
        throw new Error(`no such task: ${task.what}`);
    }
  }

  async finish(slot: CoreSlot): Promise<void> {
    await this.#metaGet(slot, [0, 1, 2]);
    await this.#metaList(slot);
    for (let key = 0; key < this.#blobKeys.length; key++) await this.#read(slot, key, undefined);
    await this.#stat(slot);
    await this.#list(slot);
  }

  // The meta store.

  async #metaWrite(slot: CoreSlot, random: Random): Promise<void> {
    const { core } = slot;
    if (core === undefined) return;
    const operations: MetaOperation[] = [];
    const changes: Change[] = [];
    const puts = new Map<number, number>();
    for (const key of pickSome(random, META_KEYS.length)) {
      const name = META_KEYS[key] as string;
      const { condition, want } = this.#condition(random, key);
      const kind = random.weighted({ put: 6, delete: 2, check: condition === undefined ? 0 : 2 });
      if (kind === "put") {
        const content = ++this.#values;
        puts.set(operations.length, content);
        const value = Buffer.from(`v${content}`);
        operations.push({ kind, key: name, value, ...(condition && { condition }) });
        changes.push({ key, put: content, ...(want && { want }) });
      } else if (kind === "delete") {
        operations.push({ kind, key: name, ...(condition && { condition }) });
        changes.push({ key, put: 0, ...(want && { want }) });
      } else if (condition !== undefined && want !== undefined) {
        operations.push({ kind: "check", key: name, condition });
        changes.push({ key, want });
      }
    }
    const request = this.#request();
    const write = this.#begin(this.#meta, slot, changes, UNARY_MS);
    try {
      const etags = await core.meta.write(operations, { requestId: request });
      for (const [index, content] of puts) this.#etag("m", (changes[index] as Change).key, etags[index] ?? "", content);
      const onlyDeletes = puts.size === 0;
      // Who loses the answer to a delete finds the key gone, by whomever.
      if (onlyDeletes && this.#disturbed(request)) write.unknown(UNARY_MS);
      else write.applied(this.#disturbed(request));
    } catch (error) {
      const reason = told(error);
      if (reason === "CONDITION_FAILED" && !this.#disturbed(request)) {
        write.refused(Number((error as { metadata?: Record<string, string> }).metadata?.["index"]));
      } else {
        this.#allow("meta write", reason, ["CONDITION_FAILED", "CONFLICT"], error);
        write.unknown(UNARY_MS);
      }
    }
  }

  #condition(random: Random, key: number): { condition?: MetaCondition; want?: Want } {
    const kind = random.weighted({ etag: 6, absent: 3, present: 1, none: 2 });
    if (kind === "absent") return { condition: { ifAbsent: true }, want: "absent" };
    if (kind === "present") return { condition: { ifPresent: true }, want: "present" };
    if (kind === "none") return {};
    // Mostly the newest etag that anybody has seen, sometimes an older one.
    const known = [...this.#etags].filter(([id]) => id.startsWith(`m${key} `));
    if (known.length === 0) return { condition: { ifAbsent: true }, want: "absent" };
    const [id, content] = random.chance(0.85) ? (known[known.length - 1] as [string, number]) : random.pick(known);
    return { condition: { ifEtag: id.slice(id.indexOf(" ") + 1) }, want: { content } };
  }

  async #metaGet(slot: CoreSlot, keys: readonly number[]): Promise<void> {
    const { core } = slot;
    if (core === undefined) return;
    const read = this.#meta.beginRead(keys);
    const forget = slot.life.onDeath(() => read.failed());
    try {
      const items = await core.meta.get(
        keys.map((key) => META_KEYS[key] as string),
        { requestId: this.#request() },
      );
      read.saw(items.map((item, i) => this.#valueOf(keys[i] as number, item)));
    } catch (error) {
      this.#allow("meta get", told(error), [], error);
      read.failed();
    } finally {
      forget();
    }
  }

  async #metaList(slot: CoreSlot): Promise<void> {
    const { core } = slot;
    if (core === undefined) return;
    const reads = META_KEYS.map((_, key) => this.#meta.beginRead([key]));
    const forget = slot.life.onDeath(() => {
      for (const read of reads) read.failed();
    });
    try {
      const { items } = await core.meta.list({ prefix: "m/" }, { requestId: this.#request() });
      META_KEYS.forEach((name, key) => {
        reads[key]?.saw([
          this.#valueOf(
            key,
            items.find((item) => item.key === name),
          ),
        ]);
      });
    } catch (error) {
      this.#allow("meta list", told(error), [], error);
      for (const read of reads) read.failed();
    } finally {
      forget();
    }
  }

  #valueOf(key: number, item: { readonly value: Buffer; readonly etag: string } | undefined): number {
    if (item === undefined) return 0;
    const content = Number(item.value.toString().slice(1));
    this.#etag("m", key, item.etag, content);
    return content;
  }

  // The blob store.

  async #push(slot: CoreSlot, random: Random): Promise<void> {
    const { core } = slot;
    if (core === undefined) return;
    const key = random.below(this.#blobKeys.length);
    const wrong = random.chance(0.06);
    // Its own: a size alone says after a lost answer whether a key holds it.
    const content = wrong ? this.#newContent() : this.#content(random);
    const bytes = this.#contents[content] as Buffer;
    if (wrong) this.#wrong.add(content);
    const ifAbsent = random.chance(0.4);
    const upload = this.#upload(random);
    const request = this.#request();
    const write = this.#beginBlob(
      slot,
      [{ key, put: content, ...(ifAbsent && { want: "same or absent" as const }) }],
      COMMIT_MS,
    );
    upload.write = write;
    try {
      const { committed } = await core.blobs.append(
        {
          uploadId: upload.id,
          create: true,
          algorithm: "sha256",
          offsetBytes: 0,
          body: this.#body(slot, bytes, random),
          commit: {
            key: this.#blobKeys[key] as string,
            digest: wrong ? digestOf(Buffer.from("another")) : digestOf(bytes),
            ...(random.chance(0.5) && { sizeBytes: bytes.length }),
            ifAbsent,
          },
        },
        { requestId: request },
      );
      this.#simulation.world.expect("a wrong digest is refused", !wrong, () => `upload ${upload.id} was committed`);
      this.#committed(key, content, committed);
      write.applied(false);
    } catch (error) {
      this.#pushFailed(write, told(error), error, { upload, wrong, ifAbsent });
    }
  }

  /** As an OCI client does: a part, then the rest, on whichever core takes it. */
  async #pushInTwo(slot: CoreSlot, random: Random): Promise<void> {
    const { core } = slot;
    const { world } = this.#simulation;
    if (core === undefined) return;
    const key = random.below(this.#blobKeys.length);
    const content = this.#content(random);
    const bytes = this.#contents[content] as Buffer;
    const cut = random.below(bytes.length);
    const upload = this.#upload(random);
    let acknowledged = 0;
    let uncertain = false;
    try {
      const { persistedBytes } = await core.blobs.append(
        {
          uploadId: upload.id,
          create: true,
          algorithm: "sha256",
          offsetBytes: 0,
          body: this.#body(slot, bytes.subarray(0, cut), random),
        },
        { requestId: this.#request() },
      );
      acknowledged = persistedBytes;
      world.expect(
        "a part that is answered is persisted",
        persistedBytes === cut,
        () => `${persistedBytes} of ${cut} bytes`,
      );
    } catch (error) {
      uncertain = true;
      this.#allow(
        "push of a part",
        told(error),
        upload.aborted ? ["UPLOAD_FENCED", "UPLOAD_NOT_FOUND", "UPLOAD_LOST"] : [],
        error,
      );
    }
    await pause(slot.life.clock, random.fraction() * 300);
    const other = random.pick(this.#simulation.cores);
    if (other.core === undefined || !other.life.alive) return;
    await untilDeath(other.life, this.#pushRest(other, { upload, key, content, cut, acknowledged, uncertain }, random));
  }

  async #pushRest(
    other: CoreSlot,
    part: {
      readonly upload: UploadRecord;
      readonly key: number;
      readonly content: number;
      readonly cut: number;
      readonly acknowledged: number;
      readonly uncertain: boolean;
    },
    random: Random,
  ): Promise<void> {
    const { upload, key, content, cut, acknowledged, uncertain } = part;
    const { world } = this.#simulation;
    const bytes = this.#contents[content] as Buffer;
    if (other.core === undefined) return;
    let offset = acknowledged;
    try {
      const found = await other.core.blobs.getUpload(upload.id, { requestId: this.#request() });
      if (found === undefined) {
        world.expect(
          "an upload that was acknowledged is found",
          // Of one without a byte nothing was promised.
          uncertain || upload.aborted || acknowledged === 0,
          () => `upload ${upload.id} is unknown`,
        );
        return;
      }
      offset = found.persistedBytes;
      world.expect(
        "persisted never falls",
        offset >= acknowledged || upload.aborted,
        () => `upload ${upload.id}: ${offset} after ${acknowledged}`,
      );
      world.expect("persisted bytes were sent", offset <= cut, () => `upload ${upload.id}: ${offset} of ${cut}`);
    } catch (error) {
      this.#allow("get of an upload", told(error), [], error);
      return;
    }
    const write = this.#beginBlob(other, [{ key, put: content }], COMMIT_MS);
    try {
      const { committed } = await other.core.blobs.append(
        {
          uploadId: upload.id,
          create: false,
          algorithm: "sha256",
          offsetBytes: offset,
          body: this.#body(other, bytes.subarray(offset), random),
          commit: { key: this.#blobKeys[key] as string, digest: digestOf(bytes), sizeBytes: bytes.length },
        },
        { requestId: this.#request() },
      );
      this.#committed(key, content, committed);
      write.applied(false);
    } catch (error) {
      this.#pushFailed(write, told(error), error, { upload, wrong: false, ifAbsent: false });
    }
  }

  #committed(
    key: number,
    content: number,
    committed:
      | { readonly info: { readonly sizeBytes: number; readonly etag: string }; readonly digest: string }
      | undefined,
  ): void {
    const bytes = this.#contents[content] as Buffer;
    this.#simulation.world.expect(
      "a commit is answered by what was committed",
      committed !== undefined && committed.info.sizeBytes === bytes.length && committed.digest === digestOf(bytes),
      () => JSON.stringify(committed),
    );
    if (committed !== undefined) this.#etag("b", key, committed.info.etag, content);
  }

  #pushFailed(
    write: WriteInHistory,
    reason: string,
    error: unknown,
    facts: { readonly upload: UploadRecord; readonly wrong: boolean; readonly ifAbsent: boolean },
  ): void {
    const { upload, wrong, ifAbsent } = facts;
    if (wrong && reason === "DIGEST_MISMATCH") {
      this.#simulation.world.coverage.count("rule a wrong digest is refused");
      write.refused();
      return;
    }
    const allowed = [
      ...(ifAbsent ? ["KEY_EXISTS"] : []),
      ...(upload.aborted ? ["UPLOAD_FENCED", "UPLOAD_NOT_FOUND", "UPLOAD_LOST"] : []),
      // The answer to the commit was lost, and what it made visible was overwritten since.
      ...(this.#storm() ? ["UPLOAD_NOT_FOUND"] : []),
    ];
    this.#allow("push", reason, allowed, error);
    if (wrong) write.refused();
    else write.unknown(this.#last(COMMIT_MS));
  }

  async #put(slot: CoreSlot, random: Random): Promise<void> {
    const { core } = slot;
    if (core === undefined) return;
    const key = random.below(this.#blobKeys.length);
    const content = this.#content(random);
    const bytes = this.#contents[content] as Buffer;
    const ifAbsent = random.chance(0.4);
    const request = this.#request();
    const write = this.#beginBlob(
      slot,
      // Where the answer was lost and these very bytes are there, by whomever, the put counts as done.
      [{ key, put: content, ...(ifAbsent && { want: "same or absent" as const }) }],
      UNARY_MS,
    );
    try {
      const info = await core.blobs.put(
        this.#blobKeys[key] as string,
        bytes,
        { digest: digestOf(bytes), ...(ifAbsent && { condition: { ifAbsent: true } }) },
        { requestId: request },
      );
      this.#etag("b", key, info.etag, content);
      write.applied(this.#disturbed(request));
    } catch (error) {
      const reason = told(error);
      if (reason === "KEY_EXISTS" && ifAbsent && !this.#disturbed(request)) write.refused();
      else {
        this.#allow("put", reason, ifAbsent ? ["KEY_EXISTS"] : [], error);
        write.unknown(this.#last(UNARY_MS));
      }
    }
  }

  async #read(slot: CoreSlot, key: number, random: Random | undefined): Promise<void> {
    const { core } = slot;
    const { world } = this.#simulation;
    if (core === undefined) return;
    const inHistory = this.#readBlob(key);
    const forget = slot.life.onDeath(() => inHistory.failed());
    const offsetBytes = random?.chance(0.3) ? random.below(8) : 0;
    const limitBytes = random?.chance(0.2) ? random.below(60) : undefined;
    try {
      const read = await core.blobs.read(
        this.#blobKeys[key] as string,
        { offsetBytes, ...(limitBytes !== undefined && { limitBytes }) },
        { requestId: this.#request() },
      );
      const content = this.#contents.findIndex((bytes) => bytes.length === read.info.sizeBytes);
      const wanted = this.#contents[content]?.subarray(
        offsetBytes,
        limitBytes === undefined ? undefined : offsetBytes + limitBytes,
      );
      world.expect(
        "a blob is one that was pushed",
        content > 0,
        () => `${read.info.sizeBytes} bytes at ${this.#blobKeys[key]}`,
      );
      this.#etag("b", key, read.info.etag, content);
      inHistory.saw([content]);
      const pieces: Buffer[] = [];
      for await (const piece of read.body) {
        pieces.push(Buffer.from(piece));
        if (random?.chance(0.2)) await pause(slot.life.clock, random.fraction() * 20);
      }
      const bytes = Buffer.concat(pieces);
      world.expect(
        "bytes read are the bytes pushed",
        wanted !== undefined && bytes.equals(wanted),
        () => `${bytes.length} bytes of content ${content} from ${offsetBytes}: ${bytes.toString("hex").slice(0, 200)}`,
      );
    } catch (error) {
      const reason = told(error);
      if (reason === "KEY_NOT_FOUND") inHistory.saw([0]);
      else this.#allow("read", reason, ["ETAG_MISMATCH"], error);
      inHistory.failed();
    } finally {
      forget();
    }
  }

  async #stat(slot: CoreSlot): Promise<void> {
    const { core } = slot;
    if (core === undefined) return;
    await this.#lookAtBlobs(slot, () => core.blobs.stat(this.#blobKeys, { requestId: this.#request() }));
  }

  async #list(slot: CoreSlot): Promise<void> {
    const { core } = slot;
    if (core === undefined) return;
    await this.#lookAtBlobs(slot, async () => {
      const { items } = await core.blobs.list({ prefix: "b/" }, { requestId: this.#request() });
      return this.#blobKeys.map((name) => items.find((item) => item.key === name));
    });
  }

  async #lookAtBlobs(
    slot: CoreSlot,
    look: () => Promise<readonly ({ readonly sizeBytes: number; readonly etag: string } | undefined)[]>,
  ): Promise<void> {
    const reads = this.#blobKeys.map((_, key) => this.#readBlob(key));
    const forget = slot.life.onDeath(() => {
      for (const read of reads) read.failed();
    });
    try {
      const infos = await look();
      infos.forEach((info, key) => {
        if (info === undefined) {
          reads[key]?.saw([0]);
          return;
        }
        const content = this.#contents.findIndex((bytes) => bytes.length === info.sizeBytes);
        this.#etag("b", key, info.etag, content);
        reads[key]?.saw([content]);
      });
    } catch (error) {
      this.#allow("look at blobs", told(error), [], error);
      for (const read of reads) read.failed();
    } finally {
      forget();
    }
  }

  async #delete(slot: CoreSlot, key: number): Promise<void> {
    const { core } = slot;
    if (core === undefined) return;
    const request = this.#request();
    const write = this.#beginBlob(slot, [{ key, put: 0 }], UNARY_MS);
    try {
      await core.blobs.delete([this.#blobKeys[key] as string], { requestId: request });
      write.applied(this.#disturbed(request));
    } catch (error) {
      this.#allow("delete", told(error), [], error);
      write.unknown(this.#last(UNARY_MS));
    }
  }

  async #move(slot: CoreSlot, random: Random): Promise<void> {
    const { core } = slot;
    if (core === undefined) return;
    const from = random.below(this.#blobKeys.length);
    const to = 1 - from;
    const write = this.#beginBlob(
      slot,
      [
        { key: to, put: { from } },
        { key: from, put: 0, want: "present" },
      ],
      UNARY_MS,
    );
    // Moved again where the answer was lost and the source is there, whoever put it there meanwhile.
    write.repeats();
    try {
      await core.blobs.move(this.#blobKeys[from] as string, this.#blobKeys[to] as string, {
        requestId: this.#request(),
      });
      // The stream may have broken and been asked again: whether this one did it is not told.
      write.unknown(this.#last(UNARY_MS));
    } catch (error) {
      this.#allow("move", told(error), ["KEY_NOT_FOUND"], error);
      write.unknown(this.#last(UNARY_MS));
    }
  }

  async #abort(slot: CoreSlot, random: Random): Promise<void> {
    const { core } = slot;
    if (core === undefined || this.#uploads.length === 0) return;
    const upload = random.pick(this.#uploads);
    upload.aborted = true;
    this.#simulation.watch.ending(upload.id);
    try {
      await core.blobs.abortUpload(upload.id, {}, { requestId: this.#request() });
    } catch (error) {
      this.#allow("abort", told(error), [], error);
    }
  }

  // What the tasks share.

  #readBlob(key: number): ReadInHistory {
    return this.#blobs.length === 1 ? this.#history(0).beginRead([key]) : this.#history(key).beginRead([0]);
  }

  #beginBlob(slot: CoreSlot, changes: readonly Change[], ms: number): WriteInHistory {
    if (this.#blobs.length === 1) return this.#begin(this.#history(0), slot, changes, ms);
    const [change] = changes as [Change];
    return this.#begin(this.#history(change.key), slot, [{ ...change, key: 0 }], ms);
  }

  #history(index: number): History {
    return this.#blobs[index] as History;
  }

  /** A write of the history that nobody hears of any more when its core dies. */
  #begin(history: History, slot: CoreSlot, changes: readonly Change[], ms: number): WriteInHistory {
    const write = history.beginWrite(changes, Number.POSITIVE_INFINITY);
    let open = true;
    const last = () => this.#last(ms);
    const forget = slot.life.onDeath(() => {
      if (open) write.unknown(last());
      open = false;
    });
    const once = (end: () => void) => {
      if (!open) return;
      open = false;
      forget();
      end();
    };
    return {
      applied: (disturbed: boolean) => once(() => write.applied(disturbed, this.#last(ms))),
      refused: (index?: number) => once(() => write.refused(index)),
      repeats: () => {
        if (open) write.repeats();
      },
      unknown: () => once(() => write.unknown(last())),
    } as WriteInHistory;
  }

  /** When a request sent until now can take effect at the latest. */
  #last(ms: number): number {
    const { world, stoppedUntilMs } = this.#simulation;
    const stopped = this.#simulation.plan.topology === "filesystem" ? stoppedUntilMs : 0;
    return Math.max(world.nowMs, stopped) + ms + SLACK_MS;
  }

  #allow(what: string, reason: string, allowed: readonly string[], error: unknown): void {
    this.#simulation.world.coverage.count(`told ${reason}`);
    this.#simulation.world.expect(
      "what fails, fails for a reason that the caller can act on",
      UNLUCKY.has(reason) || allowed.includes(reason),
      () => `${what}: ${reason}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }

  #storm(): boolean {
    const { plan } = this.#simulation;
    return (
      plan.faults.length > 0 ||
      plan.weather.cut > 0 ||
      plan.weather.hole > 0 ||
      plan.weather.late > 0 ||
      plan.backendFaults > 0
    );
  }

  #request(): string {
    return `r${this.#requests++}`;
  }

  #disturbed(request: string): boolean {
    return this.#simulation.disturbed.has(request) || this.#simulation.plan.backendFaults > 0;
  }

  #upload(random: Random): UploadRecord {
    const upload = { id: idFrom(random), write: undefined, aborted: false };
    this.#uploads.push(upload);
    return upload;
  }

  #content(random: Random): number {
    const known = this.#contents.length > 1 && random.chance(0.2) ? random.between(1, this.#contents.length - 1) : 0;
    return known === 0 || this.#wrong.has(known) ? this.#newContent() : known;
  }

  /** Every content has a size of its own, so that a size says which one it is. Large ones where many share a budget. */
  #newContent(): number {
    const id = this.#contents.length;
    const more = this.#simulation.plan.kind === "budget" ? 200 : 0;
    this.#contents.push(new Random(id * 7919).bytes(8 + id * 17 + more));
    return id;
  }

  async *#body(slot: CoreSlot, bytes: Buffer, random: Random): AsyncIterable<Uint8Array> {
    const slow = random.chance(0.3) ? 200 : 3;
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + random.between(1, 96));
      if (random.chance(0.5)) await pause(slot.life.clock, random.fraction() * slow);
      yield bytes.subarray(at, end);
      at = end;
    }
  }

  /** One etag, one content of its key, for ever. */
  #etag(store: string, key: number, etag: string, content: number): void {
    const id = `${store}${key} ${etag}`;
    const known = this.#etags.get(id);
    this.#simulation.world.expect(
      "an etag stands for one content",
      known === undefined || known === content,
      () => `${id} was of content ${known}, now of ${content}`,
    );
    this.#etags.set(id, content);
  }
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function pickSome(random: Random, below: number): number[] {
  const all = Array.from({ length: below }, (_, i) => i).filter(() => random.chance(0.5));
  return all.length === 0 ? [random.below(below)] : all;
}

/** Nothing more is heard from a process that died. */
function untilDeath(life: Life, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const forget = life.onDeath(resolve);
    work.then(resolve, reject).finally(forget);
  });
}
