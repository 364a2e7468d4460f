/** `outrigger version` */
import type { Command } from "commander";
import { spoken } from "../../proto/versions.ts";
import { print, printJson } from "../terminal.ts";
import { version } from "../version.ts";

export function define(command: Command): void {
  command.option("--json", "as JSON, with the protocol versions spoken").action((options: { json?: boolean }) => {
    if (options.json) printJson({ version: version(), node: process.versions.node, apis: spoken });
    else print(version());
  });
}
