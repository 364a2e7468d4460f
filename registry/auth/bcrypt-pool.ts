/** bcrypt off the main thread: one worker, made at first use, ended with the pool. */
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { RegistryError } from "../errors.ts";

export interface BcryptPool {
  /** @throws TOOMANYREQUESTS when too many wait already */
  compare(password: string, hash: string): Promise<boolean>;
  close(): Promise<void>;
}

interface CompareRequest {
  readonly id: number;
  readonly password: string;
  readonly hash: string;
}

interface CompareAnswer {
  readonly id: number;
  readonly equal: boolean;
}

/** As text: a worker's own file is not seen by the loader that runs TypeScript sources, and would have another name built. */
const WORKER = `
const { parentPort, workerData } = require("node:worker_threads");
const { compareSync } = require(workerData.bcrypt);
parentPort.on("message", ({ id, password, hash }) => {
  parentPort.postMessage({ id, equal: compareSync(password, hash) });
});
`;

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
    const bcrypt = createRequire(import.meta.url).resolve("bcryptjs");
    const made = new Worker(WORKER, { eval: true, workerData: { bcrypt } });
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
