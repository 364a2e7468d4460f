/** One direction of a stream at its receiving end: what has arrived and was not taken yet. */
export class Inbox<Message> implements AsyncIterable<Message> {
  readonly #arrived: Message[] = [];
  readonly #taken: () => void;
  readonly #left: () => void;
  #end: { readonly error?: unknown } | undefined;
  #waiting: { resolve(result: IteratorResult<Message>): void; reject(error: unknown): void } | undefined;

  /**
   * @param taken called for each message that the reader takes: there is room for another
   * @param left called when the reader stops before the end
   */
  constructor(taken: () => void, left: () => void) {
    this.#taken = taken;
    this.#left = left;
  }

  get ended(): boolean {
    return this.#end !== undefined;
  }

  arrive(message: Message): void {
    if (this.#end !== undefined) return;
    const waiting = this.#waiting;
    if (waiting === undefined) {
      this.#arrived.push(message);
      return;
    }
    this.#waiting = undefined;
    waiting.resolve({ done: false, value: message });
    this.#taken();
  }

  /** In order after what has arrived; with `error` it is thrown there. */
  end(error?: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = error === undefined ? {} : { error };
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    if (error === undefined) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(error);
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    return {
      next: () => {
        const message = this.#arrived.shift();
        if (message !== undefined) {
          this.#taken();
          return Promise.resolve({ done: false, value: message });
        }
        if (this.#end !== undefined) {
          const { error } = this.#end;
          if (error === undefined) return Promise.resolve({ done: true, value: undefined });
          this.#end = {};
          return Promise.reject(error);
        }
        return new Promise((resolve, reject) => {
          this.#waiting = { resolve, reject };
        });
      },
      return: () => {
        if (this.#end === undefined) this.#left();
        this.#end = {};
        this.#arrived.length = 0;
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }
}
