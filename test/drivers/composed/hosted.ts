/** Drivers hosted in this process, on sockets of their own, where a test has to look into one. */
import { join } from "node:path";
import { openMemoryDriver } from "../../../drivers/memory/index.ts";
import { systemClock } from "../../../proto/clock.ts";
import type { BlobDriver, Driver, OpenContext } from "../../../server/contract.ts";
import { type Host, hostDriver } from "../../../server/host.ts";
import type { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { silentLog } from "./log.ts";

export const openContext: OpenContext = {
  log: silentLog,
  clock: systemClock,
  readOnly: false,
  lockWaitMs: 0,
  signal: new AbortController().signal,
};

export interface Hosted {
  readonly address: string;
  stop(): Promise<void>;
}

export async function host(scope: Scope, open: () => Promise<Driver>, address?: string): Promise<Hosted> {
  const listen = address ?? `unix://${join(tempFolder(scope), "h.sock")}`;
  const hosted: Host = await hostDriver({ open, listen, log: silentLog });
  scope.defer(() => hosted.close());
  return { address: hosted.address, stop: () => hosted.close() };
}

/** A memory whose blob functions may be exchanged; the same data however often it is hosted. */
export class Watched {
  readonly calls: string[] = [];
  readonly #driver: Driver;
  /** Asked before each function with its name and first argument. */
  before: (name: string, what: unknown, how?: unknown) => Promise<void> = async () => {};
  /** The same, behind it, before anybody has its answer. */
  after: (name: string, what: unknown) => Promise<void> = async () => {};

  private constructor(driver: Driver) {
    this.#driver = driver;
  }

  static async memory(): Promise<Watched> {
    return new Watched(await openMemoryDriver({ stores: "blob" }));
  }

  /** For `hostDriver`. */
  readonly open = async (): Promise<Driver> => {
    const { blob } = this.#driver;
    if (blob === undefined) throw new Error("the memory has no blobs");
    const watched = new Proxy(blob, {
      get: (target, name: string) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return async (...asked: unknown[]) => {
          this.calls.push(`${name} ${String(asked[0])}`);
          await this.before(name, asked[0], asked[1]);
          const answer = await value.apply(target, asked);
          await this.after(name, asked[0]);
          return answer;
        };
      },
    });
    return { ...this.#driver, blob: watched as BlobDriver, close: async () => {} };
  };

  count(call: string): number {
    return this.calls.filter((one) => one === call).length;
  }
}

export const memberDefaults = { memberWait: 5_000, memberCa: undefined, memberCert: undefined, memberKey: undefined };
