/** What a member's failure becomes at the core: a member that cannot be used is this driver's backend that is down. */
import { hasReason, OutriggerError, reasons } from "../../proto/errors.ts";

/** Whether the member as such is not usable now, as opposed to a refusal of this call. */
export function isDown(error: unknown): boolean {
  if (!(error instanceof OutriggerError) || error.reason === "PROTOCOL_VIOLATION") return false;
  return (
    "raisedBy" in reasons[error.reason] ||
    hasReason(error, "BACKEND_DOWN", "DRAINING", "DRIVER_STARTING", "WRONG_STORE", "NOT_ALLOWED", "NOT_INITIALISED")
  );
}

/** @param who "the primary at unix:///run/a.sock", "shard b at b:7080" */
export function memberFault(error: unknown, who: string): unknown {
  if (!(error instanceof OutriggerError)) return error;
  if (error.reason === "WRONG_STORE")
    return new OutriggerError(
      "BACKEND_DOWN",
      `${who} is another store than it was: give its driver the old data back`,
      {
        cause: error,
      },
    );
  if (isDown(error))
    return new OutriggerError("BACKEND_DOWN", `${who} is not usable: ${error.message}`, {
      cause: error,
      ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
    });
  // Its INTERNAL is this driver's: the answer is lost either way.
  if (hasReason(error, "PROTOCOL_VIOLATION", "INTERNAL"))
    return new OutriggerError("INTERNAL", `${who}: ${error.message}`, { cause: error });
  return error;
}

/** Runs `work`; what fails is the member's. */
export async function asMember<Result>(who: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw memberFault(error, who);
  }
}
