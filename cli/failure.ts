/** How a command ends badly: one line on stderr that says what to change, and an exit code. */

/** Something the user can put right. Its message is a whole sentence without a final stop. */
export class Failure extends Error {
  /** Default 1. */
  readonly exitCode: number;

  constructor(message: string, options: { readonly cause?: unknown; readonly exitCode?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Failure";
    this.exitCode = options.exitCode ?? 1;
  }
}

/** The command line itself is wrong. */
export class UsageFailure extends Failure {
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, { ...options, exitCode: 2 });
    this.name = "UsageFailure";
  }
}

/** The command has already printed all there is to say; only the exit code is left. */
export class Reported extends Failure {
  constructor() {
    super("see above");
    this.name = "Reported";
  }
}

/** 2 for a wrong command line, 1 for everything that does not say otherwise. */
export function exitCodeOf(error: unknown): number {
  return error instanceof Failure ? error.exitCode : 1;
}

/** What went wrong, in one line; with `verbose` the stacks of the error and its causes. */
export function describeError(error: unknown, verbose: boolean): string {
  if (!(error instanceof Error)) return String(error);
  if (verbose) return stacks(error);
  return sentence(error)
    .trim()
    .replace(/\s*\n\s*/g, "; ");
}

function sentence(error: Error): string {
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  if (syscall !== undefined && path !== undefined) {
    switch (code) {
      case "ENOENT":
        return `there is no ${path}`;
      case "EACCES":
      case "EPERM":
        return `no permission for ${path}: run as its owner or change its mode`;
      case "ENOSPC":
        return `the disk that holds ${path} is full`;
      default:
    }
  }
  return error.message === "" ? error.name : error.message;
}

function stacks(error: Error): string {
  const own = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause instanceof Error ? `${own}\ncaused by ${stacks(error.cause)}` : own;
}
