/** A request's body: read with backpressure, its length held against what was said, ended when its client is silent. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../proto/clock.ts";
import { RegistryError } from "../errors.ts";
import type { Traffic } from "./exchange.ts";

export interface BodyLimits {
  /** A client that sends nothing for so long while it could is given up; what came is kept. */
  readonly idleMs: number;
  readonly manifestBytes: number;
}

/** The client ended its request before the body's end: nobody waits for an answer. */
export class ClientGone extends Error {
  constructor(cause: unknown) {
    super("the client closed the connection before the end of its body", { cause });
    this.name = "ClientGone";
  }
}

export interface BodySource {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly clock: Clock;
  readonly limits: BodyLimits;
  readonly traffic: Traffic;
  readonly ended: AbortSignal;
}

const waitingForContinue = new WeakSet<IncomingMessage>();

/** The client holds its body back until it is told to go on (Expect: 100-continue). */
export function expectsContinue(request: IncomingMessage): void {
  waitingForContinue.add(request);
}

/** The body was never asked for: the client will not send it, and what follows on its connection cannot be told. */
export function neverContinued(request: IncomingMessage): boolean {
  return waitingForContinue.has(request);
}

/** @throws SIZE_INVALID */
export function contentLength(request: IncomingMessage): number | undefined {
  const text = request.headers["content-length"];
  if (text === undefined) return request.headers["transfer-encoding"] === undefined ? 0 : undefined;
  const length = Number(text);
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(length))
    throw new RegistryError("SIZE_INVALID", `Content-Length ${text.slice(0, 50)} is not a length`);
  return length;
}

/**
 * The body's bytes; consumed once. Throws what ended it early: ClientGone; SIZE_INVALID beyond or below `expectedBytes`;
 * UNAVAILABLE when the registry stops. Bytes yielded before are the client's, in order.
 */
export async function* readBody(source: BodySource, expectedBytes: number | undefined): AsyncGenerator<Buffer, void> {
  const { request, response, clock, limits, traffic, ended } = source;
  if (ended.aborted) throw stopping();
  if (waitingForContinue.delete(request)) response.writeContinue();
  let received = 0;
  let failure: Error | undefined;
  // Destroying the request is what wakes a read that waits; the socket below it stays for the answer.
  const give = (error: Error) => {
    failure ??= error;
    wake();
  };
  let wake = () => {};
  const onEnded = () => give(stopping());
  let cancelIdle = () => {};
  ended.addEventListener("abort", onEnded, { once: true });
  // Also when it closes: the loop then sees whether that was its end.
  const onReadable = () => wake();
  const onError = (error: Error) => give(new ClientGone(error));
  request.on("readable", onReadable);
  request.on("end", onReadable);
  request.on("error", onError);
  request.on("close", onReadable);
  try {
    for (;;) {
      if (failure) throw failure;
      const chunk: Buffer | null = request.read();
      if (chunk !== null) {
        received += chunk.length;
        traffic.bytesIn += chunk.length;
        if (expectedBytes !== undefined && received > expectedBytes) {
          throw new RegistryError(
            "SIZE_INVALID",
            `the body is longer than the ${expectedBytes} bytes it was said to have`,
          );
        }
        yield chunk;
        continue;
      }
      if (request.readableEnded) {
        if (expectedBytes !== undefined && received < expectedBytes) {
          throw new RegistryError(
            "SIZE_INVALID",
            `the body has ${received} of the ${expectedBytes} bytes it was said to have`,
          );
        }
        return;
      }
      if (request.destroyed) throw new ClientGone(request.errored);
      // The timer runs only while the client owes bytes: backpressure is not its fault.
      cancelIdle = clock.after(limits.idleMs, () =>
        give(
          new RegistryError(
            "BLOB_UPLOAD_INVALID",
            `no byte of the body came for ${Math.round(limits.idleMs / 1000)} s`,
            {
              status: 408,
            },
          ),
        ),
      );
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      cancelIdle();
    }
  } finally {
    cancelIdle();
    ended.removeEventListener("abort", onEnded);
    request.off("readable", onReadable);
    request.off("end", onReadable);
    request.off("close", onReadable);
    // An error may still come after: unheard it would end the process.
    request.on("error", () => {});
    request.off("error", onError);
  }
}

/** A body that must fit into memory. @throws MANIFEST_INVALID (413), SIZE_INVALID, ClientGone */
export async function readWhole(source: BodySource, limitBytes: number): Promise<Buffer> {
  const length = contentLength(source.request);
  if (length !== undefined && length > limitBytes) throw tooLarge(limitBytes);
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of readBody(source, length)) {
    sizeBytes += chunk.length;
    if (sizeBytes > limitBytes) throw tooLarge(limitBytes);
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, sizeBytes);
}

function tooLarge(limitBytes: number): RegistryError {
  return new RegistryError("MANIFEST_INVALID", `the manifest is larger than ${limitBytes} bytes`, {
    status: 413,
    detail: { limit: limitBytes },
  });
}

function stopping(): RegistryError {
  return new RegistryError("UNAVAILABLE", "the registry is stopping; the upload can go on where its status says", {
    retryAfterSeconds: 1,
  });
}
