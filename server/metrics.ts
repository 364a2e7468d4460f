/** Prometheus metrics of a driver process, on a port of their own. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { status as Code } from "@grpc/grpc-js";
import type { Instruments } from "./instruments.ts";
import { parseListen } from "./listen.ts";
import { UsageError } from "./option-values.ts";

export interface Metrics extends Instruments {
  /** The listener's own address. */
  readonly address: string;
  close(): Promise<void>;
}

/** Starts serving /metrics. @throws UsageError */
export async function startMetrics(listen: string): Promise<Metrics> {
  // Only who wants metrics loads them.
  const { Registry, collectDefaultMetrics, Counter, Gauge, Histogram } = (await import("prom-client")).default;
  const address = parseListen(listen);
  if (address.kind !== "tcp") throw new UsageError(`--metrics-listen ${listen} is not host:port`);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const calls = new Counter({
    name: "outrigger_driver_calls_total",
    help: "Calls ended, by method and gRPC code.",
    labelNames: ["method", "code"] as const,
    registers,
  });
  const seconds = new Histogram({
    name: "outrigger_driver_call_seconds",
    help: "From a call's arrival to its end, by method.",
    labelNames: ["method"] as const,
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30],
    registers,
  });
  const received = new Counter({
    name: "outrigger_driver_received_bytes_total",
    help: "Blob bytes received in uploads.",
    registers,
  });
  const sent = new Counter({
    name: "outrigger_driver_sent_bytes_total",
    help: "Blob bytes sent to readers.",
    registers,
  });
  const open = new Gauge({
    name: "outrigger_driver_open_calls",
    help: "Calls under way, by method; blob.Append are the uploads being written.",
    labelNames: ["method"] as const,
    registers,
  });

  const server = createServer((request, response) => {
    if (request.url !== "/metrics" || request.method !== "GET") {
      response.writeHead(404).end();
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { "content-type": registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new UsageError(`metrics cannot listen on ${listen}: ${cause.message}`, { cause })),
    );
    server.listen(address.port, address.host.replace(/^\[|\]$/g, ""), resolve);
  });
  return {
    address: `${address.host}:${(server.address() as AddressInfo).port}`,
    begin(method) {
      const stop = seconds.startTimer({ method });
      open.inc({ method });
      return {
        received: (bytes) => received.inc(bytes),
        sent: (bytes) => sent.inc(bytes),
        end(code) {
          stop();
          open.dec({ method });
          calls.inc({ method, code: Code[code] ?? String(code) });
        },
        within: (work) => work(),
      };
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
