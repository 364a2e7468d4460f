/** 409: somebody else writes the key at this moment. The request did nothing, and may be sent again. */
import { setTimeout as pause } from "node:timers/promises";
import { OutriggerError } from "../../proto/errors.ts";
import type { ObjectCondition } from "../../server/objects/contract.ts";
import type { Failure } from "./errors.ts";
import { isConflict } from "./facts.ts";

const ATTEMPTS = 5;
const WAIT_MS = 50;

class Conflict extends OutriggerError {}

/** @throws BACKEND_DOWN when the others never end */
export async function conflictRetried<Answer>(
  condition: ObjectCondition | undefined,
  signal: AbortSignal,
  send: (noteConflict: (failure: Failure) => OutriggerError | undefined) => Promise<Answer>,
): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send((failure) =>
        condition !== undefined && isConflict(failure)
          ? new Conflict("BACKEND_DOWN", "others write that key all the time")
          : undefined,
      );
    } catch (error) {
      if (!(error instanceof Conflict) || attempt === ATTEMPTS) throw error;
      await pause(WAIT_MS * 2 ** attempt * (0.5 + Math.random()), undefined, { signal });
    }
  }
}
