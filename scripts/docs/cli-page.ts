/** docs/reference/cli.md: what every command's --help prints. */
import { Command } from "commander";
import { commands } from "../../cli/commands.ts";
import { generated } from "./markdown.ts";

const EXIT_CODES = `Exit codes, where a command does not say otherwise: 0 done, 1 failed (one line on stderr says what to change), 2 wrong
command line. \`--verbose\`, anywhere, adds the stack traces.`;

export async function cliPage(): Promise<string> {
  const program = new Command("outrigger").enablePositionalOptions().configureHelp({ helpWidth: 100 });
  const sections: string[] = [];
  for (const entry of commands) {
    const command = program.command(entry.name).description(entry.summary);
    (await entry.load()).define(command);
    sections.push(`## outrigger ${entry.name}\n${helpOf(command, `outrigger ${entry.name}`)}`);
  }
  return `${generated("cli/commands/*.ts")}
# The \`outrigger\` command
${EXIT_CODES}

From a clone: \`npm run outrigger -- …\`.

${sections.join("\n")}`;
}

function helpOf(command: Command, path: string): string {
  let help = "";
  // With what a command adds to it, unlike helpInformation.
  command
    .configureOutput({
      writeOut: (text) => {
        help += text;
      },
    })
    .outputHelp();
  const own = `\`\`\`text\n${help.trim()}\n\`\`\`\n`;
  const nested = command.commands.map(
    (child) => `### ${path} ${child.name()}\n${helpOf(child, `${path} ${child.name()}`)}`,
  );
  return [own, ...nested].join("\n");
}
