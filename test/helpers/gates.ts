/** What a test lets happen when it wants it to. */

export interface Deferred<Value> {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
}

export function deferred<Value = void>(): Deferred<Value> {
  let resolve: (value: Value) => void = () => {};
  const promise = new Promise<Value>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Where a fake waits until its test lets it go on. */
export class Gates {
  readonly #closed = new Map<string, Promise<void>>();

  /** @returns lets those go on that wait for it */
  hold(what: string): () => void {
    const { promise, resolve } = deferred();
    this.#closed.set(what, promise);
    return resolve;
  }

  async passed(what: string): Promise<void> {
    await this.#closed.get(what);
  }
}
