/** Failures that say which of many cases they come from. */
import { AssertionError } from "node:assert";

/** Awaits `work`; an assertion that fails in it begins with what was tried. Other errors come as they are. */
export async function naming<Result>(what: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof AssertionError) error.message = `${what}: ${error.message}`;
    throw error;
  }
}
