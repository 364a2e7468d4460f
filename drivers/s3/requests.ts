/** One request: sent in time or not at all, repeated only where that is harmless, and its failure in our words. */
import { setMaxListeners } from "node:events";
import type { S3Client } from "@aws-sdk/client-s3";
import { hasReason, type OutriggerError } from "../../proto/errors.ts";
import type { Clients } from "./client.ts";
import { sentAgain } from "./conflicts.ts";
import { type Asked, type Failure, failureOf, refusal } from "./errors.ts";

export interface How {
  readonly signal: AbortSignal;
  /** Called right before each attempt. */
  readonly assertInTime?: () => void;
  /** What certain failures mean; undefined: nothing special. */
  readonly meaning?: (failure: Failure) => OutriggerError | undefined;
  /** Default: what the client was made with. */
  readonly timeoutMs?: number;
}

export interface SendOptions {
  readonly abortSignal: AbortSignal;
  readonly requestTimeout?: number;
}

/** `(client, watched, options) => client.send(watched(new PutObjectCommand(…)), options)` */
export type Send<Output> = (
  client: S3Client,
  watched: <Command extends Watchable>(command: Command) => Command,
  options: SendOptions,
) => Promise<Output>;

interface Watchable {
  readonly middlewareStack: { add(middleware: never, options: object): void };
}

export interface Told<Output> {
  readonly output: Output;
  /** When the server answered, by its clock; 0: not told. */
  readonly dateMs: number;
}

export class Requests {
  readonly clients: Clients;
  readonly asked: Asked;

  constructor(clients: Clients, bucket: string) {
    this.clients = clients;
    this.asked = { place: clients.place, bucket, region: () => clients.once.config.region() };
  }

  /** @throws OutriggerError */
  harmless<Output>(how: How, send: Send<Output>): Promise<Told<Output>> {
    return this.#send(this.clients.patient, how, send);
  }

  /** Never repeated. @throws OutriggerError; BACKEND_DOWN leaves open what became of it */
  once<Output>(how: How, send: Send<Output>): Promise<Told<Output>> {
    return this.#send(this.clients.once, how, send);
  }

  /** Its answer may be read slowly, by many. */
  reading<Output>(how: How, send: Send<Output>): Promise<Told<Output>> {
    return this.#send(this.clients.reading, how, send);
  }

  /** That other keys lie above or below is said also while a server with folders takes one away. */
  #send<Output>(client: S3Client, how: How, send: Send<Output>): Promise<Told<Output>> {
    return sentAgain(
      (error) => hasReason(error, "KEY_CONFLICT"),
      how.signal,
      () => this.#sendOnce(client, how, send),
    );
  }

  async #sendOnce<Output>(client: S3Client, how: How, send: Send<Output>): Promise<Told<Output>> {
    how.signal.throwIfAborted();
    let dateMs = 0;
    let operation = "";
    let tooLate: { readonly error: unknown } | undefined;
    const attempt = (next: (args: object) => Promise<{ readonly response: unknown }>) => async (args: object) => {
      try {
        how.assertInTime?.();
      } catch (error) {
        tooLate = { error };
        throw error;
      }
      const result = await next(args);
      const date = (result.response as { readonly headers?: Readonly<Record<string, string>> }).headers?.["date"];
      dateMs = Date.parse(date ?? "") || 0;
      return result;
    };
    const watched = <Command extends Watchable>(command: Command): Command => {
      operation = command.constructor.name.replace(/Command$/, "");
      // The innermost step: taken again by each attempt.
      command.middlewareStack.add(attempt as never, { step: "deserialize", priority: "low", name: "attempt" });
      return command;
    };
    // Many requests of one call share its signal, and each takes its listener away.
    setMaxListeners(0, how.signal);
    try {
      const output = await send(client, watched, {
        abortSignal: how.signal,
        ...(how.timeoutMs === undefined ? {} : { requestTimeout: how.timeoutMs }),
      });
      return { output, dateMs };
    } catch (error) {
      if (tooLate !== undefined) throw tooLate.error;
      how.signal.throwIfAborted();
      throw how.meaning?.(failureOf(error)) ?? (await refusal(error, operation, this.asked));
    }
  }
}
