/** bcrypt off the main thread: one worker, made at first use, ended with the pool. */
import { Worker } from "node:worker_threads";
import { RegistryError } from "../errors.ts";
import type { CompareAnswer, CompareRequest } from "./bcrypt-worker.ts";

export interface BcryptPool {
  /** @throws TOOMANYREQUESTS when too many wait already */
  compare(password: string, hash: string): Promise<boolean>;
  close(): Promise<void>;
}

/** About five seconds of work at cost 10. */
const MAX_WAITING = 100;

export function createBcryptPool(): BcryptPool {
  const waiting = new Map<number, { resolve(equal: boolean): void; reject(error: Error): void }>();
  let worker: Worker | undefined;
  let nextId = 0;
  let closed = false;

  const fail = (error: Error) => {
    worker = undefined;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const start = (): Worker => {
    // The build rewrites imports, not texts: the ending is that of this very file.
    const ending = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const made = new Worker(new URL(`./bcrypt-worker.${ending}`, import.meta.url));
    made.unref();
    made.on("message", ({ id, equal }: CompareAnswer) => {
      waiting.get(id)?.resolve(equal);
      waiting.delete(id);
      if (waiting.size === 0) made.unref();
    });
    made.on("error", (error) => {
      if (worker === made) fail(new Error("the password worker failed", { cause: error }));
    });
    made.on("exit", () => {
      if (worker === made) fail(new Error("the password worker ended"));
    });
    return made;
  };

  return {
    compare(password, hash) {
      if (closed) return Promise.reject(new RegistryError("UNAVAILABLE", "the registry is stopping"));
      if (waiting.size >= MAX_WAITING) {
        return Promise.reject(
          new RegistryError("TOOMANYREQUESTS", "too many passwords are being checked; try again", {
            retryAfterSeconds: 5,
          }),
        );
      }
      worker ??= start();
      const made = worker;
      made.ref();
      nextId += 1;
      const id = nextId;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        made.postMessage({ id, password, hash } satisfies CompareRequest);
      });
    },
    async close() {
      closed = true;
      const ending = worker;
      fail(new RegistryError("UNAVAILABLE", "the registry is stopping"));
      await ending?.terminate();
    },
  };
}
