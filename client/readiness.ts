/** Whether stores became ready, for whoever asks: once refused, not for good. */

export class Readiness {
  readonly #now: () => Error | undefined;
  #attempt = new Attempt();

  /** @param now why the stores are refused at this moment; `undefined`: they are not */
  constructor(now: () => Error | undefined) {
    this.#now = now;
  }

  /** Rejects when they are refused; asked again after that, with why they still are, or once that changes. */
  promise(): Promise<void> {
    if (this.#attempt.isRejected) {
      const refusal = this.#now();
      this.#attempt = new Attempt();
      if (refusal !== undefined) this.#attempt.reject(refusal);
    }
    return this.#attempt.promise;
  }

  resolve(): void {
    if (this.#attempt.isRejected) this.#attempt = new Attempt();
    this.#attempt.resolve();
  }

  reject(error: Error): void {
    this.#attempt.reject(error);
  }
}

class Attempt {
  readonly promise: Promise<void>;
  resolve: () => void = () => undefined;
  reject: (error: Error) => void = () => undefined;
  isRejected = false;

  constructor() {
    let settled = false;
    this.promise = new Promise((resolve, reject) => {
      this.resolve = () => {
        settled = true;
        resolve();
      };
      this.reject = (error) => {
        this.isRejected ||= !settled;
        settled = true;
        reject(error);
      };
    });
    // Whoever asks gets it; a core that does not ask must not die of it.
    this.promise.catch(() => undefined);
  }
}
