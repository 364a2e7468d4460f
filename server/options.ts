/** The options that every hosted driver has (protocol.md section 3). */
import type { OptionSpecs } from "./contract.ts";

export const hostOptions = {
  listen: {
    kind: "string",
    doc: "Where to serve: unix:///path/x.sock or host:port.",
  },
  config: { kind: "string", doc: "A YAML file with these options by their camelCase names." },
  init: { kind: "boolean", doc: "Write the store ids where they are absent, and exit.", default: false },
  readOnly: { kind: "boolean", doc: "Refuse every change: the store is sealed.", default: false },
  insecure: { kind: "boolean", doc: "Serve plain text beyond loopback all the same.", default: false },
  tlsCert: { kind: "string", doc: "PEM file with the certificate chain; reread when it changes." },
  tlsKey: { kind: "string", doc: "PEM file with the certificate's key; reread when it changes." },
  tlsClientCa: { kind: "string", doc: "PEM file: clients must have a certificate signed by it." },
  tlsAllowClient: { kind: "string", doc: "Names, comma separated, one of which a client's certificate must have." },
  metricsListen: { kind: "string", doc: "host:port of an HTTP listener for /metrics; none if absent." },
  logLevel: {
    kind: "string",
    doc: "How much is logged, as JSON lines on stderr.",
    default: "info",
    choices: ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
  },
  lockWait: { kind: "duration", doc: "How long to wait for another process to give up the store.", default: 0 },
} as const satisfies OptionSpecs;
