#!/usr/bin/env node
/** The `outrigger` command. */
import { run } from "./program.ts";
import { endWithParent } from "./self.ts";

endWithParent();
const code = await run(process.argv.slice(2));
// A driver sets its own when it fails to start.
if (code !== 0) process.exitCode = code;
