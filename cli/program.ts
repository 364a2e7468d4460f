/** From a command line to an exit code. */
import { Command, CommanderError } from "commander";
import { commands } from "./commands.ts";
import { describeError, exitCodeOf, Reported } from "./failure.ts";
import { print, warn } from "./terminal.ts";
import { version } from "./version.ts";

/** Runs one command line. @returns the exit code: 0, 1 for a failure, 2 for a wrong command line */
export async function run(argv: readonly string[]): Promise<number> {
  // Taken out here, so that it may stand anywhere.
  const verbose = argv.includes("--verbose");
  const rest = argv.filter((argument) => argument !== "--verbose");
  try {
    const program = await build(rest);
    if (rest.length === 0) {
      print(program.helpInformation().trimEnd());
      return 0;
    }
    await program.parseAsync(rest, { from: "user" });
    return 0;
  } catch (error) {
    return report(error, verbose);
  }
}

async function build(argv: readonly string[]): Promise<Command> {
  const program = new Command("outrigger")
    .description("A container registry whose bytes live in another process.")
    .version(version(), "-V, --version", "print the version")
    .option("--verbose", "show stack traces of errors; may stand anywhere")
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .configureOutput({ outputError: () => undefined, writeErr: () => undefined })
    .exitOverride();
  const operands = argv.filter((argument) => !argument.startsWith("-"));
  const wanted = operands[0] === "help" ? operands[1] : operands[0];
  for (const entry of commands) {
    const command = program.command(entry.name).summary(entry.summary).description(sentence(entry.summary));
    // The others are named for the help; only the wanted one is worth its start-up time.
    if (entry.name === wanted) (await entry.load()).define(command);
  }
  return program;
}

function report(error: unknown, verbose: boolean): number {
  if (error instanceof Reported) return 1;
  if (error instanceof CommanderError) {
    // Help and version are told by commander itself and end well.
    if (error.exitCode === 0) return 0;
    warn(
      `outrigger: ${error.code === "commander.help" ? "the command is not complete; see outrigger --help" : usage(error)}`,
    );
    return 2;
  }
  warn(`outrigger: ${describeError(error, verbose)}`);
  return exitCodeOf(error);
}

/** Commander's sentence in our form, on one line, with where to read on. */
function usage(error: CommanderError): string {
  const text = error.message
    .replace(/^error: /, "")
    .replace(/\s*\n\s*/g, " ")
    .replace(/\.$/, "");
  return `${text}; see outrigger --help`;
}

function sentence(summary: string): string {
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
}
