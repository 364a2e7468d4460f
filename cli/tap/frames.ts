/** gRPC's messages in a stream of bytes: one byte of flags, four of length, then the message. */

/** A message larger than this is counted, not kept. The contract allows 4 MiB. */
const MOST_BYTES = 4 * 1024 * 1024;

export interface SeenMessage {
  /** As its head says. */
  readonly sizeBytes: number;
  /** Absent: too large to keep, or compressed. Shares no memory with what is passed on. */
  readonly data: Buffer | undefined;
}

/** Looks at one direction of one call. Bounded: what it holds is at most one message. */
export class Frames {
  readonly #see: (message: SeenMessage) => void;
  readonly #head = Buffer.alloc(5);
  #headBytes = 0;
  #bodyBytes = 0;
  #sizeBytes = 0;
  #body: Buffer | undefined;
  /** All bytes so far, heads included. */
  totalBytes = 0;

  constructor(see: (message: SeenMessage) => void) {
    this.#see = see;
  }

  push(data: Buffer): void {
    this.totalBytes += data.length;
    for (let at = 0; at < data.length; ) {
      if (this.#headBytes < this.#head.length) {
        const taken = data.copy(this.#head, this.#headBytes, at);
        this.#headBytes += taken;
        at += taken;
        if (this.#headBytes === this.#head.length) this.#begin();
        continue;
      }
      const taken = Math.min(this.#sizeBytes - this.#bodyBytes, data.length - at);
      if (this.#body !== undefined) data.copy(this.#body, this.#bodyBytes, at, at + taken);
      this.#bodyBytes += taken;
      at += taken;
      if (this.#bodyBytes === this.#sizeBytes) this.#finish();
    }
  }

  #begin(): void {
    this.#sizeBytes = this.#head.readUInt32BE(1);
    this.#bodyBytes = 0;
    const kept = this.#head[0] === 0 && this.#sizeBytes <= MOST_BYTES;
    this.#body = kept ? Buffer.allocUnsafe(this.#sizeBytes) : undefined;
    if (this.#sizeBytes === 0) this.#finish();
  }

  #finish(): void {
    const [sizeBytes, data] = [this.#sizeBytes, this.#body];
    this.#headBytes = 0;
    this.#body = undefined;
    this.#see({ sizeBytes, data });
  }
}
