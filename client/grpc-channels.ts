/**
 * grpc-js channels to one address: one for small calls, one for bulk bytes each way, made anew when the PEM files change.
 *
 * Why bulk bytes are kept apart by direction: Node's http2 session does not read while a write of its own is in progress.
 * On one connection, a push that fills the socket one way and a pull that fills it the other way stop each other for ever.
 */
import { readFileSync, type Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { Channel, type ChannelCredentials, type ChannelOptions, connectivityState, credentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import { OutriggerError } from "../proto/errors.ts";
import { limits } from "../proto/limits.ts";
import type { StoreTarget } from "./contract.ts";

/** What one stream may have on its way here: measured, protocol.md section 9. */
const WINDOW_BYTES = 1024 * 1024;
/** Certificates are looked at no more often. */
const TLS_CHECK_MS = 5_000;
/** C-core servers answer faster pings with GOAWAY. */
const KEEPALIVE_MS = 5 * 60_000;

const options: ChannelOptions = {
  "grpc-node.flow_control_window": WINDOW_BYTES,
  "grpc.max_receive_message_length": limits.messageBytes,
  "grpc.max_send_message_length": limits.messageBytes,
  // Retries are ours: only the protocol knows what may be repeated.
  "grpc.enable_retries": 0,
  "grpc.per_rpc_retry_buffer_size": 0,
  "grpc.enable_channelz": 0,
  // Without it the channels would share one connection, and a stalled stream's bytes would delay small calls.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  // A driver that was restarted is found at once: connecting to an address where nobody listens costs next to nothing.
  "grpc.max_reconnect_backoff_ms": 300,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_http_proxy": 0,
};

/** On one machine an attempt costs nothing, and a driver that dies again and again may be up for a moment only. */
const nearby: ChannelOptions = { "grpc.initial_reconnect_backoff_ms": 50, "grpc.max_reconnect_backoff_ms": 150 };

/**
 * `unix:///path`, `host:port` or `dns:///name:port` as grpc-js wants it.
 * @throws INVALID_FIELD for anything else
 */
export function grpcTarget(address: string): string {
  if (/^unix:\/\/\/[^\0]+$/.test(address)) return address;
  if (/^dns:\/\/\/[^/\s]+:\d{1,5}$/.test(address)) return address;
  if (/^(?:\[[0-9A-Fa-f:.%]+\]|[^:/\s]+):\d{1,5}$/.test(address)) return `dns:${address}`;
  throw new OutriggerError(
    "INVALID_FIELD",
    `the address ${JSON.stringify(address)} is none of unix:///path, host:port, dns:///name:port`,
    { metadata: { field: "address" }, side: "core" },
  );
}

type Tls = NonNullable<StoreTarget["tls"]>;

interface Channels {
  readonly credentials: ChannelCredentials;
  readonly small: Channel;
  /** Bytes that come. */
  reads: Channel | undefined;
  /** Bytes that go. */
  writes: Channel | undefined;
}

export class GrpcChannels {
  readonly #target: string;
  readonly #tls: Tls | undefined;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #isUnix: boolean;
  #open: Channels | undefined;
  #stamp = "";
  #checkedMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(target: StoreTarget, clock: Clock, log: Logger) {
    this.#target = grpcTarget(target.address);
    this.#isUnix = this.#target.startsWith("unix:");
    this.#tls = target.tls;
    this.#clock = clock;
    this.#log = log;
  }

  small(): Channel {
    return this.#current().small;
  }

  reads(): Channel {
    const open = this.#current();
    open.reads ??= this.#channel(open.credentials);
    return open.reads;
  }

  writes(): Channel {
    const open = this.#current();
    open.writes ??= this.#channel(open.credentials);
    return open.writes;
  }

  /** Whether a connection that was not there came within `ms`. */
  async reconnected(which: "small" | "reads" | "writes", ms: number): Promise<boolean> {
    const channel = this[which]();
    const deadlineMs = Date.now() + ms;
    let state = channel.getConnectivityState(true);
    if (state === connectivityState.READY) return false;
    while (state !== connectivityState.READY) {
      const from = state;
      await new Promise<void>((resolve) => channel.watchConnectivityState(from, deadlineMs, () => resolve()));
      if (this.#closed || Date.now() >= deadlineMs) return false;
      state = channel.getConnectivityState(true);
    }
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#end(this.#open);
    this.#open = undefined;
  }

  #end(channels: Channels | undefined): void {
    channels?.small.close();
    channels?.reads?.close();
    channels?.writes?.close();
  }

  #current(): Channels {
    if (this.#closed) throw new OutriggerError("UNREACHABLE", "the connection is closed", { side: "core" });
    if (this.#tls !== undefined) void this.#checkFiles(this.#tls);
    this.#open ??= this.#begin(this.#credentials());
    return this.#open;
  }

  #begin(made: ChannelCredentials): Channels {
    return { credentials: made, small: this.#channel(made), reads: undefined, writes: undefined };
  }

  #channel(made: ChannelCredentials): Channel {
    return new Channel(this.#target, made, {
      ...options,
      ...(this.#isUnix ? nearby : { "grpc.keepalive_time_ms": KEEPALIVE_MS }),
      ...(this.#tls?.serverName === undefined ? {} : { "grpc.ssl_target_name_override": this.#tls.serverName }),
    });
  }

  #credentials(): ChannelCredentials {
    if (this.#tls === undefined) return credentials.createInsecure();
    const { ca, cert, key } = this.#tls;
    try {
      const pem = (path: string | undefined) => (path === undefined ? null : readFileSync(path));
      return credentials.createSsl(pem(ca), pem(key), pem(cert));
    } catch (error) {
      throw new OutriggerError("UNREACHABLE", `the TLS files cannot be used: ${(error as Error).message}`, {
        side: "core",
        metadata: { sent: "no" },
        cause: error,
      });
    }
  }

  /** New files, new channels; calls under way end on the old ones. */
  async #checkFiles(tls: Tls): Promise<void> {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#checkedMs < TLS_CHECK_MS) return;
    this.#checkedMs = nowMs;
    try {
      const files = [tls.ca, tls.cert, tls.key].filter((path) => path !== undefined);
      const stamp = (await Promise.all(files.map((path) => stat(path)))).map(stampOf).join();
      const before = this.#stamp;
      if (before !== "" && before !== stamp && this.#open !== undefined && !this.#closed) {
        const old = this.#open;
        this.#open = this.#begin(this.#credentials());
        this.#end(old);
        this.#log.info("the TLS files have changed; new connections use them");
      }
      this.#stamp = stamp;
    } catch (error) {
      // Half-written files: the connections there are still good, and the next look finds the rest.
      this.#log.warn(`the TLS files cannot be read again: ${(error as Error).message}`);
    }
  }
}

function stampOf({ mtimeMs, size, ino }: Stats): string {
  return `${mtimeMs}:${size}:${ino}`;
}
