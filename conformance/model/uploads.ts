/**
 * Uploads beside a model of them: what was sent, what was told persisted, who may write, and what lies under each key.
 * Steps are plain data and make sense in any state: one for a stream that is not open is done by another that is, or by
 * none. Wherever driver and model part, a `Difference` names the rule.
 */
import { createHash } from "node:crypto";
import type { Reason } from "../../proto/errors.ts";
import type { AppendSession, Calls } from "../contract.ts";
import { Fault, Silence } from "../faults.ts";
import { Difference } from "./difference.ts";
import { KEYS, UPLOADS, type UploadStep } from "./upload-steps.ts";

interface Upload {
  readonly id: string;
  /** What was sent and not skipped: no more than this can be there. */
  bytes: Buffer;
  /** What was told persisted: no less may be there. */
  told: number;
  holder: Stream | undefined;
  sender: string;
  opens: number;
}

interface Stream {
  readonly session: AppendSession;
  readonly upload: Upload;
  /** What sets its bytes apart. */
  readonly fill: number;
}

interface Blob {
  readonly bytes: Buffer;
  readonly etag: string;
}

/** @throws Difference, or what a call failed with that should not fail at all */
export async function runUploads(
  calls: Calls,
  prefix: string,
  uploadId: string,
  steps: readonly UploadStep[],
): Promise<void> {
  const run = new Run(calls, prefix, uploadId);
  try {
    for (const step of steps) await run.step(step);
    await run.compare();
  } finally {
    await run.end();
  }
}

class Run {
  readonly #calls: Calls;
  readonly #prefix: string;
  readonly #uploadId: string;
  readonly #uploads = new Map<number, Upload>();
  /** Of uploads that were: how they ended. */
  readonly #ended = new Map<number, "committed" | "aborted">();
  readonly #streams = new Map<number, Stream>();
  readonly #blobs = new Map<string, Blob>();
  #opens = 0;

  constructor(calls: Calls, prefix: string, uploadId: string) {
    this.#calls = calls;
    this.#prefix = prefix;
    this.#uploadId = uploadId;
  }

  async step(step: UploadStep): Promise<void> {
    if (step.do === "open") return this.#open(step);
    if (!("stream" in step)) return step.do === "look" ? this.#look(step.upload) : this.#abort(step.upload);
    const slots = [...this.#streams.keys()];
    const slot = this.#streams.has(step.stream) ? step.stream : slots[step.stream % slots.length];
    const stream = slot === undefined ? undefined : this.#streams.get(slot);
    if (slot === undefined || stream === undefined) return;
    if (step.do === "chunk") return this.#chunk(slot, stream, step.from, step.bytes);
    if (step.do === "flush") return this.#flush(stream);
    if (step.do === "commit") return this.#commit(slot, stream, step);
    this.#gone(slot, stream);
    if (step.do === "cancel") return stream.session.cancel();
    stream.session.halfClose();
    const last = (await answered("blob.append.10", "a half-close", stream.session.rest())).at(-1)?.progress;
    const size = stream.upload.bytes.length;
    if (last?.received !== size || last.persisted !== size) {
      const told = last ? `received ${last.received}, persisted ${last.persisted}` : "nothing";
      throw new Difference("blob.append.10", `a half-close after ${size} bytes was answered by ${told}`);
    }
    stream.upload.told = size;
  }

  async #open(step: UploadStep & { readonly do: "open" }): Promise<void> {
    const { stream: slot, upload: index, how } = step;
    const before = this.#streams.get(slot);
    if (before !== undefined) {
      this.#gone(slot, before);
      before.session.cancel();
    }
    const there = this.#uploads.get(index);
    const late = how === "late" && there !== undefined;
    const sender = late ? there.sender : `model-${++this.#opens}`;
    const session = this.#calls.blob.append();
    const key = step.hint === "" ? "" : this.#prefix + step.hint;
    const opening = session.open({ uploadId: this.#id(index), sender, attempt: 1, create: how === "create", key });
    if (late) {
      await refused("blob.append.05", "an open with an attempt that was there before", opening, "UPLOAD_FENCED");
      return;
    }
    if (there === undefined && how !== "create") {
      const ended = this.#ended.get(index);
      const what = `an open without create of an upload that ${ended === undefined ? "never was" : `was ${ended}`}`;
      // What an abort left there, an open finds: the abort is wrong.
      await refused(ended === "aborted" ? "blob.abort.03" : "blob.append.03", what, opening, "UPLOAD_NOT_FOUND");
      return;
    }
    const { persisted } = await answered("blob.append.03", "an open", opening);
    const upload = there ?? {
      id: this.#id(index),
      bytes: Buffer.alloc(0),
      told: 0,
      holder: undefined,
      sender,
      opens: 0,
    };
    if (there === undefined && persisted > 0) {
      throw new Difference(this.#ruleOfEnd(index), `a new upload is opened with ${persisted} bytes persisted`);
    }
    if (persisted < upload.told) {
      throw new Difference("blob.append.09", `opened tells ${persisted} after ${upload.told} were told persisted`);
    }
    if (persisted > upload.bytes.length) {
      throw new Difference("blob.append.02", `opened tells ${persisted} and only ${upload.bytes.length} were sent`);
    }
    const older = upload.holder;
    if (older !== undefined) {
      for (const [other, stream] of this.#streams) if (stream === older) this.#gone(other, older);
      older.session.halfClose();
      await refused("blob.append.04", "a stream whose upload was taken over", older.session.rest(), "UPLOAD_FENCED");
    }
    upload.bytes = upload.bytes.subarray(0, persisted);
    upload.told = persisted;
    upload.sender = sender;
    upload.opens++;
    const stream = { session, upload, fill: this.#opens };
    upload.holder = stream;
    this.#uploads.set(index, upload);
    this.#streams.set(slot, stream);
  }

  async #chunk(slot: number, stream: Stream, from: number | null, size: number): Promise<void> {
    const { session, upload } = stream;
    const received = upload.bytes.length;
    const offset = Math.max(0, received + (from ?? 0));
    const data = bytesOf(stream.fill, offset, size);
    await session.send(from === null ? { chunk: { data } } : { chunk: { offset, data } });
    if (from === null) {
      this.#gone(slot, stream);
      session.halfClose();
      await refused("blob.append.06", "a chunk without offset", session.rest(), "OFFSET_REQUIRED");
      return;
    }
    if (offset <= received) {
      upload.bytes = Buffer.concat([upload.bytes, data.subarray(Math.min(size, received - offset))]);
      return;
    }
    this.#gone(slot, stream);
    session.halfClose();
    const what = `a chunk at ${offset} after ${received} bytes`;
    const fault = await refused("blob.append.07", what, session.rest(), "OFFSET_MISMATCH");
    const persisted = Number(fault.metadata["persisted"] ?? Number.NaN);
    if (!(persisted >= upload.told && persisted <= received)) {
      throw new Difference("blob.append.07", `${what} was told persisted ${fault.metadata["persisted"]}`);
    }
    upload.told = persisted;
  }

  async #flush({ session, upload }: Stream): Promise<void> {
    await session.send({ flush: {} });
    const size = upload.bytes.length;
    for (;;) {
      const what = `a flush after ${size} bytes`;
      const { received, persisted } = await answered("blob.append.10", what, session.until("progress"));
      if (persisted < upload.told) {
        throw new Difference("blob.append.09", `persisted fell from ${upload.told} to ${persisted}`);
      }
      upload.told = persisted;
      if (received > size || persisted > received) {
        throw new Difference("blob.append.10", `${what}: told are received ${received}, persisted ${persisted}`);
      }
      if (received === size && persisted === size) return;
    }
  }

  async #commit(slot: number, stream: Stream, step: UploadStep & { readonly do: "commit" }): Promise<void> {
    const { session, upload } = stream;
    const { bytes } = upload;
    const key = this.#prefix + step.key;
    const there = this.#blobs.get(step.key);
    const named = step.digest === "held" ? there?.bytes : step.digest === "wrong" ? Buffer.from("wrong") : bytes;
    const sent = {
      key,
      ifAbsent: step.ifAbsent,
      digest: step.digest === "none" || named === undefined ? "" : sha256(named),
      ...(step.size === "none" ? {} : { size: bytes.length + (step.size === "wrong" ? 1 : 0) }),
    };
    this.#gone(slot, stream);
    await this.#compareKey(step.key, "blob.append.11");
    await session.send({ commit: sent });
    const committing = session.until("committed").then(async (answer) => {
      await session.rest();
      return answer;
    });
    const wrong: Reason[] = [];
    if (step.size === "wrong") wrong.push("SIZE_MISMATCH");
    if (sent.digest !== "" && sent.digest !== sha256(bytes)) wrong.push("DIGEST_MISMATCH");
    if (wrong.length > 0) {
      await refused("blob.append.12", "a commit of another size or digest than was uploaded", committing, ...wrong);
      await this.#compareKey(step.key, "blob.append.12");
      return this.#stays(upload, "blob.append.12");
    }
    const same = there?.bytes.equals(bytes) === true;
    if (there !== undefined && !same && step.ifAbsent) {
      await refused("blob.append.14", "a commit with if_absent over other content", committing, "KEY_EXISTS");
      await this.#compareKey(step.key, "blob.append.14");
      // Whether the upload stays is not said by any rule.
      if (!(await this.#known(upload))) this.#end(upload, "aborted");
      return;
    }
    const rule = same ? "blob.append.13" : this.#ruleOfBytes(upload);
    // Other content than the model has under the key.
    const ruleOf = (error: Fault | Silence) =>
      !same && error instanceof Fault && error.reason === "KEY_EXISTS" ? "blob.append.14" : rule;
    const { info, digest } = await answered(ruleOf, `a commit of ${bytes.length} bytes`, committing);
    this.#end(upload, "committed");
    if (digest !== sha256(bytes)) throw new Difference(rule, `a commit was answered with digest ${digest}`);
    if (same && info?.etag !== there?.etag) {
      throw new Difference(rule, `a commit of what the key held changed its etag ${there?.etag} to ${info?.etag}`);
    }
    this.#blobs.set(step.key, { bytes, etag: info?.etag ?? "" });
    await this.#compareKey(step.key, this.#ruleOfBytes(upload));
  }

  async #look(index: number): Promise<void> {
    const upload = this.#uploads.get(index);
    if (upload !== undefined) return this.#stays(upload, "blob.append.09");
    const ended = this.#ended.get(index);
    const what = `GetUpload of an upload that ${ended === undefined ? "never was" : `was ${ended}`}`;
    const looking = this.#calls.blob.getUpload({ uploadId: this.#id(index) });
    // One of size 0 is what an unknown one must never be; one that holds bytes did not end as it should.
    const held = await looking.then(({ upload }) => upload?.persisted ?? 0).catch(() => 0);
    const rule = held > 0 ? this.#ruleOfEnd(index) : "blob.getupload.01";
    await refused(rule, what, looking, "UPLOAD_NOT_FOUND");
  }

  /** What GetUpload tells is in the model's bounds. */
  async #stays(upload: Upload, rule: string): Promise<void> {
    const answer = await answered(rule, "GetUpload", this.#calls.blob.getUpload({ uploadId: upload.id }));
    const persisted = answer.upload?.persisted ?? 0;
    if (persisted < upload.told || persisted > upload.bytes.length) {
      const range = `${upload.told} told persisted and ${upload.bytes.length} sent`;
      throw new Difference(rule, `GetUpload tells ${persisted} of ${range}`);
    }
    upload.told = persisted;
  }

  async #known(upload: Upload): Promise<boolean> {
    try {
      await this.#calls.blob.getUpload({ uploadId: upload.id });
      return true;
    } catch (error) {
      if (error instanceof Fault && error.reason === "UPLOAD_NOT_FOUND") return false;
      throw error;
    }
  }

  async #abort(index: number): Promise<void> {
    await answered("blob.abort.01", "AbortUpload", this.#calls.blob.abortUpload({ uploadId: this.#id(index) }));
    const upload = this.#uploads.get(index);
    if (upload === undefined) return;
    const { holder } = upload;
    for (const [slot, stream] of this.#streams) if (stream === holder) this.#gone(slot, stream);
    this.#end(upload, "aborted");
    if (holder === undefined) return;
    holder.session.halfClose();
    await refused("blob.abort.03", "a stream whose upload was aborted", holder.session.rest(), "UPLOAD_FENCED");
  }

  /** What is left when all steps are done. */
  async compare(): Promise<void> {
    for (const index of new Set(UPLOADS)) await this.#look(index);
    for (const key of KEYS) await this.#compareKey(key, "blob.append.11");
  }

  /** @param rule of what is not as the model has it */
  async #compareKey(key: string, rule: string): Promise<void> {
    const due = this.#blobs.get(key)?.bytes;
    const parts: Buffer[] = [];
    try {
      const messages = this.#calls.blob.read({ key: this.#prefix + key });
      for await (const { chunk } of messages) if (chunk) parts.push(chunk.data as Buffer);
    } catch (error) {
      if (!isAnswer(error)) throw error;
      const absent = error instanceof Fault && error.reason === "KEY_NOT_FOUND";
      if (!absent) throw new Difference(rule, `key ${key}: ${error.message}`);
      if (due === undefined) return;
      throw new Difference(rule, `key ${key} is not there; committed were ${due.length} bytes`);
    }
    const bytes = Buffer.concat(parts);
    if (due === undefined) {
      throw new Difference(rule, `key ${key} holds ${bytes.length} bytes; nothing was committed there`);
    }
    if (!bytes.equals(due)) {
      const at = due.findIndex((byte, index) => bytes[index] !== byte);
      throw new Difference(rule, `key ${key} holds ${bytes.length} bytes for ${due.length}, another at ${at}`);
    }
  }

  async end(): Promise<void> {
    for (const { session } of this.#streams.values()) session.cancel();
    for (const index of new Set(UPLOADS)) {
      await this.#calls.blob.abortUpload({ uploadId: this.#id(index) }).catch(() => {});
    }
  }

  #gone(slot: number, stream: Stream): void {
    this.#streams.delete(slot);
    if (stream.upload.holder === stream) stream.upload.holder = undefined;
  }

  #end(upload: Upload, how: "committed" | "aborted"): void {
    for (const [index, one] of this.#uploads) {
      if (one !== upload) continue;
      this.#uploads.delete(index);
      this.#ended.set(index, how);
    }
  }

  #id(index: number): string {
    return `${this.#uploadId}-${index}`;
  }

  #ruleOfEnd(index: number): string {
    const ended = this.#ended.get(index);
    return ended === "committed" ? "blob.append.16" : ended === "aborted" ? "blob.abort.03" : "blob.getupload.01";
  }

  /** Of bytes that turn out wrong: where several streams wrote them, the barrier between these is the first to be asked. */
  #ruleOfBytes({ opens }: Upload): string {
    return opens > 1 ? "blob.append.04" : "blob.append.07";
  }
}

/** A call that must be answered. @throws Difference where it is refused */
async function answered<Value>(
  rule: string | ((error: Fault | Silence) => string),
  what: string,
  call: Promise<Value>,
): Promise<Value> {
  try {
    return await call;
  } catch (error) {
    if (isAnswer(error))
      throw new Difference(typeof rule === "string" ? rule : rule(error), `${what}: ${error.message}`);
    throw error;
  }
}

/** A call that must be refused, for one of these reasons. @throws Difference where it is not */
async function refused(rule: string, what: string, call: Promise<unknown>, ...due: readonly Reason[]): Promise<Fault> {
  try {
    await call;
  } catch (error) {
    if (!isAnswer(error)) throw error;
    if (error instanceof Fault && due.some((reason) => reason === error.reason)) return error;
    throw new Difference(rule, `${what} was due ${due.join(" or ")}: ${error.message}`);
  }
  throw new Difference(rule, `${what} was due ${due.join(" or ")}, and was accepted`);
}

/** Silence is one, too: the driver is there, and owes this. Its connection's end is none. */
function isAnswer(error: unknown): error is Fault | Silence {
  return error instanceof Silence || (error instanceof Fault && error.reason !== undefined);
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Bytes that tell by themselves which stream sent them, and where they belong. */
function bytesOf(fill: number, offset: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let at = 0; at < size; at++) bytes[at] = (fill * 31 + (offset + at) * 7 + ((offset + at) >> 8)) & 0xff;
  return bytes;
}
