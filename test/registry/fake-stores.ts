/** `Stores` without stores: what a registry's start, reload and health ask of them. */
import { EventEmitter } from "node:events";
import type { StoreHealth, Stores, StoreTarget } from "../../client/contract.ts";

export interface FakeStores extends Stores {
  /** Settles `ready()`. */
  accept(): void;
  refuse(error: Error): void;
  state: StoreHealth[];
  readonly switched: (readonly ["blob" | "meta" | "both", ...StoreTarget[]])[];
  /** Thrown by the next switch of this kind. */
  readonly refusals: Map<"blob" | "meta" | "both", Error>;
  closed: boolean;
}

export interface FakeIds {
  readonly blobs: string;
  readonly meta: string;
}

const IDS: FakeIds = {
  blobs: "11111111-1111-4111-8111-111111111111",
  meta: "22222222-2222-4222-8222-222222222222",
};

/** @param ids @param stored what the meta store holds @param idAt the id of blobs at another address; default: the same */
export function fakeStores(
  ids: FakeIds = IDS,
  stored: ReadonlyMap<string, string> = new Map(),
  idAt: (address: string) => string = () => ids.blobs,
): FakeStores {
  let blobsId = ids.blobs;
  const events = new EventEmitter();
  const ready = new Promise<void>((resolve, reject) => {
    events.once("accept", resolve);
    events.once("refuse", reject);
  });
  ready.catch(() => {});
  const refused = (kind: "blob" | "meta" | "both") => {
    const error = stores.refusals.get(kind);
    stores.refusals.delete(kind);
    if (error) throw error;
  };
  const only = (known: object) =>
    new Proxy(known, { get: (target, name) => Reflect.get(target, name) ?? assertUnused(String(name)) });
  const stores: FakeStores = {
    blobs: only({
      get facts() {
        return { id: blobsId };
      },
    }) as Stores["blobs"],
    // A start asks whether blobs are being moved.
    meta: only({
      facts: { id: ids.meta },
      get: async (keys: readonly string[]) =>
        keys.map((key) => {
          const value = stored.get(key);
          return value === undefined ? undefined : { key, value: Buffer.from(value), etag: "e" };
        }),
    }) as Stores["meta"],
    state: [
      { kind: "blob", address: "unix:///secret/blob.sock", ready: true },
      { kind: "meta", address: "unix:///secret/meta.sock", ready: true },
    ],
    switched: [],
    refusals: new Map(),
    closed: false,
    accept: () => void events.emit("accept"),
    refuse: (error) => void events.emit("refuse", error),
    beside: undefined,
    uploadStoreId: "",
    blobsById: () => undefined,
    endsHere: () => true,
    health: () => stores.state,
    ready: () => ready,
    async switchTo(kind, target) {
      refused(kind);
      stores.switched.push([kind, target]);
    },
    async switchBoth(blobs, meta) {
      refused("both");
      stores.switched.push(["both", blobs, meta]);
    },
    async exchange({ blobs, meta }, how) {
      const id = blobs === undefined ? blobsId : idAt(blobs.address);
      const next = { blobs: id, beside: undefined, meta: stores.meta };
      await how?.check?.(next);
      await how?.record?.(next);
      if (blobs && meta) await stores.switchBoth(blobs, meta);
      else if (blobs) await stores.switchTo("blob", blobs);
      else if (meta) await stores.switchTo("meta", meta);
      blobsId = id;
      how?.commit?.();
    },
    onChanged() {},
    async close() {
      stores.closed = true;
    },
  };
  return stores;
}

function assertUnused(name: string): never {
  throw new Error(`a fake store was asked for ${name}`);
}
