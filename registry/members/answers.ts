/** Another member's answer: its head looked at before anybody believes it, its body bounded in time and in bytes. */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Clock } from "../../proto/clock.ts";
import { isMemberError, MemberDisagrees, MemberDown, MemberWrong } from "./errors.ts";
import { MEMBER } from "./peers.ts";

/** Its head; whoever has it reads the body to its end, or discards it. */
export interface OpenAnswer {
  readonly member: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Consumed once. Rejects with MemberDown when it breaks off or falls silent. */
  readonly body: AsyncIterable<Buffer>;
  discard(): void;
}

export interface WholeAnswer {
  readonly member: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A member that sends no byte of its answer, or takes none of a body, for so long is given up. */
export const IDLE_MS = 60_000;

/** What no member may answer is refused. @throws MemberWrong, MemberDisagrees */
export async function checkedAnswer(member: string, response: IncomingMessage, clock: Clock): Promise<OpenAnswer> {
  const { statusCode: status = 0, headers } = response;
  const answer: OpenAnswer = {
    member,
    status,
    headers,
    body: bodyOf(member, response, clock),
    // One that has come whole leaves its connection for others.
    discard: () => void (response.complete ? response.resume() : response.destroy()),
  };
  const wrong = async (what: string): Promise<never> => {
    answer.discard();
    throw new MemberWrong(member, what);
  };
  const said = headers[MEMBER];
  if (said === undefined)
    return wrong(
      `answers ${status} as no member would: does its url in cluster.members lead to a member of this cluster?`,
    );
  if (said !== member)
    return wrong(`answers as ${String(said).slice(0, 40)}: its url in cluster.members leads to another one`);
  if (status === 421) throw new MemberDisagrees(member, await messageOf(answer));
  if (status === 401 || status === 508) return wrong(`refuses this one: ${await messageOf(answer)}`);
  if (status < 200 || (status >= 300 && status < 400 && status !== 304))
    return wrong(`answers ${status}, which no member may: redirects are not followed`);
  return answer;
}

async function* bodyOf(member: string, response: IncomingMessage, clock: Clock): AsyncGenerator<Buffer, void> {
  const chunks: AsyncIterator<Buffer> = response[Symbol.asyncIterator]();
  try {
    for (;;) {
      const cancel = clock.after(IDLE_MS, () =>
        response.destroy(new MemberDown(member, `no byte of its answer came for ${IDLE_MS / 1000} s`)),
      );
      const next = await chunks.next().finally(cancel);
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    throw isMemberError(error) ? error : new MemberDown(member, "it broke off its answer", error);
  } finally {
    if (!response.readableEnded) response.destroy();
  }
}

/** @throws MemberWrong beyond `maxBytes` */
export async function collect(answer: OpenAnswer, maxBytes: number): Promise<Buffer> {
  const tooLong = () => {
    answer.discard();
    return new MemberWrong(answer.member, `answers with more than ${maxBytes} bytes`);
  };
  if (Number(answer.headers["content-length"] ?? 0) > maxBytes) throw tooLong();
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of answer.body) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) throw tooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, sizeBytes);
}

/** The first message of an OCI error, for another message. */
async function messageOf(answer: OpenAnswer): Promise<string> {
  try {
    const parsed = JSON.parse((await collect(answer, 16 * 1024)).toString("utf8")) as {
      errors?: { message?: unknown }[];
    };
    return String(parsed.errors?.[0]?.message ?? `it answers ${answer.status}`).slice(0, 300);
  } catch {
    return `it answers ${answer.status}`;
  }
}
