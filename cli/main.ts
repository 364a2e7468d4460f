#!/usr/bin/env node
/** The `outrigger` command. */
import { run } from "./program.ts";
import { endWithParent } from "./self.ts";

endWithParent();
// A command that only waits for a timer which does not keep the process alive (proto/clock.ts) is not finished.
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const working = setInterval(() => undefined, LONGEST_TIMER_MS);
const code = await run(process.argv.slice(2));
clearInterval(working);
// A driver sets its own when it fails to start.
if (code !== 0) process.exitCode = code;
