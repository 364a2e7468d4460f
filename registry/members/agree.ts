/** A reload goes through the members one by one: for some seconds two of them may disagree about who owns what. */
import { type Clock, sleep } from "../../proto/clock.ts";
import { MemberDisagrees } from "./errors.ts";

const PATIENCE_MS = 5_000;
const PAUSE_MS = 200;

/**
 * Calls `attempt` until the members agree. It must begin with who owns the name, and may have changed nothing.
 * @throws MemberDisagrees after 5 s
 */
export async function untilAgreed<Result>(
  clock: Clock,
  signal: AbortSignal,
  attempt: () => Promise<Result>,
): Promise<Result> {
  const untilMs = clock.monotonic() + PATIENCE_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof MemberDisagrees) || clock.monotonic() >= untilMs) throw error;
      await sleep(clock, PAUSE_MS, signal);
    }
  }
}
