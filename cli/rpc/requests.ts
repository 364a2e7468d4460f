/** Where the requests of a call by hand come from: the command line, standard input, a file of bytes. */
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { limits } from "../../proto/limits.ts";
import { Failure, UsageFailure } from "../failure.ts";
import { messageFromJson } from "./from-json.ts";
import type { Method } from "./schema.ts";
import type { Message } from "./wire.ts";

/** @throws UsageFailure for what is not JSON, or not this message's */
export function parseRequest({ request }: Method, text: string, where: string): Message {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UsageFailure(`${where} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  return messageFromJson(request, json);
}

/** One request a line; empty lines are nothing. */
export async function* requestsFrom(input: NodeJS.ReadableStream, method: Method): AsyncGenerator<Message> {
  let number = 0;
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    if (line.trim() !== "") yield parseRequest(method, line, `line ${number}`);
  }
}

/** A file as chunks of an Append from `offset` on. @throws Failure when the file is shorter than that */
export async function* chunksOf(path: string, offset: number): AsyncGenerator<Message> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size < offset)
      throw new Failure(`the upload holds ${offset} bytes already and ${path} only ${size}: it is another upload`);
    for (let at = offset; ; ) {
      const data = Buffer.allocUnsafe(limits.preferredChunkBytes);
      const { bytesRead } = await file.read(data, 0, data.length, at);
      if (bytesRead === 0) return;
      yield { chunk: { offset: at, data: data.subarray(0, bytesRead) } };
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}
