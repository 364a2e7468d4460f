/** What the wire itself must obey in each Append, whoever speaks: told by what a core has sent and received so far. */
import type { AppendRequestInput } from "../../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type { RequestMetadata } from "../../proto/transport.ts";
import type { AppendTap } from "./network.ts";
import type { World } from "./world.ts";

export class WireWatch {
  /** Streams on which a commit waits for its answer. */
  committing = 0;
  readonly #world: World;
  /** By upload id: the most that anybody was told to be persisted. */
  readonly #persisted = new Map<string, number>();
  /** Uploads that somebody asked to end: what was persisted may be gone. */
  readonly #ending = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Told of each answer as a driver gives it, with the call's request id. */
  onAnswer: ((requestId: string, message: AppendResponse) => void) | undefined;

  /** Told when an upload is opened with `create` after a commit was sent for it. */
  onBegunAnew: ((uploadId: string) => void) | undefined;

  /** The most that anybody was told to be persisted. */
  floorOf(uploadId: string): number {
    return this.#persisted.get(uploadId) ?? 0;
  }

  /** Somebody asked to commit or abort it. */
  mayEnd(uploadId: string): boolean {
    return this.#ending.has(uploadId);
  }

  /** Somebody aborts the upload. */
  ending(uploadId: string): void {
    this.#ending.add(uploadId);
  }

  append({ requestId }: RequestMetadata): AppendTap {
    const world = this.#world;
    let uploadId = "";
    let floor = 0;
    let opened = false;
    let sentBytes = 0;
    let persisted = 0;
    let received = 0;
    let flushes = 0;
    let committing = false;
    return {
      sent: ({ open, chunk, flush, commit }: AppendRequestInput) => {
        if (open) {
          uploadId = open.uploadId ?? "";
          if (open.create && this.#ending.has(uploadId)) this.onBegunAnew?.(uploadId);
          floor = this.#persisted.get(uploadId) ?? 0;
        } else if (chunk) {
          sentBytes = Math.max(sentBytes, Number(chunk.offset ?? 0) + (chunk.data?.length ?? 0));
        } else if (flush) {
          flushes++;
        } else if (commit) {
          this.#ending.add(uploadId);
          committing = true;
          this.committing++;
        }
      },
      answered: (message) => {
        if (requestId !== undefined) this.onAnswer?.(requestId, message);
      },
      received: (answer: AppendResponse) => {
        if (answer.opened) {
          persisted = answer.opened.persisted;
          received = persisted;
          world.expect(
            "open is answered once, first",
            !opened,
            () => `upload ${uploadId} was opened twice on one stream`,
          );
          world.expect(
            "persisted never falls",
            persisted >= floor || this.#ending.has(uploadId),
            () => `upload ${uploadId} opened at ${persisted}, ${floor} bytes were told to be persisted`,
          );
          opened = true;
        } else if (answer.progress) {
          const { progress } = answer;
          world.expect(
            "progress grows and stays below what was sent",
            opened &&
              progress.persisted >= persisted &&
              progress.received >= received &&
              progress.persisted <= progress.received &&
              progress.received <= Math.max(sentBytes, received),
            () =>
              `upload ${uploadId}: ${JSON.stringify(progress)} after ${received} received, ${persisted} persisted, ${sentBytes} sent`,
          );
          ({ persisted, received } = progress);
        }
        this.#persisted.set(uploadId, Math.max(persisted, this.#persisted.get(uploadId) ?? 0));
      },
      ended: (error) => {
        if (committing) this.committing--;
        committing = false;
        if (flushes > 0) world.coverage.count("flush sent", flushes);
        if (error !== undefined && opened) world.coverage.count("append stream broke after open");
      },
    };
  }
}
