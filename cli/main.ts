#!/usr/bin/env node
/** The `outrigger` command. */
import { setFlagsFromString } from "node:v8";
import { run } from "./program.ts";
import { endWithParent } from "./self.ts";

// V8 counts the bytes in flight against a heap of a few MiB, and would collect all of it every 10 MiB that pass through:
// measured on pushes, 71 full collections for 512 MiB without this and 4 with it.
setFlagsFromString("--heap-growing-percent=300");
endWithParent();
// A command that only waits for a timer which does not keep the process alive (proto/clock.ts) is not finished.
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const working = setInterval(() => undefined, LONGEST_TIMER_MS);
const code = await run(process.argv.slice(2));
clearInterval(working);
// A driver sets its own when it fails to start.
if (code !== 0) process.exitCode = code;
