/** Cloud Storage as what server/objects asks of an object store. An etag is an object's generation. */
import { OutriggerError } from "../../proto/errors.ts";
import type { Page, PageRequest } from "../../server/contract.ts";
import type {
  ObjectBytes,
  ObjectCondition,
  ObjectFacts,
  ObjectStore,
  RequestHow,
} from "../../server/objects/contract.ts";
import type { Credentials, SignedUrl } from "./credentials.ts";
import {
  DIGEST,
  factsOf,
  type GcsObject,
  generationOf,
  isGeneration,
  mismatch,
  notMet,
  OBJECT_FIELDS,
  type Objects,
  reading,
} from "./objects.ts";
import { GcsParts } from "./parts.ts";
import { type ReadRange, readObject } from "./read.ts";

/** How often a name that changes meanwhile is looked at again. */
const MOST_LOOKS = 5;
/** Pages of a listing that hold nothing new, one after the other. */
const MOST_EMPTY_PAGES = 20;
const MOST_PAGE_ITEMS = 1000;
const ASCII = /^[\x20-\x7e]*$/;

export interface StoreSettings {
  readonly objects: Objects;
  /** Of the names that are the driver's own: "!outrigger/", after the prefix that the operator chose. */
  readonly privateFolder: string;
  readonly credentials: Credentials;
  /** Whether signUrl is there. */
  readonly signing: boolean;
  readonly now: () => number;
  readonly close: () => void;
}

export class GcsStore implements ObjectStore {
  readonly place: string;
  readonly parts: GcsParts;
  readonly signUrl?: (name: string, ttlMs: number) => Promise<SignedUrl>;
  readonly #objects: Objects;
  readonly #private: string;
  readonly #close: () => void;

  constructor({ objects, privateFolder, credentials, signing, now, close }: StoreSettings) {
    const { bucket, endpoint } = objects.client.place;
    this.place = `bucket ${bucket} at ${endpoint}`;
    this.#objects = objects;
    this.#private = privateFolder;
    this.#close = close;
    this.parts = new GcsParts(objects, `${privateFolder}parts/`);
    if (signing) this.signUrl = (name, ttlMs) => credentials.sign(name, ttlMs, now());
  }

  async check(signal: AbortSignal): Promise<void> {
    const { client } = this.#objects;
    const query = { fields: "generation" };
    const path = client.objectPath(`${this.#private}store`);
    const answer = await client.json({ method: "GET", path, query, repeatable: true, expect: [404] }, reading(signal));
    if (answer.ok) return;
    this.#objects.assertBucket(answer.problem);
    // An emulator says the same of a bucket and of an object that are absent: a listing tells them apart.
    await this.#objects.page({ prefix: this.#private, limit: 1 }, signal);
  }

  async head(name: string, signal: AbortSignal): Promise<ObjectFacts | undefined> {
    const object = await this.#objects.head(name, signal);
    return object === undefined ? undefined : factsOf(object);
  }

  async read(name: string, range: ReadRange, signal: AbortSignal): Promise<ObjectBytes> {
    if (range.ifEtag !== undefined && !isGeneration(range.ifEtag)) {
      throw (await this.head(name, signal)) === undefined ? notFound(name) : mismatch(name);
    }
    return readObject(this.#objects, name, range, signal);
  }

  async put(
    name: string,
    data: Uint8Array,
    { condition, digest }: { readonly condition?: ObjectCondition; readonly digest?: string },
    how: RequestHow,
  ): Promise<ObjectFacts> {
    const generation = generationOf(condition, name);
    const options = { generation, metadata: metadataOf(digest), repeatable: false };
    const written = await this.#objects.insert(name, [data], options, how);
    if (written === undefined) throw notMet(name, condition);
    return factsOf(written);
  }

  async delete(name: string, condition: ObjectCondition | undefined, how: RequestHow): Promise<void> {
    if (condition !== undefined) {
      const ifGeneration = generationOf(condition, name);
      const outcome = await this.#objects.delete(name, ifGeneration === undefined ? {} : { ifGeneration }, how);
      if (outcome === "other") throw notMet(name, condition);
      return;
    }
    // Private names are never given to other contents, so that a deletion that arrives late takes nothing else away.
    if (name.startsWith(this.#private)) return void (await this.#objects.delete(name, {}, how));
    for (let look = 0; look < MOST_LOOKS; look++) {
      const there = await this.#objects.head(name, how.signal);
      if (there === undefined) return;
      if ((await this.#objects.delete(name, { ifGeneration: there.generation }, how)) === "gone") return;
    }
    throw new OutriggerError("BACKEND_DOWN", `others keep writing ${name}`);
  }

  async list({ prefix, startAfter, limit }: PageRequest, signal: AbortSignal): Promise<Page<ObjectFacts>> {
    const items: ObjectFacts[] = [];
    // Inclusive there, exclusive here; one more than wanted is asked for, for the one that it may begin with.
    const startOffset = startAfter === "" ? "" : startOf(startAfter);
    let last = startAfter;
    let pageToken: string | undefined;
    for (let page = 0; page < MOST_EMPTY_PAGES; page++) {
      const answer = await this.#objects.page(
        {
          prefix: prefix,
          limit: Math.min(limit + 1, MOST_PAGE_ITEMS),
          startOffset,
          ...(pageToken === undefined ? {} : { pageToken }),
        },
        signal,
      );
      for (const object of answer.items) {
        const facts = factsOf(object);
        // Nobody's key: and the order of bytes is not that of strings there.
        if (!ASCII.test(facts.name)) continue;
        // A page that comes twice is passed over.
        if (facts.name <= last) continue;
        if (items.length === limit) return { items, more: true };
        items.push(facts);
        last = facts.name;
      }
      pageToken = answer.next;
      if (pageToken === undefined || items.length > 0) return { items, more: pageToken !== undefined };
    }
    throw new OutriggerError("BACKEND_DOWN", `${this.place} lists ${MOST_EMPTY_PAGES} pages without anything new`);
  }

  async copy(
    source: Pick<ObjectFacts, "name" | "etag" | "sizeBytes">,
    destination: string,
    { condition, digest }: { readonly condition?: ObjectCondition; readonly digest?: string },
    how: RequestHow,
  ): Promise<ObjectFacts> {
    const generation = generationOf(condition, destination);
    if (condition !== undefined) {
      const there = await this.#objects.head(destination, how.signal);
      if ((there?.generation ?? "0") !== generation) throw notMet(destination, condition);
    }
    const { client } = this.#objects;
    const [from, to] = [source.name, destination].map((name) => client.objectPath(name));
    let rewriteToken: string | undefined;
    for (;;) {
      const answer = await client.json<{ done: boolean; rewriteToken?: string; resource?: GcsObject }>(
        {
          method: "POST",
          path: `${from}/rewriteTo${to?.slice("/storage/v1".length)}`,
          query: {
            sourceGeneration: source.etag,
            ifSourceGenerationMatch: source.etag,
            ifGenerationMatch: generation,
            rewriteToken,
            fields: `done,rewriteToken,resource(${OBJECT_FIELDS})`,
          },
          headers: { "content-type": "application/json" },
          body: [
            Buffer.from(
              JSON.stringify({ contentType: "application/octet-stream", metadata: metadataOf(digest, "copy") }),
            ),
          ],
          repeatable: false,
          expect: [404, 412],
        },
        how,
      );
      if (!answer.ok) {
        this.#objects.assertBucket(answer.problem);
        const there = await this.#objects.head(source.name, how.signal);
        if (there === undefined) throw notFound(source.name);
        throw there.generation === source.etag ? notMet(destination, condition) : mismatch(source.name);
      }
      if (answer.body.resource !== undefined && answer.body.done) return factsOf(answer.body.resource);
      rewriteToken = answer.body.rewriteToken;
      if (rewriteToken === undefined)
        throw new OutriggerError("BACKEND_DOWN", `${this.place} ended a copy without a word`);
    }
  }

  close(): Promise<void> {
    this.#close();
    return Promise.resolve();
  }
}

function metadataOf(digest: string | undefined, how?: "copy"): Readonly<Record<string, string>> {
  if (digest !== undefined) return { [DIGEST]: digest };
  // An object without any would get the source's.
  return how === "copy" ? { "outrigger-copied": "1" } : {};
}

/** A start position may hold characters that no name has and no query should: what lies before them is as good. */
function startOf(startAfter: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return startAfter.replace(/[\0-\x1f][\s\S]*$/, "");
}

function notFound(name: string): OutriggerError {
  return new OutriggerError("KEY_NOT_FOUND", `there is no ${name}`);
}
