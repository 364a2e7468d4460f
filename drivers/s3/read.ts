/** Heads and reads. */
import { GetObjectCommand, type GetObjectCommandOutput, HeadObjectCommand } from "@aws-sdk/client-s3";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import type { ObjectBytes, ObjectFacts } from "../../server/objects/contract.ts";
import { etagMismatch, factsOf, isAbsent, keyNotFound, quoted } from "./facts.ts";
import type { Requests } from "./requests.ts";

export interface Range {
  readonly offsetBytes: number;
  readonly limitBytes?: number;
  readonly ifEtag?: string;
}

const PIECE_BYTES = 1024 * 1024;

export class Reads {
  readonly #requests: Requests;
  readonly #bucket: string;
  readonly #idleMs: number;

  /** @param idleMs how long a body may owe its next bytes */
  constructor(requests: Requests, bucket: string, idleMs: number) {
    this.#requests = requests;
    this.#bucket = bucket;
    this.#idleMs = idleMs;
  }

  async head(name: string, signal: AbortSignal): Promise<ObjectFacts | undefined> {
    try {
      const { output } = await this.#requests.harmless(
        { signal, meaning: (failure) => (isAbsent(failure) ? keyNotFound(name) : undefined) },
        (client, watched, options) =>
          client.send(watched(new HeadObjectCommand({ Bucket: this.#bucket, Key: name })), options),
      );
      return factsOf(name, output.ContentLength ?? 0, output);
    } catch (error) {
      if (hasReason(error, "KEY_NOT_FOUND")) return undefined;
      throw error;
    }
  }

  async read(name: string, range: Range, signal: AbortSignal): Promise<ObjectBytes> {
    const { offsetBytes, limitBytes, ifEtag } = range;
    if (limitBytes === 0) return this.#empty(name, range, signal);
    const leave = new AbortController();
    const ended = AbortSignal.any([signal, leave.signal]);
    let beyond = false;
    const last = limitBytes === undefined ? "" : offsetBytes + limitBytes - 1;
    const wanted = offsetBytes === 0 && limitBytes === undefined ? {} : { Range: `bytes=${offsetBytes}-${last}` };
    let output: GetObjectCommandOutput;
    try {
      ({ output } = await this.#requests.reading(
        {
          signal: ended,
          meaning: (failure) => {
            beyond = failure.status === 416;
            if (failure.status === 412) return etagMismatch(name);
            return isAbsent(failure) ? keyNotFound(name) : undefined;
          },
        },
        (client, watched, options) =>
          client.send(
            watched(
              new GetObjectCommand({
                Bucket: this.#bucket,
                Key: name,
                ...wanted,
                ...(ifEtag === undefined ? {} : { IfMatch: quoted(ifEtag) }),
              }),
            ),
            options,
          ),
      ));
    } catch (error) {
      // Nothing lies in the range: at the end of the object, or beyond.
      if (beyond) return this.#empty(name, range, signal);
      throw error;
    }
    return this.#bytesOf(name, range, output, leave);
  }

  #bytesOf(name: string, range: Range, output: GetObjectCommandOutput, leave: AbortController): ObjectBytes {
    const body = output.Body as AsyncIterable<Buffer> & {
      on(event: "error", listener: () => void): void;
      destroy(): void;
    };
    // An answer that nobody iterates must not bring the process down when it breaks off.
    body.on("error", () => {});
    const lengthBytes = output.ContentLength ?? 0;
    const told = /^bytes (\d+)-\d+\/(\d+)$/.exec(output.ContentRange ?? "");
    const startBytes = Number(told?.[1] ?? 0);
    const facts = factsOf(name, told === null ? lengthBytes : Number(told[2]), output);
    const cancel = async () => {
      body.destroy();
      leave.abort();
    };
    if (startBytes !== range.offsetBytes || lengthBytes > (range.limitBytes ?? lengthBytes)) {
      void cancel();
      throw new OutriggerError(
        "BACKEND_DOWN",
        `${this.#requests.asked.place} answers another range than was asked for`,
      );
    }
    return { facts, startBytes, lengthBytes, body: this.#pieces(body, lengthBytes, cancel), cancel };
  }

  async *#pieces(
    body: AsyncIterable<Buffer>,
    lengthBytes: number,
    cancel: () => Promise<void>,
  ): AsyncIterable<Uint8Array> {
    const { place } = this.#requests.asked;
    let got = 0;
    const pieces = body[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.#inTime(pieces.next());
        if (next.done) break;
        got += next.value.length;
        if (got > lengthBytes) break;
        for (let at = 0; at < next.value.length; at += PIECE_BYTES) yield next.value.subarray(at, at + PIECE_BYTES);
      }
      if (got !== lengthBytes) throw new Error(`it gave ${got} of ${lengthBytes} bytes`);
    } catch (error) {
      if (error instanceof OutriggerError) throw error;
      throw new OutriggerError("BACKEND_DOWN", `an answer of ${place} broke off: ${(error as Error).message}`, {
        cause: error,
      });
    } finally {
      await cancel();
    }
  }

  async #inTime<Value>(work: Promise<Value>): Promise<Value> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no byte came in ${this.#idleMs} ms`)), this.#idleMs);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #empty(name: string, { offsetBytes, ifEtag }: Range, signal: AbortSignal): Promise<ObjectBytes> {
    const facts = await this.head(name, signal);
    if (facts === undefined) throw keyNotFound(name);
    if (ifEtag !== undefined && ifEtag !== facts.etag) throw etagMismatch(name);
    if (offsetBytes > facts.sizeBytes) {
      throw new OutriggerError("OFFSET_MISMATCH", `${name} has ${facts.sizeBytes} bytes, fewer than ${offsetBytes}`);
    }
    return { facts, startBytes: offsetBytes, lengthBytes: 0, body: nothing(), async cancel() {} };
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
