/** What a call brings beside its message. */
export interface Call {
  /** Aborts with the reason when the caller has gone or the process is told to stop. */
  readonly signal: AbortSignal;
  /** @throws TOO_LATE once `outrigger-not-after` is past; asked again just before each effect */
  assertInTime(): void;
}
