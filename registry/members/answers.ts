/** Another member's answer: its head looked at before anybody believes it, its body bounded in time and in bytes. */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Clock } from "../../proto/clock.ts";
import { isMemberError, MemberDisagrees, MemberDown, MemberWrong } from "./errors.ts";
import { MEMBER } from "./peers.ts";

/** Its head; whoever has it reads the body to its end, one way or the other, or discards it. */
export interface OpenAnswer {
  readonly member: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Consumed once. Rejects with MemberDown when it breaks off or falls silent. */
  readonly body: AsyncIterable<Buffer>;
  /**
   * All of the body.
   * @param took told of each piece's bytes; may throw: it is too much
   * @throws MemberDown as `body`; MemberWrong beyond `maxBytes`; what `took` throws
   */
  whole(maxBytes: number, took?: (sizeBytes: number) => void): Promise<Buffer>;
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
/** Of what the API answers whole: a manifest has 4 MiB, a page of 1000 referrers with their annotations may have more. */
export const MAX_WHOLE_BYTES = 32 * 1024 * 1024;

/** What no member may answer is refused. @throws MemberWrong, MemberDisagrees */
export async function checkedAnswer(member: string, response: IncomingMessage, clock: Clock): Promise<OpenAnswer> {
  const { statusCode: status = 0, headers } = response;
  const answer: OpenAnswer = {
    member,
    status,
    headers,
    body: bodyOf(member, response, clock),
    whole: (maxBytes, took) => wholeOf(member, response, clock, maxBytes, took),
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
      const cancel = clock.after(IDLE_MS, () => response.destroy(silent(member)));
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

/** By events, not by iterating: of a small answer that is a third of the work. */
function wholeOf(
  member: string,
  response: IncomingMessage,
  clock: Clock,
  maxBytes: number,
  took: (sizeBytes: number) => void = () => {},
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    let cancelSilence = () => {};
    const fail = (error: unknown) => {
      cancelSilence();
      response.destroy();
      reject(error);
    };
    const tooLong = () => fail(new MemberWrong(member, `answers with more than ${maxBytes} bytes`));
    const brokenOff = (error?: unknown) =>
      fail(isMemberError(error) ? error : new MemberDown(member, "it broke off its answer", error));
    const awaitNext = () => {
      cancelSilence();
      cancelSilence = clock.after(IDLE_MS, () => fail(silent(member)));
    };
    if (Number(response.headers["content-length"] ?? 0) > maxBytes) return tooLong();
    if (response.destroyed && !response.readableEnded) return brokenOff(response.errored);
    const onClose = () => brokenOff(response.errored);
    response.on("error", brokenOff);
    response.once("close", onClose);
    response.once("end", () => {
      cancelSilence();
      response.off("close", onClose);
      const [only] = chunks;
      resolve(chunks.length === 1 && only ? only : Buffer.concat(chunks, sizeBytes));
    });
    response.on("data", (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) return tooLong();
      try {
        took(chunk.length);
      } catch (error) {
        return fail(error);
      }
      chunks.push(chunk);
      awaitNext();
    });
    awaitNext();
  });
}

function silent(member: string): MemberDown {
  return new MemberDown(member, `no byte of its answer came for ${IDLE_MS / 1000} s`);
}

/** The first message of an OCI error, for another message. */
async function messageOf(answer: OpenAnswer): Promise<string> {
  try {
    const parsed = JSON.parse((await answer.whole(16 * 1024)).toString("utf8")) as {
      errors?: { message?: unknown }[];
    };
    return String(parsed.errors?.[0]?.message ?? `it answers ${answer.status}`).slice(0, 300);
  } catch {
    return `it answers ${answer.status}`;
  }
}
