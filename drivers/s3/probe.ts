/** Whether the server compares and sets: some take the headers and ignore them, and two drivers would lose each other's work. */
import { randomBytes } from "node:crypto";
import { hasReason } from "../../proto/errors.ts";
import type { ObjectStore, RequestHow } from "../../server/objects/contract.ts";
import { PRIVATE } from "../../server/objects/names.ts";
import type { Abilities } from "./store.ts";

export type Found = Abilities & {
  /** What it does not compare that replicas rely on. */
  readonly missing: readonly string[];
};

/** @param store one that believes the server in everything */
export async function probe(store: ObjectStore, signal: AbortSignal): Promise<Found> {
  const name = `${PRIVATE}probe-${randomBytes(8).toString("hex")}`;
  const how: RequestHow = { signal, assertInTime() {} };
  const wrong = { condition: { ifEtag: "00000000000000000000000000000000" } };
  const absent = { condition: { ifAbsent: true as const } };
  const missing: string[] = [];
  try {
    const there = await store.put(name, Buffer.from("1"), absent, how);
    if (!(await refused(store.put(name, Buffer.from("2"), absent, how)))) missing.push("PutObject with If-None-Match");
    if (!(await refused(store.put(name, Buffer.from("3"), wrong, how)))) missing.push("PutObject with If-Match");
    if (!(await refused(completed(store, name, absent, how))))
      missing.push("CompleteMultipartUpload with If-None-Match");
    const now = (await store.head(name, signal)) ?? there;
    const copyCompares = await refused(store.copy(now, name, absent, how));
    const deleteCompares = await refused(store.delete(name, wrong.condition, how));
    return { copyCompares, deleteCompares, missing };
  } finally {
    await store.delete(name, undefined, { ...how, signal: AbortSignal.timeout(10_000) }).catch(() => {});
  }
}

async function completed(
  store: ObjectStore,
  name: string,
  options: { condition: { ifAbsent: true } },
  how: RequestHow,
) {
  const ref = await store.parts.begin(name, how);
  try {
    const part = await store.parts.put(name, ref, 1, [Buffer.from("4")], how);
    return await store.parts.complete(name, ref, [part], options, how);
  } finally {
    await store.parts.abandon(name, ref, how).catch(() => {});
  }
}

/** @throws what is no answer to a condition, but for a server that does not know the header */
async function refused(request: Promise<unknown>): Promise<boolean> {
  try {
    await request;
    return false;
  } catch (error) {
    if (hasReason(error, "KEY_EXISTS", "ETAG_MISMATCH")) return true;
    if (
      hasReason(error, "BACKEND_DOWN") &&
      /does not know|InvalidArgument|NotImplemented/.test((error as Error).message)
    ) {
      return false;
    }
    throw error;
  }
}
