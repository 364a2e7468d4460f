/**
 * Uploads as objects of their own, one for each part, composed into the object that is meant. Under
 * `!outrigger/parts/REF/`: `p/00001` a part, `m/HASH` what was put together from 32 of them on the way. Every such name
 * has one content for ever: it is written only while it is absent. See docs/adr/gcs-parts.md.
 */
import { createHash, randomUUID } from "node:crypto";
import { OutriggerError } from "../../proto/errors.ts";
import { eachAtOnce } from "../../server/objects/at-once.ts";
import type { ObjectCondition, ObjectFacts, PartFacts, PartStore, RequestHow } from "../../server/objects/contract.ts";
import { factsOf, type GcsObject, generationOf, notMet, OBJECT_FIELDS, type Objects, sizeOf } from "./objects.ts";

/** Of one compose request; three levels of them put together 32,768. */
const MOST_SOURCES = 32;
const AT_ONCE = 8;
const DELETIONS_AT_ONCE = 16;
/** How often a name that others keep writing is looked at again before a composition that has no condition. */
const MOST_LOOKS = 5;

/** Custom metadata: the name that an upload's parts are meant for; the upload that an object was put together from. */
const FOR_NAME = "outrigger-for";
const FROM_PARTS = "outrigger-parts";

interface Source {
  readonly name: string;
  readonly generation: string;
  readonly sizeBytes: number;
}

export class GcsParts implements PartStore {
  readonly limits = { leastPartBytes: 1, mostParts: 10_000 };
  readonly direct = true;
  readonly #objects: Objects;
  readonly #top: string;

  /** @param top the folder of all uploads, with a slash at its end */
  constructor(objects: Objects, top: string) {
    this.#objects = objects;
    this.#top = top;
  }

  /** No request: the first part is what is there of an upload. */
  begin(_name: string, how: RequestHow): Promise<string> {
    how.signal.throwIfAborted();
    return Promise.resolve(randomUUID().replaceAll("-", ""));
  }

  async put(
    name: string,
    ref: string,
    number: number,
    data: readonly Uint8Array[],
    how: RequestHow,
  ): Promise<PartFacts> {
    const object = `${this.#folder(ref)}p/${String(number).padStart(5, "0")}`;
    const options = { generation: "0", metadata: { [FOR_NAME]: name }, repeatable: true };
    const written = await this.#objects.insert(object, data, options, how);
    if (written !== undefined) return partOf(written, number);
    // There already: this very request, sent before, or somebody's who had no right to the number.
    const there = await this.#objects.head(object, how.signal);
    const crc32c = await this.#objects.crc32c.of(data);
    const sizeBytes = data.reduce((sum, piece) => sum + piece.length, 0);
    if (there === undefined || sizeOf(there) !== sizeBytes || there.crc32c !== crc32c) {
      throw new OutriggerError("BACKEND_DOWN", `part ${number} of ${name} was written or taken away by somebody else`);
    }
    return partOf(there, number);
  }

  /** None where they are put together already, though some may lie there still: whoever did it was killed, or is at it. */
  async list(name: string, ref: string, signal: AbortSignal): Promise<readonly PartFacts[]> {
    const folder = `${this.#folder(ref)}p/`;
    const parts: PartFacts[] = [];
    for await (const object of this.#under(folder, signal)) {
      const number = Number(object.name.slice(folder.length));
      if (Number.isSafeInteger(number)) parts.push(partOf(object, number));
    }
    // Asked last: a part that was missing above was taken away after the composition.
    return parts.length > 0 && (await this.#isComplete(name, ref, signal)) ? [] : parts;
  }

  async #isComplete(name: string, ref: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#objects.head(name, signal))?.metadata?.[FROM_PARTS] === ref;
  }

  async complete(
    name: string,
    ref: string,
    parts: readonly PartFacts[],
    { condition }: { readonly condition?: ObjectCondition },
    how: RequestHow,
  ): Promise<ObjectFacts> {
    const wanted = generationOf(condition, name);
    let sources: readonly Source[] | undefined;
    for (let look = 0; look < MOST_LOOKS; look++) {
      // What is there decides before anything is composed, and lets no composition that arrives late undo a newer write.
      const there = await this.#objects.head(name, how.signal);
      if (there?.metadata?.[FROM_PARTS] === ref) {
        await this.#cleanUp(ref, how);
        throw new OutriggerError("UPLOAD_NOT_FOUND", `${name} was completed before`);
      }
      const generation = there?.generation ?? "0";
      if (wanted !== undefined && wanted !== generation) throw notMet(name, condition);
      sources ??= await this.#gather(name, ref, parts, how);
      const composed = await this.#compose(name, sources, { generation, metadata: { [FROM_PARTS]: ref } }, how);
      if (composed === "other generation") continue;
      const sizeBytes = sources.reduce((sum, source) => sum + source.sizeBytes, 0);
      if (sizeOf(composed) !== sizeBytes) {
        throw new OutriggerError(
          "STORED_CORRUPT",
          `${name} has ${composed.size} of the ${sizeBytes} bytes of its parts`,
        );
      }
      await this.#cleanUp(ref, how);
      return factsOf(composed);
    }
    throw new OutriggerError("BACKEND_DOWN", `others keep writing ${name}`);
  }

  async abandon(_name: string, ref: string, how: RequestHow): Promise<void> {
    const left: GcsObject[] = [];
    for await (const object of this.#under(this.#folder(ref), how.signal)) left.push(object);
    await eachAtOnce(DELETIONS_AT_ONCE, left, async ({ name, generation }) => {
      await this.#objects.delete(name, { forGood: generation }, how);
    });
  }

  async *begun(prefix: string, signal: AbortSignal): AsyncGenerator<{ name: string; ref: string; begunMs: number }> {
    let pageToken: string | undefined;
    do {
      const query = {
        prefix: this.#top,
        delimiter: "/",
        limit: 1000,
        ...(pageToken === undefined ? {} : { pageToken }),
      };
      const { prefixes, next } = await this.#objects.page(query, signal);
      for (const folder of prefixes) {
        const [first] = (await this.#objects.page({ prefix: folder, limit: 1 }, signal)).items;
        const name = first?.metadata?.[FOR_NAME];
        if (first === undefined || name === undefined || !name.startsWith(prefix)) continue;
        yield { name, ref: folder.slice(this.#top.length, -1), begunMs: Date.parse(first.timeCreated ?? "") || 0 };
      }
      pageToken = next;
    } while (pageToken !== undefined);
  }

  /** The parts as at most 32 sources, put together on the way where they are more. */
  async #gather(name: string, ref: string, parts: readonly PartFacts[], how: RequestHow): Promise<readonly Source[]> {
    const folder = this.#folder(ref);
    let sources = parts.map(
      ({ number, etag, sizeBytes }): Source => ({
        name: `${folder}p/${String(number).padStart(5, "0")}`,
        generation: etag,
        sizeBytes,
      }),
    );
    while (sources.length > MOST_SOURCES) {
      const groups: Source[][] = [];
      for (let start = 0; start < sources.length; start += MOST_SOURCES) {
        groups.push(sources.slice(start, start + MOST_SOURCES));
      }
      const level: Source[] = [];
      await eachAtOnce(AT_ONCE, groups.entries(), async ([index, group]) => {
        level[index] = group.length === 1 && group[0] ? group[0] : await this.#intermediate(name, folder, group, how);
      });
      sources = level;
    }
    return sources;
  }

  /** Its name says what is in it: whoever completes the upload after a crash finds it there, and it is never another's. */
  async #intermediate(name: string, folder: string, group: readonly Source[], how: RequestHow): Promise<Source> {
    const hash = createHash("sha256");
    for (const source of group) hash.update(`${source.name}#${source.generation}\n`);
    const object = `${folder}m/${hash.digest("hex").slice(0, 32)}`;
    const options = { generation: "0", metadata: { [FOR_NAME]: name }, repeatable: true };
    const composed = await this.#compose(object, group, options, how);
    const there = composed === "other generation" ? await this.#objects.head(object, how.signal) : composed;
    if (there === undefined)
      throw new OutriggerError("BACKEND_DOWN", `a part of ${name} was taken away by somebody else`);
    return { name: object, generation: there.generation, sizeBytes: sizeOf(there) };
  }

  /** @throws UPLOAD_NOT_FOUND where the sources are gone: an earlier attempt was done with them */
  async #compose(
    object: string,
    sources: readonly Source[],
    options: {
      readonly generation: string;
      readonly metadata: Readonly<Record<string, string>>;
      readonly repeatable?: boolean;
    },
    how: RequestHow,
  ): Promise<GcsObject | "other generation"> {
    const { client } = this.#objects;
    const body = {
      sourceObjects: sources.map(({ name, generation }) => ({ name, generation })),
      destination: { contentType: "application/octet-stream", metadata: options.metadata },
    };
    const answer = await client.json<GcsObject>(
      {
        method: "POST",
        path: `${client.objectPath(object)}/compose`,
        query: { ifGenerationMatch: options.generation, fields: OBJECT_FIELDS },
        headers: { "content-type": "application/json" },
        body: [Buffer.from(JSON.stringify(body))],
        repeatable: options.repeatable ?? false,
        expect: [404, 412],
      },
      how,
    );
    if (answer.ok) return answer.body;
    if (answer.problem.status === 412) return "other generation";
    this.#objects.assertBucket(answer.problem);
    throw new OutriggerError("UPLOAD_NOT_FOUND", "the upload's parts are gone");
  }

  /** After the object is there: what cannot be taken away now is left for expiry. */
  async #cleanUp(ref: string, how: RequestHow): Promise<void> {
    try {
      await this.abandon("", ref, { signal: how.signal, assertInTime: () => {} });
    } catch {
      // `begun` still tells of it.
    }
  }

  async *#under(folder: string, signal: AbortSignal): AsyncGenerator<GcsObject> {
    let pageToken: string | undefined;
    do {
      const query = { prefix: folder, limit: 1000, ...(pageToken === undefined ? {} : { pageToken }) };
      const { items, next } = await this.#objects.page(query, signal);
      yield* items;
      pageToken = next;
    } while (pageToken !== undefined);
  }

  #folder(ref: string): string {
    return `${this.#top}${ref}/`;
  }
}

function partOf(object: GcsObject, number: number): PartFacts {
  return { number, sizeBytes: sizeOf(object), etag: object.generation };
}
