/** Heads and reads. */
import type { BlobDownloadResponseParsed, ContainerClient } from "@azure/storage-blob";
import { OutriggerError } from "../../proto/errors.ts";
import type { ObjectBytes, ObjectFacts } from "../../server/objects/contract.ts";
import { etagMismatch, factsOf, isWhole, keyNotFound, type Meet, quoted } from "./facts.ts";
import { failureOf } from "./failures.ts";
import { pause, type Requests } from "./requests.ts";

/** How often a read whose answer breaks off goes on where it was, each time without a byte in between. */
const BROKEN_MOST = 3;

export interface Range {
  readonly offsetBytes: number;
  readonly limitBytes?: number;
  readonly ifEtag?: string;
}

export class Reads {
  readonly #container: ContainerClient;
  readonly #requests: Requests;

  readonly #meet: Meet;

  constructor(container: ContainerClient, requests: Requests, meet: Meet) {
    this.#container = container;
    this.#requests = requests;
    this.#meet = meet;
  }

  async head(name: string, signal: AbortSignal): Promise<ObjectFacts | undefined> {
    const told = await this.properties(name, signal);
    if (told === undefined || !isWhole(told.copyStatus)) return undefined;
    this.#meet(name, told.blobType);
    return factsOf(name, told.contentLength ?? 0, told);
  }

  /** Also of a copy that is not whole. */
  async properties(name: string, signal: AbortSignal) {
    const blob = this.#container.getBlobClient(name);
    try {
      const meaning = absence(name);
      return await this.#requests.harmless({ signal, meaning }, (abortSignal) => blob.getProperties({ abortSignal }));
    } catch (error) {
      if (error instanceof OutriggerError && error.reason === "KEY_NOT_FOUND") return undefined;
      throw error;
    }
  }

  async read(name: string, range: Range, signal: AbortSignal): Promise<ObjectBytes> {
    if (range.limitBytes === 0) return this.#empty(name, range, signal);
    const leave = new AbortController();
    const ended = AbortSignal.any([signal, leave.signal]);
    let response: BlobDownloadResponseParsed | undefined;
    try {
      response = await this.#download(name, range, ended);
    } catch (error) {
      leave.abort();
      throw error;
    }
    // Nothing lies in the range: at the end of the blob, or beyond.
    if (response === undefined) return this.#empty(name, range, signal);
    if (!isWhole(response.copyStatus)) {
      leave.abort();
      throw keyNotFound(name);
    }
    const lengthBytes = response.contentLength ?? 0;
    const startBytes = Number(/^bytes (\d+)-/.exec(response.contentRange ?? "")?.[1] ?? 0);
    if (startBytes !== range.offsetBytes || lengthBytes > (range.limitBytes ?? lengthBytes)) {
      leave.abort();
      throw new OutriggerError(
        "BACKEND_DOWN",
        `${this.#requests.asked.place} answers another range than was asked for`,
      );
    }
    const facts = factsOf(name, sizeOf(response), response);
    const first = response;
    const rest = { offsetBytes: range.offsetBytes, limitBytes: lengthBytes, ifEtag: facts.etag };
    return {
      facts,
      startBytes,
      lengthBytes,
      body: this.#pieces(name, rest, first, ended, leave),
      async cancel() {
        leave.abort();
      },
    };
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

  /** undefined: nothing lies in the range. */
  async #download(name: string, { offsetBytes, limitBytes, ifEtag }: Range, signal: AbortSignal) {
    const blob = this.#container.getBlobClient(name);
    const conditions = ifEtag === undefined ? {} : { ifMatch: quoted(ifEtag) };
    let beyond = false;
    try {
      return await this.#requests.harmless(
        {
          signal,
          meaning(failure) {
            if (failure.code === "InvalidRange") beyond = true;
            if (failure.code === "ConditionNotMet") return etagMismatch(name);
            return absence(name)(failure);
          },
        },
        async (abortSignal) => {
          // The request's own signal is let go of once it is answered; what is read after that ends by the caller's.
          const until = AbortSignal.any([abortSignal, signal]);
          const options = { abortSignal: until, conditions, maxRetryRequests: 0 };
          const response = await blob.download(offsetBytes, limitBytes, options);
          // An answer that nobody iterates must not bring the process down when it breaks off.
          response.readableStreamBody?.on("error", () => {});
          return response;
        },
      );
    } catch (error) {
      if (beyond) return undefined;
      throw error;
    }
  }

  /** The rest of the range, over answers that break off; the etag holds the content fast. */
  async *#pieces(
    name: string,
    range: Required<Range>,
    first: BlobDownloadResponseParsed,
    ended: AbortSignal,
    leave: AbortController,
  ): AsyncIterable<Uint8Array> {
    const { timeoutMs } = this.#requests;
    let response = first;
    let got = 0;
    let broken = 0;
    try {
      while (got < range.limitBytes) {
        try {
          for await (const piece of bodyOf(response, timeoutMs)) {
            broken = 0;
            got += piece.length;
            if (got > range.limitBytes) throw new Error("received more data than was asked for");
            yield piece;
          }
          if (got < range.limitBytes) throw new Error("received less data than was asked for");
        } catch (error) {
          ended.throwIfAborted();
          const failure = failureOf(error, this.#requests.asked);
          if (!failure.passing || ++broken > BROKEN_MOST) throw failure.error;
          await pause(broken, 0, ended);
          const rest = {
            offsetBytes: range.offsetBytes + got,
            limitBytes: range.limitBytes - got,
            ifEtag: range.ifEtag,
          };
          const next = await this.#download(name, rest, ended);
          if (next === undefined) throw failure.error;
          response = next;
        }
      }
    } finally {
      leave.abort();
    }
  }
}

/** 404 of a blob; a container that is not there is another thing. */
export function absence(name: string) {
  return ({ code }: { readonly code: string }) => (code === "BlobNotFound" ? keyNotFound(name) : undefined);
}

/** Of the whole blob. */
function sizeOf(response: BlobDownloadResponseParsed): number {
  const total = /\/(\d+)$/.exec(response.contentRange ?? "")?.[1];
  return total === undefined ? (response.contentLength ?? 0) : Number(total);
}

async function* bodyOf(response: BlobDownloadResponseParsed, timeoutMs: number): AsyncIterable<Uint8Array> {
  const body = response.readableStreamBody;
  if (body === undefined) throw new Error("received less data than was asked for");
  const pieces = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await inTime(pieces.next(), timeoutMs);
      if (next.done) return;
      yield next.value as Buffer;
    }
  } finally {
    (body as NodeJS.ReadableStream & { destroy?: () => void }).destroy?.();
  }
}

async function inTime<Value>(promise: Promise<Value>, timeoutMs: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("received less data than was asked for, in time")), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function* nothing(): AsyncIterable<Uint8Array> {}
