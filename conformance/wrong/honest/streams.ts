/** A gRPC stream's two directions: messages asked for one at a time, and sends that wait for room. */
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import type { Metadata } from "@grpc/grpc-js";
import { OutriggerError } from "../../../proto/errors.ts";

/** The peer's messages, asked for one at a time; `undefined` after its half-close. */
export function requestsOf<Message>(
  call: Readable,
): (signal: AbortSignal, withinMs: number) => Promise<Message | undefined> {
  const messages: AsyncIterator<Message> = call[Symbol.asyncIterator]();
  return (signal, withinMs) =>
    new Promise((resolve, reject) => {
      const idle = () => reject(new OutriggerError("STREAM_IDLE", `nothing came within ${withinMs} ms`));
      const timer = setTimeout(idle, withinMs);
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
      messages
        .next()
        .then(({ done, value }) => resolve(done ? undefined : value), reject)
        .finally(() => {
          clearTimeout(timer);
          signal.removeEventListener("abort", onAbort);
        });
    });
}

export interface Sender<Message> {
  /** Resolves when there is room for more. */
  (message: Message, signal?: AbortSignal): Promise<void>;
  /** Whether anything was sent, what every answer carries included. */
  readonly begun: boolean;
}

export function senderTo<Message>(
  call: Writable & { sendMetadata(metadata: Metadata): void },
  answerHead: () => Metadata,
): Sender<Message> {
  let begun = false;
  const send = async (message: Message, signal?: AbortSignal) => {
    if (!begun) call.sendMetadata(answerHead());
    begun = true;
    if (call.writableEnded || call.destroyed) throw new Error("the caller has gone");
    if (!call.write(message)) await once(call, "drain", signal === undefined ? {} : { signal });
  };
  return Object.defineProperty(send, "begun", { get: () => begun }) as Sender<Message>;
}
