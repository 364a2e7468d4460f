/** `work`, or the signal's reason as soon as it aborts: for work that takes no signal itself. */
export async function aborted<Result>(signal: AbortSignal, work: Promise<Result>): Promise<Result> {
  work.catch(() => {}); // nobody may be waiting for it any more
  signal.throwIfAborted();
  let listener: (() => void) | undefined;
  const abort = new Promise<never>((_, reject) => {
    listener = () => reject(signal.reason as Error);
    signal.addEventListener("abort", listener, { once: true });
  });
  try {
    return await Promise.race([work, abort]);
  } finally {
    if (listener !== undefined) signal.removeEventListener("abort", listener);
  }
}
