/** Prometheus metrics. What runs on every request counts in plain numbers or one observation. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { StoreHealth } from "../../client/contract.ts";
import type { ObservedCall } from "../../client/observed.ts";
import type { Traffic } from "./exchange.ts";

export interface RequestMetrics {
  observe(route: string, method: string, status: number, durationMs: number): void;
}

/** Of another member of the cluster. */
export interface MemberHealth {
  readonly member: string;
  /** False for some seconds after it failed several times in a row. */
  readonly isAsked: boolean;
  readonly underWay: number;
}

export interface Metrics extends RequestMetrics {
  /** @param prefix of the repositories whose pair was called; "": the main pair */
  observeStoreCall(call: ObservedCall, prefix: string): void;
  /** @param durationMs to the answer's head */
  observeMember(member: string, outcome: string, durationMs: number): void;
  readonly contentType: string;
  render(): Promise<string>;
}

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

export function createMetrics(
  traffic: Traffic,
  health: () => readonly (StoreHealth & { readonly prefix: string })[],
  members: () => readonly MemberHealth[] = () => [],
): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const durations = new Histogram({
    name: "outrigger_http_request_duration_seconds",
    help: "Time from a request's head to its answer's end; its count is the number of requests.",
    labelNames: ["route", "method", "status"],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600],
    registers: [registry],
  });
  const storeCalls = new Histogram({
    name: "outrigger_store_call_duration_seconds",
    help: "Time of a call to a driver; reason is why it failed, empty where it did not.",
    labelNames: ["method", "reason", "prefix"],
    buckets: [0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5, 30],
    registers: [registry],
  });
  counter(registry, "outrigger_http_body_received_bytes_total", "Bytes of request bodies.", () => traffic.bytesIn);
  counter(registry, "outrigger_http_body_sent_bytes_total", "Bytes of answers' bodies.", () => traffic.bytesOut);
  gauge(registry, "outrigger_http_uploads_open", "Request bodies being received.", () => traffic.uploadsOpen);
  gauge(registry, "outrigger_http_pulls_open", "Blobs being sent.", () => traffic.pullsOpen);
  new Gauge({
    name: "outrigger_store_ready",
    help: "1 while the store answers; role is move for the one that blobs are being moved to, else main.",
    labelNames: ["kind", "role", "prefix"],
    registers: [registry],
    collect() {
      for (const { kind, beside, prefix, ready } of health())
        this.set({ kind, role: beside ? "move" : "main", prefix }, ready ? 1 : 0);
    },
  });
  const memberRequests = new Histogram({
    name: "outrigger_member_request_duration_seconds",
    help: "Time to the head of another member's answer; outcome is answered, down, wrong, disagrees, or left by who asked.",
    labelNames: ["member", "outcome"],
    buckets: [0.002, 0.01, 0.05, 0.2, 1, 5, 30],
    registers: [registry],
  });
  memberGauge(
    registry,
    "outrigger_member_asked",
    "0 while a member is given up for some seconds.",
    members,
    (member) => (member.isAsked ? 1 : 0),
  );
  memberGauge(
    registry,
    "outrigger_member_requests_open",
    "Requests to another member under way.",
    members,
    ({ underWay }) => underWay,
  );
  return {
    observe(route, method, status, durationMs) {
      durations.observe({ route, method: METHODS.has(method) ? method : "other", status }, durationMs / 1000);
    },
    observeStoreCall({ method, reason = "", durationMs }, prefix) {
      storeCalls.observe({ method, reason, prefix }, durationMs / 1000);
    },
    observeMember(member, outcome, durationMs) {
      memberRequests.observe({ member, outcome }, durationMs / 1000);
    },
    contentType: registry.contentType,
    render: () => registry.metrics(),
  };
}

function counter(registry: Registry, name: string, help: string, total: () => number): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset();
      this.inc(total());
    },
  });
}

function memberGauge(
  registry: Registry,
  name: string,
  help: string,
  members: () => readonly MemberHealth[],
  value: (member: MemberHealth) => number,
): void {
  new Gauge({
    name,
    help,
    labelNames: ["member"],
    registers: [registry],
    collect() {
      this.reset();
      for (const health of members()) this.set({ member: health.member }, value(health));
    },
  });
}

function gauge(registry: Registry, name: string, help: string, value: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(value());
    },
  });
}
