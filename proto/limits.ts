/** The protocol's numbers (protocol.md sections 5 to 8 and 11), in one place. */
export const limits = {
  /** Largest gRPC message, either direction. */
  messageBytes: 4 * 1024 * 1024,
  /** Largest `data` of a chunk. */
  chunkBytes: 1024 * 1024,
  /** What our own sides send as a chunk to begin with (section 9). */
  preferredChunkBytes: 256 * 1024,
  putBytes: 1024 * 1024,
  listItems: 1000,
  statKeys: 1000,
  deleteKeys: 1000,
  getKeys: 100,
  writeOperations: 100,
  writeBytes: 3.5 * 1024 * 1024,
  valueBytes: 256 * 1024,
  unaryDeadlineMs: 10_000,
  listDeadlineMs: 30_000,
  /** A stream's timer, against the side that owes the next message. */
  streamOwedMs: 30_000,
  /** The driver's own: twice the core's. */
  streamIdleMs: 60_000,
  /** A driver at work on a commit or a move says so at least this often. */
  progressEveryMs: 5_000,
  clockSkewMs: 2_000,
  uploadTtlMs: 24 * 60 * 60 * 1000,
} as const;
