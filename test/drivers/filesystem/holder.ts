/** A process of root.test.ts: opens the root, says so, and holds it until it is killed. */
import pino from "pino";
import { openFilesystemDriver } from "../../../drivers/filesystem/index.ts";

const [root = "", waitMs = "0"] = process.argv.slice(2);
try {
  await openFilesystemDriver({ root }, { log: pino({ level: "silent" }), lockWaitMs: Number(waitMs) });
  process.stdout.write("open\n");
  // Ends with its parent.
  process.stdin.resume();
} catch (error) {
  process.stdout.write(`${error instanceof Error ? error.message : error}\n`);
}
