/** A gRPC stream's two directions: messages asked for one at a time, and sends that wait for room. */
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import type { Metadata } from "@grpc/grpc-js";
import { OutriggerError } from "../../../proto/errors.ts";

/** The peer's messages, asked for one at a time; `undefined` after its half-close. */
export function requestsOf<Message>(
  call: Readable,
): (signal: AbortSignal, withinMs: number) => Promise<Message | undefined> {
  const queue: (Message | undefined)[] = [];
  let wake = () => {};
  const received = (message: Message | undefined) => {
    queue.push(message);
    call.pause();
    wake();
  };
  call.on("data", received).on("end", () => received(undefined));
  return (signal, withinMs) =>
    new Promise((resolve, reject) => {
      const finish = (act: () => void) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        wake = () => {};
        act();
      };
      const onAbort = () => finish(() => reject(signal.reason));
      const idle = new OutriggerError("STREAM_IDLE", `nothing came within ${withinMs} ms`);
      const timer = setTimeout(() => finish(() => reject(idle)), withinMs);
      signal.addEventListener("abort", onAbort, { once: true });
      wake = () => {
        if (queue.length > 0) finish(() => resolve(queue.shift()));
      };
      if (signal.aborted) return onAbort();
      wake();
      if (queue.length === 0) call.resume();
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
