/** Hosts a driver in this process: opens it, serves it, and ends it in order. */
import { ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { type Clock, systemClock } from "../proto/clock.ts";
import type { Driver, OpenContext } from "./contract.ts";
import { createGrpcServer } from "./grpc.ts";
import { createHandlers } from "./handlers.ts";
import { combine, type Instruments } from "./instruments.ts";
import { isLoopback, listen, parseListen } from "./listen.ts";
import { UsageError } from "./option-values.ts";
import { createTls, type TlsOptions } from "./tls.ts";

export interface HostOptions {
  readonly open: (context: OpenContext) => Promise<Driver>;
  /** unix:///path/x.sock or host:port; port 0 is any free one. */
  readonly listen: string;
  readonly log: Logger;
  readonly tls?: TlsOptions;
  /** Serve plain text beyond loopback. */
  readonly insecure?: boolean;
  readonly readOnly?: boolean;
  readonly lockWaitMs?: number;
  readonly instruments?: readonly Instruments[];
  readonly clock?: Clock;
  /** Ends the start. */
  readonly signal?: AbortSignal;
}

export interface Host {
  /** As a core is given it. */
  readonly address: string;
  readonly driver: Driver;
  /** [process.drain.01] Resolves when everything is closed. */
  close(): Promise<void>;
}

/** What a stop may take to persist what was received. */
const DRAIN_MS = 2_000;
const EXPIRE_EVERY_MS = 60 * 60 * 1000;
/** Soon, so that a driver that is often started anew expires something too; not while its cores reconnect. */
const EXPIRE_FIRST_MS = 60 * 1000;

/** @throws UsageError with one sentence that says what to change, or what `open` threw */
export async function hostDriver(options: HostOptions): Promise<Host> {
  const { log, readOnly = false, clock = systemClock } = options;
  const address = parseListen(options.listen);
  if (address.kind === "tcp" && !isLoopback(address.host) && options.tls === undefined && !options.insecure) {
    throw new UsageError(
      `--listen ${options.listen} is beyond loopback: give --tls-cert and --tls-key, or --insecure to serve plain text`,
    );
  }
  const tls = options.tls && (await createTls(options.tls, clock, log));
  const driver = await options.open({
    log,
    clock,
    readOnly,
    lockWaitMs: options.lockWaitMs ?? 0,
    signal: options.signal ?? new AbortController().signal,
  });
  try {
    const handlers = createHandlers(driver, { clock, log, readOnly });
    const server = createGrpcServer({
      driver,
      handlers,
      clock,
      log,
      instruments: combine(options.instruments ?? []),
      ...(tls === undefined ? {} : { allowSession: (session) => tls.allows(session) }),
    });
    const listening = await listen(server, address, tls ?? ServerCredentials.createInsecure());
    tls?.watch();
    const stopExpiring = expireNowAndThen(clock, log, () => handlers.expireUploads());
    log.info(
      {
        address: listening.address,
        name: driver.name,
        version: driver.version,
        blob: driver.blob?.facts.id,
        meta: driver.meta?.facts.id,
        readOnly,
      },
      "serving",
    );
    for (const notice of driver.notices ?? []) log.warn(notice);
    let closing: Promise<void> | undefined;
    return {
      address: listening.address,
      driver,
      close() {
        closing ??= (async () => {
          stopExpiring();
          tls?.stopWatching();
          await server.drain(DRAIN_MS);
          await listening.close();
          await driver.close();
          log.info("stopped");
        })();
        return closing;
      },
    };
  } catch (error) {
    await driver.close();
    throw error;
  }
}

/** [blob.expiry.01] */
function expireNowAndThen(clock: Clock, log: Logger, expire: () => Promise<number>): () => void {
  let stopped = false;
  let cancel = clock.after(EXPIRE_FIRST_MS, run);
  function run() {
    expire()
      .catch((err) => log.warn({ err }, "idle uploads could not be looked for"))
      .finally(() => {
        if (!stopped) cancel = clock.after(EXPIRE_EVERY_MS, run);
      });
  }
  return () => {
    stopped = true;
    cancel();
  };
}
