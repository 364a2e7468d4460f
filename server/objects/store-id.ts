/** The id that makes a bucket a store: written once by --init, adopted by data that has none, never made up otherwise. */
import { randomUUID } from "node:crypto";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { isKey } from "../../proto/keys.ts";
import type { ObjectStore, RequestHow } from "./contract.ts";
import { AFTER_PRIVATE, STORE } from "./names.ts";
import { readWhole } from "./whole.ts";

const LAYOUT = 1;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** A store object is some 60 bytes: what is larger is none. */
const MOST_BYTES = 4096;
/** How many names of others are looked through for one that is a key. */
const LOOK_PAGES = 10;

/** --init: writes the id where there is none. @returns the store's id */
export async function initialiseStore(store: ObjectStore, signal: AbortSignal): Promise<string> {
  return (await readId(store, signal)) ?? writeId(store, signal);
}

/** @throws NOT_INITIALISED on an empty bucket, STORED_CORRUPT, or a sentence where --read-only may not write an id */
export async function openStoreId(
  store: ObjectStore,
  options: { readonly readOnly: boolean; readonly signal: AbortSignal; readonly onAdopted?: (id: string) => void },
): Promise<string> {
  const { readOnly, signal } = options;
  const known = await readId(store, signal);
  if (known !== undefined) return known;
  if (!(await hasKeys(store, signal))) {
    throw new OutriggerError(
      "NOT_INITIALISED",
      `${store.place} is empty, or another one than was meant: run the driver once with --init`,
    );
  }
  if (readOnly) {
    throw new OutriggerError(
      "NOT_INITIALISED",
      `${store.place} has data but no store id, and --read-only may not write one: run the driver once with --init`,
    );
  }
  const id = await writeId(store, signal);
  options.onAdopted?.(id);
  return id;
}

async function hasKeys(store: ObjectStore, signal: AbortSignal): Promise<boolean> {
  let startAfter = AFTER_PRIVATE;
  for (let page = 0; page < LOOK_PAGES; page++) {
    const { items, more } = await store.list({ prefix: "", startAfter, limit: 1000 }, signal);
    if (items.some(({ name }) => isKey(name))) return true;
    const last = items.at(-1);
    if (!more || last === undefined) return false;
    startAfter = last.name;
  }
  return false;
}

async function readId(store: ObjectStore, signal: AbortSignal): Promise<string | undefined> {
  const stored = await readWhole(store, STORE, signal, MOST_BYTES);
  if (stored === undefined) return undefined;
  let told: { readonly layout?: unknown; readonly id?: unknown };
  try {
    told = JSON.parse(stored.data.toString("utf8"));
  } catch (error) {
    throw damaged(store, error);
  }
  const { layout, id } = told;
  if (typeof layout === "number" && layout !== LAYOUT) {
    throw new OutriggerError(
      "STORED_CORRUPT",
      `${store.place} has layout ${layout}, and this driver knows ${LAYOUT}: use a newer driver`,
    );
  }
  if (layout !== LAYOUT || typeof id !== "string" || !UUID.test(id)) throw damaged(store, undefined);
  return id;
}

async function writeId(store: ObjectStore, signal: AbortSignal): Promise<string> {
  const id = randomUUID();
  const how: RequestHow = { signal, assertInTime() {} };
  const data = Buffer.from(JSON.stringify({ layout: LAYOUT, id }));
  try {
    await store.put(STORE, data, { condition: { ifAbsent: true } }, how);
  } catch (error) {
    if (!hasReason(error, "KEY_EXISTS", "BACKEND_DOWN", "THROTTLED")) throw error;
    // Another process was first, or the answer was lost: what is there now is the store's id.
    const there = await readId(store, signal);
    if (there === undefined) throw error;
    return there;
  }
  return id;
}

function damaged(store: ObjectStore, cause: unknown): OutriggerError {
  return new OutriggerError("STORED_CORRUPT", `${STORE} in ${store.place} is damaged: restore it from a copy`, {
    cause,
  });
}
