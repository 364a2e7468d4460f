/** Answers "still at it" while a driver works, so that a caller's timer knows work from death. */
import type { Clock } from "../proto/clock.ts";
import { limits } from "../proto/limits.ts";

/** Yields `working` every 5 s [blob.move: `working` at least every 5 s] until `work` ends, then what it came to. */
export async function* whileWorking<Result, Message>(
  clock: Clock,
  work: Promise<Result>,
  messages: { readonly working: Message; done(result: Result): Message },
): AsyncGenerator<Message> {
  const outcome = work.then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );
  for (;;) {
    let cancel = () => {};
    const tick = new Promise<undefined>((resolve) => {
      cancel = clock.after(limits.progressEveryMs, () => resolve(undefined));
    });
    const ended = await Promise.race([outcome, tick]);
    cancel();
    if (ended === undefined) {
      yield messages.working;
    } else if ("error" in ended) {
      throw ended.error;
    } else {
      yield messages.done(ended.result);
      return;
    }
  }
}
