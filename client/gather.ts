/**
 * Reads that are asked in one turn of the event loop, sent as one call: a core under load pays for a call once, not once a
 * request. Nothing is answered from a call that was sent before it was asked, so each answer is as new as one of its own.
 */
import { OutriggerError } from "../proto/errors.ts";
import { limits } from "../proto/limits.ts";
import type { CallOptions } from "./contract.ts";

/** Runs once what came in this turn has been asked. */
export type TurnEnd = (run: () => void) => void;

export interface Asked<Question, Answer> {
  readonly question: Question;
  readonly options: CallOptions | undefined;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** Collects questions until the turn's end. `send` gets them all and settles each. */
export class Gathering<Question, Answer> {
  readonly #turnEnd: TurnEnd;
  readonly #send: (asked: readonly Asked<Question, Answer>[]) => void;
  #asked: Asked<Question, Answer>[] = [];

  constructor(turnEnd: TurnEnd, send: (asked: readonly Asked<Question, Answer>[]) => void) {
    this.#turnEnd = turnEnd;
    this.#send = send;
  }

  ask(question: Question, options: CallOptions | undefined): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const first = this.#asked.length === 0;
      this.#asked.push({ question, options, resolve, reject });
      if (first) this.#turnEnd(() => this.#send(this.#asked.splice(0)));
    });
  }
}

/** Splits questions, in their order, so that each part asks for at most 100 keys; a question is never split. */
export function* parts<Asking extends { readonly question: readonly string[] }>(
  asked: readonly Asking[],
): Generator<{ readonly asked: Asking[]; readonly keys: string[] }> {
  let part: Asking[] = [];
  let keys = new Set<string>();
  for (const one of asked) {
    const fresh = one.question.filter((key) => !keys.has(key)).length;
    if (part.length > 0 && keys.size + fresh > limits.getKeys) {
      yield { asked: part, keys: [...keys] };
      part = [];
      keys = new Set();
    }
    part.push(one);
    for (const key of one.question) keys.add(key);
  }
  if (part.length > 0) yield { asked: part, keys: [...keys] };
}

const MAX_REQUEST_ID = 128;

/**
 * One call on behalf of several callers, who may each leave before its end; when all have left it ends. A single caller's
 * call is that caller's own.
 * @param settle gives each caller what is its of the answer
 */
export async function onBehalf<Question, Answer, Result>(
  callers: readonly Asked<Question, Answer>[],
  call: (options: CallOptions | undefined) => Promise<Result>,
  settle: (result: Result, caller: Asked<Question, Answer>) => void,
): Promise<void> {
  const [only] = callers;
  if (only === undefined) return;
  if (callers.length === 1) {
    try {
      settle(await call(only.options), only);
    } catch (error) {
      only.reject(error);
    }
    return;
  }
  const ending = new AbortController();
  const staying = new Set(callers);
  const stop: (() => void)[] = [];
  for (const caller of callers) {
    const signal = caller.options?.signal;
    if (signal === undefined) continue;
    const leave = () => {
      staying.delete(caller);
      caller.reject(signal.reason);
      if (staying.size === 0) ending.abort(signal.reason);
    };
    if (signal.aborted) leave();
    else {
      signal.addEventListener("abort", leave, { once: true });
      stop.push(() => signal.removeEventListener("abort", leave));
    }
  }
  try {
    ending.signal.throwIfAborted();
    const ids = [...staying].flatMap(({ options }) => options?.requestId ?? []).join(",");
    const result = await call({
      signal: ending.signal,
      ...(ids === "" ? {} : { requestId: ids.slice(0, MAX_REQUEST_ID) }),
    });
    for (const caller of staying) {
      try {
        settle(result, caller);
      } catch (error) {
        caller.reject(error);
      }
    }
  } catch (error) {
    for (const caller of staying) caller.reject(own(error));
  } finally {
    for (const each of stop) each();
  }
}

/** The same failure with a stack of its own. */
function own(error: unknown): unknown {
  if (!(error instanceof OutriggerError)) return error;
  const { reason, message, metadata, retryAfterMs, side } = error;
  return new OutriggerError(reason, message, {
    metadata,
    side,
    cause: error,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
