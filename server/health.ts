/** grpc.health.v1 [process.health.01]: "" is the process, a service's name is its store's backend. */
import { status as Code, type handleServerStreamingCall, type handleUnaryCall } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import type { HealthCheckRequest } from "../proto/gen/grpc/health/v1/HealthCheckRequest.ts";
import type { HealthCheckResponse } from "../proto/gen/grpc/health/v1/HealthCheckResponse.ts";
import type { HealthListRequest } from "../proto/gen/grpc/health/v1/HealthListRequest.ts";
import type { HealthListResponse } from "../proto/gen/grpc/health/v1/HealthListResponse.ts";
import type { Driver, Store } from "./contract.ts";

const KEPT_MS = 5_000;
/** An answer must not wait for a backend that hangs. */
const CHECK_MS = 4_000;

type Status = "SERVING" | "NOT_SERVING";

interface Checked {
  readonly store: Store;
  status: Status;
  atMs: number;
  asking: Promise<Status> | undefined;
}

export class Health {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #stores = new Map<string, Checked>();
  readonly #watchers = new Set<() => void>();
  #draining = false;

  constructor(driver: Driver, clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
    for (const [name, store] of [
      ["outrigger.blob.v1.BlobService", driver.blob],
      ["outrigger.meta.v1.MetaService", driver.meta],
    ] as const) {
      if (store === undefined) continue;
      this.#stores.set(name, { store, status: "SERVING", atMs: Number.NEGATIVE_INFINITY, asking: undefined });
    }
  }

  /** [process.drain.01] Everything is NOT_SERVING from now on. */
  drain(): void {
    this.#draining = true;
    for (const notify of this.#watchers) notify();
  }

  /** `undefined`: no such service. */
  async status(service: string): Promise<Status | undefined> {
    const checked = this.#stores.get(service);
    if (service !== "" && checked === undefined) return undefined;
    if (this.#draining) return "NOT_SERVING";
    if (checked === undefined) return "SERVING";
    if (this.#clock.monotonic() - checked.atMs < KEPT_MS) return checked.status;
    checked.asking ??= this.#ask(service, checked);
    return checked.asking;
  }

  async #ask(service: string, checked: Checked): Promise<Status> {
    const abort = new AbortController();
    let cancel = () => {};
    const late = new Promise<never>((_, reject) => {
      cancel = this.#clock.after(CHECK_MS, () => {
        const error = new Error(`the backend did not answer within ${CHECK_MS} ms`);
        abort.abort(error);
        reject(error);
      });
    });
    let status: Status = "SERVING";
    try {
      await Promise.race([checked.store.check(abort.signal), late]);
    } catch (err) {
      status = "NOT_SERVING";
      if (checked.status === "SERVING") this.#log.error({ err, service }, "the backend is not usable");
    } finally {
      cancel();
    }
    if (status === "SERVING" && checked.status !== "SERVING")
      this.#log.info({ service }, "the backend is usable again");
    checked.status = status;
    checked.atMs = this.#clock.monotonic();
    checked.asking = undefined;
    return status;
  }

  check(): handleUnaryCall<HealthCheckRequest, HealthCheckResponse> {
    return (call, callback) => {
      void this.status(call.request.service).then((status) => {
        if (status !== undefined) callback(null, { status });
        else callback({ code: Code.NOT_FOUND, details: `there is no service ${call.request.service} here` });
      });
    };
  }

  list(): handleUnaryCall<HealthListRequest, HealthListResponse> {
    return (_call, callback) => {
      const names = ["", ...this.#stores.keys()];
      void Promise.all(names.map((name) => this.status(name))).then((all) => {
        const statuses = Object.fromEntries(names.map((name, i) => [name, { status: all[i] ?? "NOT_SERVING" }]));
        callback(null, { statuses });
      });
    };
  }

  /** Tells the status now and whenever it changes. */
  watch(): handleServerStreamingCall<HealthCheckRequest, HealthCheckResponse> {
    return (call) => {
      let told: string | undefined;
      let cancel = () => {};
      const look = () => {
        cancel();
        void this.status(call.request.service).then((found) => {
          if (call.cancelled) return;
          const status = found ?? "SERVICE_UNKNOWN";
          if (status !== told) call.write({ status });
          told = status;
          if (this.#draining) {
            stop();
            call.end();
          } else cancel = this.#clock.after(KEPT_MS, look);
        });
      };
      const stop = () => {
        cancel();
        this.#watchers.delete(look);
      };
      call.on("cancelled", stop);
      this.#watchers.add(look);
      look();
    };
  }
}
