/** Wrong as processes: how they start, say how they are, and end. */
import type { Wrong } from "../wrongs.ts";

export const processWrongs: readonly Wrong[] = [
  {
    name: "always-well",
    does: "says SERVING of any service, also of one that it does not have",
    caughtBy: ["process.health.01"],
    beside: ["process.health", "handshake"],
    changes: () => ({ process: { health: () => "SERVING" } }),
  },
  {
    name: "not-sealed",
    does: "minds no --read-only",
    caughtBy: ["process.readonly.01"],
    beside: ["process.health", "process.init"],
    processes: true,
    changes: () => ({ process: { seals: false } }),
  },
  {
    name: "not-drained",
    does: "goes on after SIGTERM",
    caughtBy: ["process.drain.01"],
    beside: ["process.health", "process.keepalive"],
    processes: true,
    changes: () => ({ process: { drains: false } }),
  },
  {
    name: "socket-taken",
    does: "takes the socket of a driver that answers there",
    caughtBy: ["process.listen.02"],
    beside: ["process.health", "process.init"],
    processes: true,
    changes: () => ({ process: { leavesLiveSocket: false } }),
  },
  {
    name: "plain-beyond-loopback",
    does: "serves everybody in plain text",
    caughtBy: ["process.tls.01"],
    beside: ["process.health", "process.init"],
    processes: true,
    changes: () => ({ process: { refusesPlainBeyondLoopback: false } }),
  },
  {
    name: "init-anew",
    does: "gives stores that have ids new ones at --init",
    caughtBy: ["process.init.01"],
    beside: ["process.health", "process.keepalive"],
    processes: true,
    changes: () => ({ process: { keepsIds: false } }),
  },
];
