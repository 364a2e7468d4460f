/** Metadata names of the process contract (protocol.md section 3 and 4). */
export const headers = {
  /** Request: the store's id. */
  store: "outrigger-store",
  /** Request: unix ms past which a mutating call must not take effect. */
  notAfter: "outrigger-not-after",
  /** Answer: the driver's clock, unix ms. */
  now: "outrigger-now",
  /** Answer: hash of what Describe would say. */
  contract: "outrigger-contract",
  /** Request: the core's id for the work, logged on both sides. */
  requestId: "outrigger-request-id",
} as const;
