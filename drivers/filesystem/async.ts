/** Waiting in turn, without a lock of the operating system. */

/** One at a time for each name, in the order asked. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  async run<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(name);
    let leave: () => void = () => {};
    const mine = new Promise<void>((resolve) => {
      leave = resolve;
    });
    this.#tails.set(name, mine);
    await before;
    try {
      return await work();
    } finally {
      leave();
      if (this.#tails.get(name) === mine) this.#tails.delete(name);
    }
  }
}

/** Many that build, or one that takes down; asked in turn, so that neither starves. */
export class SharedLock {
  #building: Promise<unknown> = Promise.resolve();
  #takingDown: Promise<unknown> = Promise.resolve();

  async shared<Result>(work: () => Promise<Result>): Promise<Result> {
    const running = this.#takingDown.then(work);
    this.#building = settled(this.#building, running);
    return running;
  }

  async exclusive<Result>(work: () => Promise<Result>): Promise<Result> {
    const running = settled(this.#building, this.#takingDown).then(work);
    this.#takingDown = settled(running);
    return running;
  }
}

function settled(...promises: readonly Promise<unknown>[]): Promise<unknown> {
  return Promise.allSettled(promises);
}

/** `work` for each item, at most `parallel` at once; answers in order. Rejects with the first failure once all stopped. */
export async function mapLimited<Item, Result>(
  items: readonly Item[],
  parallel: number,
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = new Array(items.length);
  let next = 0;
  const failures: unknown[] = [];
  const worker = async () => {
    while (next < items.length && failures.length === 0) {
      const index = next++;
      try {
        results[index] = await work(items[index] as Item, index);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
  return results;
}

/** Work on keys that others can wait for. */
export class UnderWay {
  readonly #work = new Map<string, Set<Promise<unknown>>>();
  #begun = 0;

  /** How often any was begun. */
  get begun(): number {
    return this.#begun;
  }

  get isEmpty(): boolean {
    return this.#work.size === 0;
  }

  async during<Result>(keys: readonly string[], work: () => Promise<Result>): Promise<Result> {
    this.#begun++;
    const running = work();
    for (const key of keys) {
      const others = this.#work.get(key) ?? new Set();
      this.#work.set(key, others.add(running));
    }
    try {
      return await running;
    } finally {
      for (const key of keys) {
        const others = this.#work.get(key);
        others?.delete(running);
        if (others?.size === 0) this.#work.delete(key);
      }
    }
  }

  /** Once the work that is under way on the key has ended, well or not. */
  async settled(key: string): Promise<void> {
    const work = this.#work.get(key);
    if (work !== undefined) await Promise.allSettled(work);
  }

  async allSettled(): Promise<void> {
    await Promise.allSettled([...this.#work.values()].flatMap((work) => [...work]));
  }
}
