/** A gRPC stream's two directions as async iteration and awaited sends. */
import type { Readable, Writable } from "node:stream";
import { OutriggerError } from "../proto/errors.ts";
import { limits } from "../proto/limits.ts";
import { readOneAhead } from "./receive-window.ts";

/**
 * How many bytes of one stream wait for their reader before more are made; grpc-js would count 16 messages. Two chunks:
 * one on its way while the next is made. More gained nothing, and each stalled pull holds as much.
 */
const IN_FLIGHT_BYTES = 2 * limits.preferredChunkBytes;

/** The peer's messages. Throws when it goes before its half-close. */
export function messagesOf<Message>(call: Readable & { cancelled: boolean }): AsyncIterable<Message> {
  readOneAhead(call);
  let waiting: { resolve: (result: IteratorResult<Message>) => void; reject: (error: Error) => void } | undefined;
  let ended = false;
  let gone = false;

  function look(): void {
    if (waiting === undefined) return;
    const { resolve, reject } = waiting;
    const message: Message | null = gone || ended ? null : call.read();
    if (message !== null) {
      waiting = undefined;
      resolve({ done: false, value: message });
    } else if (ended) {
      waiting = undefined;
      resolve({ done: true, value: undefined });
    } else if (gone) {
      waiting = undefined;
      reject(callerGone());
    }
  }

  call.on("readable", look);
  call.on("end", () => {
    // 'end' also comes of an orderly half-close only: grpc-js destroys the stream when the peer resets it.
    ended = true;
    look();
  });
  call.on("cancelled", () => {
    gone = true;
    look();
  });
  return {
    [Symbol.asyncIterator]: () => ({
      next: () =>
        new Promise((resolve, reject) => {
          waiting = { resolve, reject };
          if (call.cancelled) gone = true;
          look();
        }),
    }),
  };
}

/** Sends; resolves when there is room for more. Rejects once the peer has gone. */
export function senderTo<Message>(
  call: Writable & { cancelled: boolean },
): (message: Message, bytes: number) => Promise<void> {
  let inFlight = 0;
  let waiting: { resolve: () => void; reject: (error: Error) => void } | undefined;
  call.on("cancelled", () => {
    waiting?.reject(callerGone());
    waiting = undefined;
  });
  return (message, bytes) => {
    if (call.cancelled || call.writableEnded) return Promise.reject(callerGone());
    // Empty messages count too: they are held as well.
    const size = bytes + 64;
    inFlight += size;
    call.write(message, () => {
      inFlight -= size;
      if (inFlight < IN_FLIGHT_BYTES) {
        waiting?.resolve();
        waiting = undefined;
      }
    });
    if (inFlight < IN_FLIGHT_BYTES) return Promise.resolve();
    return new Promise((resolve, reject) => {
      waiting = { resolve, reject };
    });
  };
}

function callerGone(): OutriggerError {
  return new OutriggerError("STREAM_BROKEN", "the caller has gone");
}
