/** Refusals because of what others do at this moment: the request did nothing, and may be sent again. */
import { setTimeout as pause } from "node:timers/promises";
import { OutriggerError } from "../../proto/errors.ts";
import type { ObjectCondition } from "../../server/objects/contract.ts";
import type { Failure } from "./errors.ts";
import { isConflict } from "./facts.ts";

const ATTEMPTS = 5;
const WAIT_MS = 50;

class Conflict extends OutriggerError {}

/** 409: somebody else writes the key. @throws BACKEND_DOWN when the others never end */
export function conflictRetried<Answer>(
  condition: ObjectCondition | undefined,
  signal: AbortSignal,
  send: (noteConflict: (failure: Failure) => OutriggerError | undefined) => Promise<Answer>,
): Promise<Answer> {
  const noteConflict = (failure: Failure) =>
    condition !== undefined && isConflict(failure)
      ? new Conflict("BACKEND_DOWN", "others write that key all the time")
      : undefined;
  return sentAgain(
    (error) => error instanceof Conflict,
    signal,
    () => send(noteConflict),
  );
}

/** A few times, with growing pauses. @throws the last refusal; what `isRefusal` does not know, at once; the signal's reason */
export async function sentAgain<Answer>(
  isRefusal: (error: unknown) => boolean,
  signal: AbortSignal,
  send: () => Promise<Answer>,
): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send();
    } catch (error) {
      if (!isRefusal(error) || attempt === ATTEMPTS) throw error;
      await pause(WAIT_MS * 2 ** attempt * (0.5 + Math.random()), undefined, { signal }).catch(() => {});
      signal.throwIfAborted();
    }
  }
}
