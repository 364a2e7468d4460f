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

export function fakeStores(): FakeStores {
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
  const unused = new Proxy({}, { get: (_, name) => assertUnused(String(name)) });
  const stores: FakeStores = {
    blobs: unused as Stores["blobs"],
    meta: unused as Stores["meta"],
    state: [
      { kind: "blob", address: "unix:///secret/blob.sock", ready: true },
      { kind: "meta", address: "unix:///secret/meta.sock", ready: true },
    ],
    switched: [],
    refusals: new Map(),
    closed: false,
    accept: () => void events.emit("accept"),
    refuse: (error) => void events.emit("refuse", error),
    blobsById: () => undefined,
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
