/**
 * What of the rules nobody can see over the wire from outside. Short on purpose: what stands here is proven for this
 * package's own SDK and drivers only, and whoever writes another driver has to see to it himself.
 */

export interface ProvenElsewhere {
  readonly id: string;
  /** The part of the rule that the kit cannot see. */
  readonly what: string;
  readonly why: string;
  /** The test's file, from the repository's root. */
  readonly file: string;
  /** The beginning of its title. */
  readonly test: string;
}

export const provenElsewhere: readonly ProvenElsewhere[] = [
  {
    id: "process.init.01",
    what: "an empty backend is refused; one with data but no id is adopted",
    why: "the kit knows the driver's address, not its backend, and cannot empty it",
    file: "test/drivers/filesystem/root.test.ts",
    test: "an empty root is refused until it is initialised; one with data is adopted",
  },
  {
    id: "call.notafter.01",
    what: "a call that arrives in time and wakes up late has no effect",
    why: "where a driver waits between arrival and effect cannot be reached from outside",
    file: "test/server/calls.test.ts",
    test: "[call.notafter.01] a write that wakes up past not-after has no effect",
  },
  {
    id: "blob.expiry.01",
    what: "an upload is expired once it was idle for upload_ttl_ms",
    why: "a day and more; the kit sees it where a driver was given 10 s or less for the test",
    file: "test/server/takeover.test.ts",
    test: "[blob.expiry.01] uploads idle for longer than upload_ttl_ms are expired, others not",
  },
  {
    id: "blob.durable.01",
    what: "power loss",
    why: "the kit kills processes, not machines",
    file: "test/drivers/filesystem/behaviour.test.ts",
    test: "what an upload had beyond its persisted bytes before a power loss is not part of the blob",
  },
  {
    id: "meta.durable.01",
    what: "power loss",
    why: "the kit kills processes, not machines",
    file: "test/drivers/filesystem/crash.test.ts",
    test: "random Writes with crashes agree with a model, and etags are never used again",
  },
  {
    id: "meta.etag.01",
    what: "etags with the clock set back",
    why: "the kit cannot set the driver's clock",
    file: "test/drivers/filesystem/root.test.ts",
    test: "with the clock set back, times and etags go on growing",
  },
];
