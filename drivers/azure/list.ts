/**
 * Listings from any name on. The service begins at a name that it is given (`startFrom`, service version 2026-02-06) unless
 * it is an older one, or an emulator: that is tried once. Otherwise pages are gone through from the last place known to lie
 * before that name.
 */
import type { BlobItem, ContainerClient } from "@azure/storage-blob";
import { OutriggerError } from "../../proto/errors.ts";
import type { Page, PageRequest } from "../../server/contract.ts";
import type { ObjectFacts } from "../../server/objects/contract.ts";
import { factsOf, isWhole, type Meet } from "./facts.ts";
import type { Requests } from "./requests.ts";

const PAGE_MOST = 5000;
/** How many places are remembered; a listing of 1000 names a page uses one a page. */
const PLACES_MOST = 1024;
/** How often a page may come twice. */
const AGAIN_MOST = 3;
/** "~" is in no key, and above all that are. */
const ABOVE = "~";
/** What names are made of, and how long they are at the most; the service takes no other prefix, and no other start. */
const NAMEABLE = /^[\x21-\x7e]{0,1024}$/;

interface Ask {
  readonly prefix: string;
  readonly startFrom?: string | undefined;
  readonly marker?: string | undefined;
  readonly limit: number;
}

/** A page that began there, when it was asked for with this marker: whatever is written later, no name before it is behind it. */
interface Place {
  readonly prefix: string;
  readonly firstName: string;
  readonly marker: string;
}

export class Listings {
  readonly #container: ContainerClient;
  readonly #requests: Requests;
  /** Whether the service begins where it is told to; unknown until it is tried. */
  #startsFrom: boolean | undefined;
  /** The oldest first. */
  #places: Place[] = [];

  readonly #meet: Meet;

  constructor(container: ContainerClient, requests: Requests, meet: Meet) {
    this.#container = container;
    this.#requests = requests;
    this.#meet = meet;
  }

  async list(request: PageRequest, signal: AbortSignal): Promise<Page<ObjectFacts>> {
    const { prefix, startAfter, limit } = request;
    const items: ObjectFacts[] = [];
    if (!NAMEABLE.test(prefix)) return { items, more: false };
    if (startAfter > prefix && !startAfter.startsWith(prefix)) {
      // Everything with this prefix lies before.
      return { items, more: false };
    }
    const behind = startAfter > prefix || (startAfter === prefix && prefix !== "");
    const startFrom = behind && (await this.#canStart(prefix, signal)) ? nameableStart(startAfter) : undefined;
    let marker = behind && startFrom === undefined ? this.#markerBefore(prefix, startAfter) : undefined;
    let last = startAfter;
    let again = 0;
    for (;;) {
      // One more than is given: what is left over tells that there is more. The first one may be startAfter itself.
      const wanted = Math.min(PAGE_MOST, limit - items.length + 2);
      const page = await this.#page({ prefix, startFrom, marker, limit: wanted }, signal).catch((error: unknown) => {
        // A marker of long ago may mean nothing any more: the next attempt does without.
        this.#places = this.#places.filter((place) => place.marker !== marker);
        throw error;
      });
      const [first] = page.blobs;
      if (marker !== undefined && first !== undefined && startFrom === undefined) {
        this.#remember({ prefix, firstName: first.name, marker });
      }
      assertAscending(page.blobs, this.#requests.asked.place);
      for (const blob of page.blobs) {
        // Not above the last: the page came twice, or it begins before where it should.
        if (blob.name <= last) continue;
        last = blob.name;
        if (!isBlob(blob)) continue;
        if (items.length === limit) return { items, more: true };
        this.#meet(blob.name, blob.properties.blobType);
        items.push(told(blob));
      }
      if (page.next === undefined) return { items, more: false };
      if (page.next === marker && ++again === AGAIN_MOST) {
        throw new OutriggerError("BACKEND_DOWN", `${this.#requests.asked.place} lists one page again and again`);
      }
      marker = page.next;
    }
  }

  /** Names with blocks that wait to be put together; those of whole blobs as well. */
  async *waiting(prefix: string, signal: AbortSignal): AsyncIterable<string> {
    let last = "";
    let marker: string | undefined;
    do {
      const page = await this.#page({ prefix, marker, limit: PAGE_MOST }, signal, true);
      for (const { name, properties } of page.blobs) {
        if (name > last && (properties.contentLength ?? 0) === 0) yield name;
        if (name > last) last = name;
      }
      if (page.next !== undefined && page.next === marker) return;
      marker = page.next;
    } while (marker !== undefined);
  }

  async #page({ prefix, startFrom, marker, limit }: Ask, signal: AbortSignal, uncommitted = false) {
    const pages = async (abortSignal: AbortSignal) => {
      const options = {
        abortSignal,
        ...(prefix === "" ? {} : { prefix }),
        includeMetadata: true,
        includeCopy: true,
        ...(uncommitted ? { includeUncommitedBlobs: true } : {}),
        ...(startFrom === undefined ? {} : { startFrom }),
      };
      const settings = { maxPageSize: limit, ...(marker === undefined ? {} : { continuationToken: marker }) };
      return this.#container.listBlobsFlat(options).byPage(settings).next();
    };
    const { value } = await this.#requests.harmless({ signal }, pages);
    const next: string | undefined = value?.continuationToken;
    return {
      blobs: (value?.segment.blobItems ?? []) as readonly BlobItem[],
      next: next === undefined || next === "" ? undefined : next,
    };
  }

  /** A service that does not know the parameter ignores it: then it lists what lies before. */
  async #canStart(prefix: string, signal: AbortSignal): Promise<boolean> {
    if (this.#startsFrom !== undefined) return this.#startsFrom;
    const [any] = (await this.#page({ prefix, limit: 1 }, signal)).blobs;
    // Nothing is there to try it with.
    if (any === undefined) return false;
    const { name } = any;
    // That it is the whole name that counts, and not what follows the prefix, is seen under a short prefix as well.
    const under = name.slice(0, 1);
    const above = await this.#page({ prefix: under, startFrom: under + ABOVE + ABOVE, limit: 1 }, signal);
    if (above.blobs.length > 0) {
      this.#startsFrom = false;
      return false;
    }
    const at = await this.#page({ prefix: under, startFrom: name, limit: 1 }, signal);
    // Another name: somebody took this one away meanwhile, and the next listing tries again.
    if (at.blobs[0]?.name !== name) return false;
    this.#startsFrom = true;
    return true;
  }

  #markerBefore(prefix: string, startAfter: string): string | undefined {
    let best: Place | undefined;
    for (const place of this.#places) {
      if (place.prefix !== prefix || place.firstName > startAfter) continue;
      if (best === undefined || place.firstName > best.firstName) best = place;
    }
    return best?.marker;
  }

  #remember(place: Place): void {
    this.#places = this.#places.filter((one) => one.prefix !== place.prefix || one.firstName !== place.firstName);
    this.#places.push(place);
    if (this.#places.length > PLACES_MOST) this.#places.shift();
  }
}

/** The part of it that can begin a name: that lies before it, and no name in between is missed. */
function nameableStart(startAfter: string): string {
  return /^[\x21-\x7e]{0,1024}/.exec(startAfter)?.[0] ?? "";
}

/** Passing over what is not above the last name is right only where the names of one answer are in order. */
function assertAscending(blobs: readonly BlobItem[], place: string): void {
  let last = "";
  for (const { name } of blobs) {
    if (name <= last) {
      throw new OutriggerError(
        "BACKEND_DOWN",
        `${place} lists ${name} after ${last}: its names are not in bytewise order`,
      );
    }
    last = name;
  }
}

/** Whole, and no folder of an account with a hierarchical namespace. */
function isBlob({ properties, metadata }: BlobItem): boolean {
  return isWhole(properties.copyStatus) && metadata?.["hdi_isfolder"] !== "true";
}

function told(blob: BlobItem): ObjectFacts {
  return factsOf(blob.name, blob.properties.contentLength ?? 0, { ...blob.properties, metadata: blob.metadata });
}
