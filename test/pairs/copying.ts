/** Pairs of stores as `outrigger copy` is told of them, and what is looked at while one is copied. */
import { setTimeout as sleep } from "node:timers/promises";
import { digestOf } from "../helpers/oci.ts";
import { launchOutrigger } from "../helpers/outrigger.ts";
import type { Running, Scope } from "../helpers/processes.ts";
import type { RegistryClient } from "../helpers/registry-client.ts";
import { type StoreName, type StoreProcess, storeKinds } from "./stores.ts";

export interface Pair {
  readonly blobs: StoreProcess;
  readonly meta: StoreProcess;
}

export async function startStores(scope: Scope, blobs: StoreName, meta: StoreName): Promise<Pair> {
  return { blobs: await storeKinds[blobs].start(scope), meta: await storeKinds[meta].start(scope) };
}

/** `<from> <to> --from-meta … --to-meta …` */
export function sides(from: Pair, to: Pair): string[] {
  const metas = ["--from-meta", from.meta.address, "--to-meta", to.meta.address];
  return [from.blobs.address, to.blobs.address, ...metas];
}

export function stores({ blobs, meta }: Pair): string[] {
  return ["--blobs", blobs.address, "--meta", meta.address];
}

/** A command that is not waited for. */
export function begin(scope: Scope, args: readonly string[]): Running {
  return scope.add(launchOutrigger(args[0] ?? "", args));
}

export interface Watch {
  /** Tags that were pulled wholly. */
  readonly pulled: number;
  /** @throws Error of the first tag that could be seen and not be pulled */
  end(): Promise<void>;
}

/** Pulls every tag that can be seen, again and again: each must be whole. */
export function watchTags(client: RegistryClient): Watch {
  let stopping = false;
  let pulled = 0;
  const tagged = async (name: string, tag: string) => {
    const reply = await client.expect([200, 404], "GET", `/v2/${name}/manifests/${tag}`, {
      headers: { accept: "*/*" },
    });
    return reply.status === 404 ? undefined : reply.body;
  };
  const look = async (name: string, tag: string) => {
    const manifest = await tagged(name, tag);
    if (manifest === undefined) return;
    try {
      await pullAll(client, name, manifest);
      pulled += 1;
    } catch (error) {
      // Deleted or moved since it was seen: then so were its blobs.
      const now = await tagged(name, tag);
      if (now?.equals(manifest)) throw new Error(`${name}:${tag} can be seen and not be pulled`, { cause: error });
    }
  };
  const work = (async () => {
    while (!stopping) {
      for (const name of await client.catalog()) {
        const listed = await client.expect([200, 404], "GET", `/v2/${name}/tags/list`);
        const tags: string[] = listed.status === 404 ? [] : (JSON.parse(listed.body.toString()).tags ?? []);
        for (const tag of tags) if (!stopping) await look(name, tag);
      }
      await sleep(100);
    }
  })();
  work.catch(() => undefined);
  return {
    get pulled() {
      return pulled;
    },
    end() {
      stopping = true;
      return work;
    },
  };
}

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

/** Config and layers, or an index's manifests and all of theirs. */
async function pullAll(client: RegistryClient, name: string, bytes: Buffer): Promise<void> {
  const {
    config,
    layers = [],
    manifests = [],
  } = JSON.parse(bytes.toString()) as {
    readonly config?: Descriptor;
    readonly layers?: readonly Descriptor[];
    readonly manifests?: readonly Descriptor[];
  };
  for (const { digest, size } of [...(config === undefined ? [] : [config]), ...layers])
    await client.pullBlob(name, { digest, sizeBytes: size });
  for (const { digest } of manifests) {
    const child = await client.getManifest(name, digest);
    if (digestOf(child.bytes) !== digest) throw new Error(`${digest} has other bytes`);
    await pullAll(client, name, child.bytes);
  }
}
