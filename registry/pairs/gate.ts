/** Where several wait for each other: all pass, or none. */
export class Gate {
  readonly #opened: Promise<void>;
  #missing: number;
  #open: () => void = () => undefined;
  #refuse: (error: unknown) => void = () => undefined;

  constructor(count: number) {
    this.#missing = count;
    this.#opened = new Promise((resolve, reject) => {
      this.#open = resolve;
      this.#refuse = reject;
    });
    this.#opened.catch(() => undefined);
  }

  /** Resolves once all are here. @throws why one of them never will be */
  pass(): Promise<void> {
    this.#missing -= 1;
    if (this.#missing === 0) this.#open();
    return this.#opened;
  }

  refuse(error: unknown): void {
    this.#refuse(error);
  }
}
