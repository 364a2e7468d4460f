/** An answer before the request's body has come to its end. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../proto/clock.ts";
import { neverContinued } from "./body.ts";

const MAX_DISCARDED_BYTES = 64 * 1024 * 1024;
const MAX_DISCARDING_MS = 10_000;

/** Calls `answer`; what is left of the body then is nobody's. What `answer` throws leaves all of it to whoever catches that. */
export function answerEarly(
  request: IncomingMessage,
  response: ServerResponse,
  clock: Clock,
  answer: () => void,
): void {
  if (neverContinued(request)) response.shouldKeepAlive = false;
  answer();
  if (!request.complete) discardRest(request, clock);
}

/**
 * An answer before the body's end: closing at once would reset the connection under the answer, so the rest is read and
 * thrown away, up to a point. Most clients stop sending when they see the answer.
 */
function discardRest(request: IncomingMessage, clock: Clock): void {
  let discarded = 0;
  const stop = () => request.destroy();
  const cancel = clock.after(MAX_DISCARDING_MS, stop);
  request.on("data", (chunk: Buffer) => {
    discarded += chunk.length;
    if (discarded > MAX_DISCARDED_BYTES) stop();
  });
  request.once("close", cancel);
  request.on("error", () => {});
}
