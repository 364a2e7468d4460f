/**
 * Senders that fight for the same uploads, straight on the wire: each writes bytes that name it, so that what is committed
 * tells whose bytes are where, and whether an older stream's came after a newer one's barrier.
 */
import type { AppendResponse } from "../../../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import { collect } from "../../../registry/repository/core.ts";
import type { Task } from "../plan.ts";
import { Random } from "../random.ts";
import { type CoreSlot, pause, type Simulation, told, UNLUCKY, type Workload } from "../simulation.ts";

const UPLOADS = ["upload-0", "upload-1"];

/** One stream: its bytes all have its number as value. */
interface Stream {
  readonly number: number;
  readonly uploadId: string;
  /** Of its answer to Open, among all, in the order the drivers gave them; -1: not answered. */
  rank: number;
  openedAtBytes: number;
  /** How many answers to Open of any stream had been given when this one's Open was sent. */
  sentAfter: number;
  sentToBytes: number;
}

export class FencesWorkload implements Workload {
  readonly #simulation: Simulation;
  readonly #streams: Stream[] = [];
  /** Streams by upload in the order in which their Open was answered. */
  readonly #opened = new Map<string, Stream[]>(UPLOADS.map((id) => [id, []]));

  #answers = 0;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  async task(task: Task, slot: CoreSlot): Promise<void> {
    const random = new Random(task.seed);
    if (task.what === "raw stream") return this.#stream(slot, random, random.chance(0.3));
    if (task.what === "raw commit") return this.#stream(slot, random, true);
    if (task.what === "raw get") return this.#get(slot, random.pick(UPLOADS));
    return this.#readAll(slot);
  }

  finish(slot: CoreSlot): Promise<void> {
    return this.#readAll(slot);
  }

  async #stream(slot: CoreSlot, random: Random, commits: boolean): Promise<void> {
    const { core } = slot;
    const { world } = this.#simulation;
    if (core === undefined || this.#streams.length >= 250) return;
    const uploadId = random.pick(UPLOADS);
    const mine: Stream = {
      number: this.#streams.length + 1,
      uploadId,
      rank: -1,
      openedAtBytes: 0,
      sentAfter: this.#answers,
      sentToBytes: 0,
    };
    this.#streams.push(mine);
    const clock = slot.life.clock;
    const stream = core.transport.append({
      metadata: { store: this.#simulation.blobStoreId, requestId: `s${mine.number}` },
      deadlineMs: 70_000,
    });
    this.#simulation.watch.onAnswer = (id, message) => this.#answered(id, message);
    const answers = stream.incoming[Symbol.asyncIterator]();
    let failure: unknown;
    /** What ended the stream, once it was opened. */
    let rest: Promise<unknown> | undefined;
    try {
      await stream.send({
        open: {
          uploadId,
          sender: `sender-${mine.number}`,
          attempt: 1,
          create: random.chance(0.8),
          algorithm: "sha256",
          notAfterMs: random.chance(0.5) ? 0 : clock.now() + 10_000,
        },
      });
      const first = await next(answers);
      if (first?.opened === undefined || first.opened === null) return;
      rest = this.#drain(answers);
      let at = first.opened.persisted;
      for (let pieces = random.below(6); pieces > 0; pieces--) {
        if (random.chance(0.5)) await pause(clock, random.fraction() * (random.chance(0.2) ? 500 : 5));
        // Bytes that are there already are skipped, whatever they are; also from the very beginning.
        const from = random.chance(0.25) ? random.pick([0, Math.floor(at / 2), at]) : at;
        const data = Buffer.alloc(at - from + random.between(1, 60), mine.number);
        if (at + 1000 < 1_000_000) {
          at = from + data.length;
          mine.sentToBytes = Math.max(mine.sentToBytes, at);
          await stream.send({ chunk: { offset: from, data } });
        }
        if (random.chance(0.2)) await stream.send({ flush: {} });
      }
      if (random.chance(0.2)) await pause(clock, random.fraction() * 1_000);
      if (commits) {
        await stream.send({
          commit: {
            key: keyOf(mine.number),
            ...(random.chance(0.5) && { size: at }),
            ifAbsent: random.chance(0.5),
            notAfterMs: random.chance(0.3) ? clock.now() + 10_000 : 0,
          },
        });
      }
      if (random.chance(0.85)) stream.end();
      else if (random.chance(0.5)) stream.incoming.cancel();
      failure = await rest;
    } catch (error) {
      // What a failed send means, the stream's end says.
      told(error);
      failure = rest === undefined ? error : ((await rest) ?? error);
    } finally {
      stream.incoming.cancel();
    }
    if (failure === undefined) return;
    const reason = told(failure);
    world.coverage.count(`told ${reason}`);
    world.expect(
      "what fails, fails for a reason that the caller can act on",
      UNLUCKY.has(reason) ||
        reason === "UPLOAD_FENCED" ||
        reason === "UPLOAD_NOT_FOUND" ||
        reason === "OFFSET_MISMATCH",
      () => `stream ${mine.number}: ${String(failure)}`,
    );
  }

  async #drain(answers: AsyncIterator<AppendResponse>): Promise<unknown> {
    try {
      while ((await next(answers)) !== undefined);
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /** The driver's side has answered: this is when the barrier stands. */
  #answered(requestId: string, message: AppendResponse): void {
    const stream = this.#streams[Number(requestId.slice(1)) - 1];
    if (stream === undefined) return;
    const opened = this.#opened.get(stream.uploadId) as Stream[];
    if (message.opened) {
      stream.rank = this.#answers++;
      stream.openedAtBytes = message.opened.persisted;
      opened.push(stream);
    } else if (message.committed) {
      const newer = opened.filter((other) => isNewer(other, stream));
      // One that was opened at 0 may have begun the upload anew, after a commit whose answer was slow.
      const anew = opened.some((other) => other.rank > stream.rank && other.openedAtBytes === 0);
      this.#simulation.world.expect(
        "an older stream does not commit",
        anew || newer.length === 0,
        () =>
          `stream ${stream.number} committed after stream ${newer[0]?.number} was opened at ${newer[0]?.openedAtBytes}`,
      );
    } else if (message.progress && opened.some((other) => isNewer(other, stream))) {
      this.#simulation.world.coverage.count("older stream told progress after the barrier");
    }
  }

  async #readAll(slot: CoreSlot): Promise<void> {
    const { core } = slot;
    const { world } = this.#simulation;
    if (core === undefined) return;
    try {
      const { items } = await core.blobs.list({ prefix: "f/" });
      for (const { key } of items) {
        const read = await core.blobs.read(key);
        const bytes = await collect(read);
        const committer = this.#streams[Number(key.slice(2)) - 1];
        if (committer === undefined)
          world.fail("bytes of an old fence never come after the barrier", `unknown key ${key}`);
        else this.#check(committer, bytes);
      }
    } catch (error) {
      const reason = told(error);
      if (!UNLUCKY.has(reason) && reason !== "KEY_NOT_FOUND" && reason !== "ETAG_MISMATCH") {
        world.fail("what fails, fails for a reason that the caller can act on", String(error), error);
      }
    }
  }

  /** Every byte was sent by the stream it names, and no stream opened since then began at or before it. */
  #check(committer: Stream, bytes: Buffer): void {
    const { world } = this.#simulation;
    const opened = this.#opened.get(committer.uploadId) as Stream[];
    world.expect("what was never opened is never committed", committer.rank >= 0, () => `stream ${committer.number}`);
    for (let at = 0; at < bytes.length; at++) {
      const writer = this.#streams[(bytes[at] as number) - 1];
      const sent =
        writer !== undefined &&
        writer.uploadId === committer.uploadId &&
        at < writer.sentToBytes &&
        at >= writer.openedAtBytes;
      const barrier = opened.find(
        (other) =>
          writer !== undefined &&
          isNewer(other, writer) &&
          (other === committer || isNewer(committer, other)) &&
          other.openedAtBytes <= at,
      );
      world.expect(
        "bytes of an old fence never come after the barrier",
        sent && writer.rank >= 0 && !isNewer(writer, committer) && barrier === undefined,
        () =>
          `byte ${at} of ${keyOf(committer.number)} is of stream ${bytes[at]}, stream ${barrier?.number} was opened at ${barrier?.openedAtBytes} since`,
      );
      if (world.violation !== undefined) return;
    }
    world.expect("a commit holds all that its stream has sent", bytes.length >= committer.openedAtBytes, () =>
      keyOf(committer.number),
    );
  }

  async #get(slot: CoreSlot, uploadId: string): Promise<void> {
    const { core } = slot;
    const { watch, world } = this.#simulation;
    if (core === undefined) return;
    const floor = watch.floorOf(uploadId);
    try {
      const found = await core.blobs.getUpload(uploadId);
      world.expect(
        "persisted never falls",
        watch.mayEnd(uploadId) || (found?.persistedBytes ?? 0) >= floor,
        () => `upload ${uploadId} has ${found?.persistedBytes}, ${floor} bytes were told to be persisted`,
      );
    } catch (error) {
      const reason = told(error);
      world.expect("what fails, fails for a reason that the caller can act on", UNLUCKY.has(reason), () =>
        String(error),
      );
    }
  }
}

/** Surely: its Open was sent when the other's had been answered. Two under way at once may take over in either order. */
function isNewer(stream: Stream, than: Stream): boolean {
  return stream.rank >= 0 && than.rank >= 0 && stream.sentAfter > than.rank;
}

function keyOf(stream: number): string {
  return `f/${stream}`;
}

async function next(answers: AsyncIterator<AppendResponse>): Promise<AppendResponse | undefined> {
  const result = await answers.next();
  return result.done ? undefined : result.value;
}
