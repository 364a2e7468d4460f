/** Layer links whose bytes are absent (2.8's collector leaves such): dropped, so that no manifest can come to rely on them. */
import { beginTaking, endTaking } from "../repository/guard.ts";
import { blobKey, catalogKey, type Link, layerLink, refsKey, revisionLink } from "../repository/keys.ts";
import { untilNotRaced } from "../repository/races.ts";
import { chunked, type IndexRun } from "./differences.ts";

/** Of each: link, refs and a check of the revision, beside the guard. */
const AT_ONCE = 30;

export async function dropLayersWithoutBytes(run: IndexRun, links: readonly Link[]): Promise<void> {
  const byName = new Map<string, string[]>();
  for (const link of links) {
    if (link.kind !== "layer") continue;
    byName.set(link.name, [...(byName.get(link.name) ?? []), link.digest]);
  }
  for (const [name, digests] of byName) {
    for (const some of chunked(digests, AT_ONCE)) {
      const absent = run.repair ? await drop(run, name, some) : some;
      run.counts.withoutBytes += absent.length;
      // Named, since a manifest may still need them, which nothing here can help.
      const what = run.repair ? "its bytes were absent: dropped" : "its bytes are absent";
      for (const digest of absent) run.problem(layerLink(name, digest), what);
    }
  }
}

/**
 * Under the guard, and looked at again: a push may be bringing the bytes at this moment.
 * @returns whose links were dropped
 */
async function drop(run: IndexRun, name: string, digests: readonly string[]): Promise<readonly string[]> {
  const { ledger, stores } = run.core;
  const options = { signal: run.signal };
  return untilNotRaced(run.core, run.signal, async () => {
    const [guard] = await ledger.get([catalogKey(name)], options);
    const [taking = ""] = await ledger.write([beginTaking(name, guard)], options);
    const infos = await stores.blobs.stat(digests.map(blobKey), options);
    const absent = digests.filter((_, index) => infos[index] === undefined);
    const held = await run.get(
      absent.flatMap((digest) => [layerLink(name, digest), refsKey(digest, name), revisionLink(name, digest)]),
    );
    const operations = absent.flatMap((digest) => {
      const link = held.get(layerLink(name, digest));
      const refs = held.get(refsKey(digest, name));
      const revision = revisionLink(name, digest);
      if (link === undefined) return [];
      const dropped = [{ kind: "delete", key: link.key, condition: { ifEtag: link.etag } } as const];
      if (refs === undefined || held.get(revision) !== undefined) return dropped;
      return [
        ...dropped,
        { kind: "delete", key: refs.key, condition: { ifEtag: refs.etag } } as const,
        { kind: "check", key: revision, condition: { ifAbsent: true } } as const,
      ];
    });
    await ledger.write([...operations, endTaking(name, taking, false)], options);
    return absent.filter((digest) => held.get(layerLink(name, digest)) !== undefined);
  });
}
