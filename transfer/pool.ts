/** Work on many things at once, with none of them waiting in memory: the source is read when a worker is free. */

/**
 * @param work what it throws ends everything: no further item is begun, those under way are waited for
 * @throws the first failure, of the source or of the work
 */
export async function forEach<Item>(
  source: AsyncIterable<Item> | Iterable<Item>,
  width: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const items = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  let turn: Promise<unknown> = Promise.resolve();
  let failure: { readonly error: unknown } | undefined;
  let ended = false;
  const next = async (): Promise<IteratorResult<Item> | undefined> => {
    const before = turn;
    let done: () => void = () => {};
    turn = new Promise<void>((resolve) => {
      done = resolve;
    });
    try {
      await before;
      if (ended || failure !== undefined) return undefined;
      const result = await items.next();
      if (result.done) ended = true;
      return result;
    } finally {
      done();
    }
  };
  const worker = async () => {
    try {
      for (;;) {
        const result = await next();
        if (result === undefined || result.done) return;
        await work(result.value);
      }
    } catch (error) {
      failure ??= { error };
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  if (!ended) await items.return?.();
  if (failure !== undefined) throw failure.error;
}
