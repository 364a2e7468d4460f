/** Progress of a long command on stderr: one line that is written anew on a terminal, else a line now and then. */

const PLAIN_EVERY_MS = 5_000;
const REDRAW_EVERY_MS = 100;
/** Clears to the end of the line, for a shorter text. */
const CLEAR = "\u001b[K";

export interface Progress {
  show(text: string): void;
  /** Leaves the terminal with an empty line. */
  end(): void;
}

export function startProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  const everyMs = stream.isTTY ? REDRAW_EVERY_MS : PLAIN_EVERY_MS;
  let lastMs = performance.now() - (stream.isTTY ? everyMs : 0);
  let drawn = false;
  return {
    show(text) {
      const nowMs = performance.now();
      if (nowMs - lastMs < everyMs) return;
      lastMs = nowMs;
      if (stream.isTTY) {
        drawn = true;
        stream.write(`\r${text.slice(0, (stream.columns || 80) - 1)}${CLEAR}`);
      } else stream.write(`${text}\n`);
    },
    end() {
      if (drawn) stream.write(`\r${CLEAR}`);
    },
  };
}
