/** `outrigger driver NAME …`: a driver as a process. Its flags are its own and its host's, so they are passed on as they are. */
import type { Command } from "commander";
import { drivers } from "../drivers.ts";
import { UsageFailure } from "../failure.ts";

export function define(command: Command): void {
  command
    .argument("<name>", Object.keys(drivers).join(" or "))
    .argument("[flags...]", "the driver's own: outrigger driver <name> --help")
    .passThroughOptions()
    .allowUnknownOption()
    .action(serve);
}

async function serve(name: string, flags: readonly string[]): Promise<void> {
  const load = Object.hasOwn(drivers, name) ? drivers[name] : undefined;
  if (load === undefined) {
    throw new UsageFailure(
      `there is no driver ${name}: this package has ${new Intl.ListFormat("en").format(Object.keys(drivers))}; a driver of your own is started by its own command`,
    );
  }
  const [driverModule, { runDriver }] = await Promise.all([load(), import("../../server/index.ts")]);
  await runDriver(driverModule, flags, process.env);
}
