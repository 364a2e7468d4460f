/**
 * A driver that the kit is tried on: honest, or with `--wrong NAME` wrong in one way.
 *
 *   node --import tsx conformance/wrong/main.ts --folder DIR --listen ADDR [--init] [--read-only] [--wrong NAME]
 */
import { parseArgs } from "node:util";
import { withChanges } from "./habits.ts";
import { initDriver, startDriver } from "./honest/driver.ts";
import { findWrong, wrongs } from "./wrongs.ts";

const options = {
  folder: { type: "string" },
  listen: { type: "string" },
  wrong: { type: "string" },
  init: { type: "boolean", default: false },
  "read-only": { type: "boolean", default: false },
  insecure: { type: "boolean", default: false },
  "stream-idle-ms": { type: "string" },
  list: { type: "boolean", default: false },
} as const;

const say = (line: string) => process.stderr.write(`${line}\n`);

async function main(): Promise<void> {
  const { values } = parseArgs({ options });
  if (values.list) {
    for (const { name, does, caughtBy } of wrongs) say(`${name}: ${does} [${caughtBy.join(", ")}]`);
    return;
  }
  const folder = values.folder ?? process.env["OUTRIGGER_FOLDER"];
  if (folder === undefined) throw new Error("--folder is missing: where the stores lie");
  const habits = withChanges(values.wrong === undefined ? {} : findWrong(values.wrong).changes());
  if (values.init) {
    initDriver(folder, habits.process.keepsIds);
    return;
  }
  const listen = values.listen ?? process.env["OUTRIGGER_LISTEN"];
  if (listen === undefined) throw new Error("--listen is missing: unix:///path/x.sock or host:port");
  const idleMs = values["stream-idle-ms"];
  const driver = await startDriver({
    folder,
    listen,
    habits,
    readOnly: values["read-only"],
    insecure: values.insecure,
    ...(idleMs === undefined ? {} : { streamIdleMs: milliseconds("--stream-idle-ms", idleMs) }),
  });
  say(`listening on ${driver.address}`);
  const stop = () => {
    if (!habits.process.drains) return;
    // Whatever is left must not keep a process that was told to stop.
    void driver.close().finally(() => process.exit(0));
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
}

function milliseconds(flag: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`${flag} ${text} is not a number of ms from 1`);
  return Number(text);
}

try {
  await main();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
