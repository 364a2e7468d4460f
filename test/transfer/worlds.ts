/** Two pairs of stores in memory, a registry's core on the first, and what a copy of one to the other must keep true. */
import { FakeBackend, type FakeHooks } from "../helpers/fake-stores.ts";

/** A backend with ids of its own. */
export function backendOf(number: number): FakeBackend {
  const backend = new FakeBackend();
  const id = (kind: number) => `${String(number).repeat(8)}-0000-4000-8000-00000000000${kind}`;
  backend.blobFacts = { ...backend.blobFacts, id: id(1) };
  backend.metaFacts = { ...backend.metaFacts, id: id(2) };
  return backend;
}

/** Facts alone: what a copy is to bring. */
export function factsOf(backend: FakeBackend): Map<string, string> {
  return backend.metaText("docker/");
}

export function blobsOf(backend: FakeBackend): Map<string, string> {
  return new Map([...backend.blobs.entries()].map(([key, { bytes }]) => [key, bytes.toString("latin1")]));
}

export function connected(backend: FakeBackend, hooks: FakeHooks = {}) {
  return backend.connect(hooks);
}
