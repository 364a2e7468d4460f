/** A request's body on its way to another member, with backpressure. */
import type { ClientRequest } from "node:http";

/**
 * Sends all of it and ends the request. Rejects with what the body threw.
 * @param stalled called whenever the member is waited for; its answer cancels that
 * @returns false: the connection was closed before the body's end; whoever listens to the request knows why
 */
export async function sendBody(
  outgoing: ClientRequest,
  bytes: AsyncIterable<Uint8Array>,
  { stalled }: { readonly stalled: () => () => void },
): Promise<boolean> {
  let isAnswered = false;
  outgoing.once("response", () => {
    isAnswered = true;
  });
  try {
    for await (const chunk of bytes) {
      if (isAnswered || outgoing.destroyed) return false;
      if (!outgoing.write(chunk)) {
        const cancel = stalled();
        await drained(outgoing).finally(cancel);
        if (isAnswered || outgoing.destroyed) return false;
      }
    }
  } catch (error) {
    // An answer that came first is the answer; the body was told to stop.
    if (isAnswered || outgoing.destroyed) return false;
    throw error;
  }
  outgoing.end();
  return !isAnswered;
}

function drained(outgoing: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const event of ["drain", "close", "response"]) outgoing.off(event, done);
      resolve();
    };
    for (const event of ["drain", "close", "response"]) outgoing.once(event, done);
  });
}
