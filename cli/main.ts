#!/usr/bin/env node
/** The `outrigger` command. */
import { run } from "./program.ts";
import { endWithParent } from "./self.ts";

endWithParent();
process.exitCode = await run(process.argv.slice(2));
