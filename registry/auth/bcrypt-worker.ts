/** A worker thread that compares passwords: tens of milliseconds each, which the main thread must not spend. */
import { parentPort } from "node:worker_threads";
import { compareSync } from "bcryptjs";

export interface CompareRequest {
  readonly id: number;
  readonly password: string;
  readonly hash: string;
}

export interface CompareAnswer {
  readonly id: number;
  readonly equal: boolean;
}

parentPort?.on("message", ({ id, password, hash }: CompareRequest) => {
  parentPort?.postMessage({ id, equal: compareSync(password, hash) } satisfies CompareAnswer);
});
