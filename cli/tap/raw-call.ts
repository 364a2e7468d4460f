/** A call whose messages are bytes, sent as they are and kept as they come. */

import { setTimeout as sleep } from "node:timers/promises";
import { Client, type ClientDuplexStream, status as Code, Metadata, type StatusObject } from "@grpc/grpc-js";
import type { StoreTarget } from "../../client/contract.ts";
import { fromStatus } from "../../proto/errors.ts";
import { channelCredentials } from "../link.ts";
import type { Outcome } from "./seen-call.ts";

export function openRaw(target: StoreTarget): Client {
  return new Client(target.address, channelCredentials(target), {
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    "grpc.enable_retries": 0,
    ...(target.tls?.serverName === undefined ? {} : { "grpc.ssl_target_name_override": target.tls.serverName }),
  });
}

export class RawCall {
  readonly answers: Buffer[] = [];
  readonly ended: Promise<Outcome>;
  readonly #stream: ClientDuplexStream<Buffer, Buffer>;
  readonly #answered: Promise<void>;
  #over = false;

  constructor(client: Client, path: string, metadata: Readonly<Record<string, string>>) {
    const sent = new Metadata();
    for (const [name, value] of Object.entries(metadata))
      sent.add(name, name.endsWith("-bin") ? Buffer.from(value, "base64") : value);
    const same = (bytes: Buffer) => bytes;
    const stream = client.makeBidiStreamRequest(path, same, same, sent);
    this.#stream = stream;
    let answered = () => {};
    this.#answered = new Promise((resolve) => {
      answered = resolve;
    });
    stream.on("data", (answer: Buffer) => {
      this.answers.push(answer);
      answered();
    });
    // The status says what went wrong.
    stream.on("error", () => undefined);
    this.ended = new Promise((resolve) => {
      stream.once("status", ({ code, details, metadata: trailers }: StatusObject) => {
        this.#over = true;
        answered();
        resolve({ code, reason: fromStatus(code, details, trailers)?.reason ?? "", message: details });
      });
    });
  }

  /** Resolves when there is room for more, or the call is over. */
  async send(data: Buffer, withinMs: number): Promise<void> {
    if (this.#over || this.#stream.write(data)) return;
    const drained = new Promise<void>((resolve) => this.#stream.once("drain", resolve));
    await within(withinMs, Promise.race([drained, this.ended.then(() => undefined)]));
  }

  finish(): void {
    if (!this.#over) this.#stream.end();
  }

  cancel(): void {
    this.#stream.cancel();
  }

  /** Resolves with the first answer, the end, or `withinMs` later. */
  async answered(withinMs: number): Promise<void> {
    await within(withinMs, this.#answered);
  }

  /** @returns CANCELLED with "no answer" when it takes longer */
  async outcome(withinMs: number): Promise<Outcome> {
    const ended = await within(withinMs, this.ended);
    if (ended !== undefined) return ended;
    this.cancel();
    return { code: Code.DEADLINE_EXCEEDED, reason: "", message: `no answer within ${withinMs / 1000} s` };
  }
}

/** `undefined` once the time is over. */
async function within<Value>(ms: number, promise: Promise<Value>): Promise<Value | undefined> {
  const abort = new AbortController();
  try {
    return await Promise.race([promise, sleep(ms, undefined, { signal: abort.signal })]);
  } finally {
    abort.abort();
  }
}
