/** A blob's bytes to a client, with backpressure: a stalled pull holds at most two chunks. */
import { read as readDescriptor } from "node:fs";
import type { ServerResponse } from "node:http";
import type { BlobRead } from "../../client/contract.ts";
import { ALWAYS, answer, type Exchange } from "./exchange.ts";

/** Up to here a blob is read before its head is sent, and both go out in one write. */
const ONE_WRITE_BYTES = 128 * 1024;
/** Measured: half the processor time of 256 KiB; twice this is what a stalled pull holds. */
const CHUNK_BYTES = 512 * 1024;

/** The client closed its connection: nobody to tell. */
class PullEnded extends Error {}

/** Sends all of `read`, whichever way it offers, and frees it. Errors before the head's sending reject; later ones cut off. */
export async function sendBlob(exchange: Exchange, status: number, headers: string[], read: BlobRead): Promise<void> {
  const { response, shared, context } = exchange;
  shared.traffic.pullsOpen += 1;
  try {
    if (read.lengthBytes <= ONE_WRITE_BYTES) {
      answer(exchange, status, headers, await collect(read));
      return;
    }
    const cut = () => response.destroy();
    context.signal.addEventListener("abort", cut, { once: true });
    try {
      await (read.file
        ? streamFile(exchange, status, headers, read.file.fd, read)
        : streamBody(exchange, status, headers, read));
    } finally {
      context.signal.removeEventListener("abort", cut);
    }
  } catch (error) {
    if (error instanceof PullEnded) return;
    if (!response.headersSent) throw error;
    // A head with a length is out: only a broken connection can say that the rest will not come.
    if (!response.destroyed) {
      shared.log.warn({ err: error, requestId: context.requestId }, "a pull was cut off");
      response.destroy();
    }
  } finally {
    shared.traffic.pullsOpen -= 1;
    await free(exchange, read);
  }
}

function free(exchange: Exchange, read: BlobRead): Promise<void> {
  const done = read.file ? read.file.close() : read.cancel();
  return done.catch((error: unknown) =>
    exchange.shared.log.warn({ err: error }, "a blob's reader could not be closed"),
  );
}

async function collect(read: BlobRead): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(read.lengthBytes);
  if (read.file) {
    await fill(read.file.fd, bytes, read.lengthBytes, read.startBytes);
    return bytes;
  }
  let at = 0;
  for await (const chunk of read.body) {
    if (at === 0 && chunk.length === read.lengthBytes) return chunk;
    at += chunk.copy(bytes, at);
  }
  if (at !== read.lengthBytes) throw short(at, read);
  return bytes;
}

async function streamBody(exchange: Exchange, status: number, headers: string[], read: BlobRead): Promise<void> {
  const { response, shared } = exchange;
  let sent = 0;
  let begun = false;
  for await (const chunk of read.body) {
    if (!begun) {
      // Only now: an error before the first byte is still an answer of its own.
      head(exchange, status, headers);
      begun = true;
    }
    sent += chunk.length;
    shared.traffic.bytesOut += chunk.length;
    if (!response.write(chunk)) await drained(response);
  }
  if (sent !== read.lengthBytes) throw short(sent, read);
  response.end();
}

/**
 * While one chunk is on its way to the socket, the next one is read into the other of two buffers: memory that is used
 * again costs neither page faults nor collections, and is what a stalled pull holds.
 */
async function streamFile(
  exchange: Exchange,
  status: number,
  headers: string[],
  descriptor: number,
  read: BlobRead,
): Promise<void> {
  const { response, shared } = exchange;
  const end = read.startBytes + read.lengthBytes;
  const buffers = [Buffer.allocUnsafeSlow(CHUNK_BYTES), Buffer.allocUnsafeSlow(CHUNK_BYTES)] as const;
  let position = read.startBytes;
  let turn: 0 | 1 = 0;
  const next = (): Promise<Buffer> => {
    const chunk = buffers[turn].subarray(0, Math.min(CHUNK_BYTES, end - position));
    const filled = fill(descriptor, chunk, chunk.length, position);
    position += chunk.length;
    turn = turn === 0 ? 1 : 0;
    return filled.then(() => chunk);
  };
  let coming: Promise<Buffer> | undefined = next();
  let sending: Promise<void> = Promise.resolve();
  let begun = false;
  try {
    while (coming) {
      const chunk: Buffer = await coming;
      // Its buffer is free again only once the socket has taken what was in it.
      await sending;
      if (!begun) {
        head(exchange, status, headers);
        begun = true;
      }
      shared.traffic.bytesOut += chunk.length;
      sending = taken(response, chunk);
      sending.catch(() => {});
      coming = position < end ? next() : undefined;
    }
    await sending;
    response.end();
  } finally {
    // The descriptor is closed after this: no read may still be under way on its number.
    await coming?.catch(() => {});
  }
}

/** Resolves once the socket has taken the chunk. */
function taken(response: ServerResponse, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    if (response.destroyed) return reject(new PullEnded());
    const onClose = () => reject(new PullEnded());
    response.once("close", onClose);
    response.write(chunk, () => {
      response.off("close", onClose);
      if (response.destroyed) reject(new PullEnded());
      else resolve();
    });
  });
}

function head(exchange: Exchange, status: number, headers: string[]): void {
  headers.push(...ALWAYS);
  exchange.response.writeHead(status, headers);
}

function fill(descriptor: number, into: Buffer, length: number, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let at = 0;
    const more = () => {
      readDescriptor(descriptor, into, at, length - at, position + at, (error, count) => {
        if (error) return reject(error);
        if (count === 0) return reject(new Error(`a blob's file ends ${length - at} bytes too early`));
        at += count;
        if (at < length) more();
        else resolve();
      });
    };
    if (length === 0) resolve();
    else more();
  });
}

function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed || response.writableFinished) return Promise.reject(new PullEnded());
  return new Promise((resolve, reject) => {
    const onDrain = () => {
      response.off("close", onClose);
      resolve();
    };
    const onClose = () => {
      response.off("drain", onDrain);
      reject(new PullEnded());
    };
    response.once("drain", onDrain);
    response.once("close", onClose);
  });
}

function short(sent: number, read: BlobRead): Error {
  return new Error(`a blob's reader gave ${sent} of ${read.lengthBytes} bytes`);
}
