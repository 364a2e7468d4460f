/** An object store in memory that any number of replicas share, and that fails single requests as real ones do. */
import { createHash } from "node:crypto";
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import type {
  ObjectCondition,
  ObjectFacts,
  ObjectStore,
  PartFacts,
  RequestHow,
} from "../../server/objects/contract.ts";
import { PRIVATE } from "../../server/objects/names.ts";

/** One request as it reaches the backend. */
export interface FakeRequest {
  /** Of this handle, from 1. */
  readonly index: number;
  readonly operation: string;
  readonly name: string;
}

/**
 * `lost`: it takes place, and its answer never comes; `cut`: it does not; an error is the answer, and it does not. A
 * promise holds it up before it takes place.
 */
export type FakeFault =
  | "pass"
  | "lost"
  | "cut"
  | OutriggerError
  | { readonly answerAfter: OutriggerError }
  | Promise<void>;

interface Stored {
  readonly data: Buffer;
  readonly etag: string;
  readonly modifiedMs: number;
  readonly digests: readonly string[];
}

interface Assembly {
  readonly name: string;
  readonly begunMs: number;
  readonly parts: Map<number, Buffer>;
  /** It is put together, and its parts were not taken away yet. */
  done?: boolean;
}

export class FakeBackend {
  readonly objects = new Map<string, Stored>();
  readonly assemblies = new Map<string, Assembly>();
  readonly clock: Clock;
  #count = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  next(): string {
    return `${++this.#count}`;
  }

  /** Names under a prefix, in order. */
  names(prefix = ""): string[] {
    return [...this.objects.keys()].filter((name) => name.startsWith(prefix)).sort();
  }
}

export interface FakeOptions {
  /** Default true. */
  readonly direct?: boolean;
  readonly leastPartBytes?: number;
  readonly mostParts?: number;
  /** Objects tell their digests. Default true. */
  readonly digests?: boolean;
  /** As where parts are objects: they are taken away by a request of its own, once they are put together. Default false. */
  readonly partsStay?: boolean;
  readonly fault?: (request: FakeRequest) => FakeFault;
}

export interface FakeStore extends ObjectStore {
  /** Every request that came, in order. */
  readonly seen: FakeRequest[];
  /** The process ends: no request of it has an effect any more, and none is answered. */
  kill(): void;
}

export function fakeObjects(backend: FakeBackend, options: FakeOptions = {}): FakeStore {
  const {
    direct = true,
    leastPartBytes = 1,
    mostParts = 10_000,
    digests = true,
    partsStay = false,
    fault = () => "pass",
  } = options;
  const { objects, assemblies } = backend;
  const seen: FakeRequest[] = [];
  let dead = false;

  async function request<Value>(operation: string, name: string, work: () => Value): Promise<Value> {
    if (dead) return new Promise<Value>(() => {});
    const one = { index: seen.length + 1, operation, name };
    seen.push(one);
    const what = fault(one);
    await (what instanceof Promise ? what : new Promise((resolve) => setImmediate(resolve)));
    if (what instanceof OutriggerError) throw what;
    if (dead && what !== "lost") return new Promise<Value>(() => {});
    if (what === "cut") throw down(operation);
    const value = work();
    await Promise.resolve();
    if (dead) return new Promise<Value>(() => {});
    if (what === "lost") throw down(operation);
    if (typeof what === "object" && "answerAfter" in what) throw what.answerAfter;
    return value;
  }

  const changing = <Value>(operation: string, name: string, how: RequestHow, work: () => Value) => {
    how.assertInTime();
    return unlessAborted(how.signal, request(operation, name, work));
  };

  const factsOf = (name: string, stored: Stored): ObjectFacts => ({
    name,
    sizeBytes: stored.data.length,
    etag: stored.etag,
    modifiedMs: stored.modifiedMs,
    digests: stored.digests,
  });

  function store(name: string, data: Buffer, condition: ObjectCondition | undefined, digest: string | undefined) {
    assertCondition(name, objects.get(name), condition);
    const known = digests && digest !== undefined ? [digest] : [];
    const stored = { data, etag: `e${backend.next()}`, modifiedMs: backend.clock.now(), digests: known };
    objects.set(name, stored);
    return factsOf(name, stored);
  }

  function assembly(name: string, ref: string): Assembly {
    const found = assemblies.get(ref);
    if (found?.name !== name) throw new OutriggerError("UPLOAD_NOT_FOUND", `there is no assembly ${ref} of ${name}`);
    return found;
  }

  /** As Azure does under a private name: every block that waits there goes, whoever put it. */
  function drop(name: string, ref: string): void {
    for (const [other, one] of assemblies) {
      if (other === ref || (one.name === name && name.startsWith(PRIVATE))) assemblies.delete(other);
    }
  }

  return {
    seen,
    place: "a fake",
    kill() {
      dead = true;
    },
    async check() {},
    head: (name) =>
      request("head", name, () => {
        const stored = objects.get(name);
        return stored && factsOf(name, stored);
      }),
    read: (name, { offsetBytes, limitBytes, ifEtag }) =>
      request("read", name, () => {
        const stored = objects.get(name);
        if (stored === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no ${name}`);
        if (ifEtag !== undefined && ifEtag !== stored.etag) throw new OutriggerError("ETAG_MISMATCH", name);
        const { length } = stored.data;
        if (offsetBytes > length) throw new OutriggerError("OFFSET_MISMATCH", name);
        const end = Math.min(length, offsetBytes + (limitBytes ?? Number.POSITIVE_INFINITY));
        return {
          facts: factsOf(name, stored),
          startBytes: offsetBytes,
          lengthBytes: end - offsetBytes,
          body: slices(stored.data.subarray(offsetBytes, end)),
          async cancel() {},
        };
      }),
    put: (name, data, { condition, digest }, how) =>
      changing("put", name, how, () => store(name, Buffer.from(data), condition, digest)),
    delete: (name, condition, how) =>
      changing("delete", name, how, () => {
        if (condition !== undefined) assertCondition(name, objects.get(name), condition);
        objects.delete(name);
      }),
    list: ({ prefix, startAfter, limit }) =>
      request("list", prefix, () => {
        const names = backend.names(prefix).filter((name) => name > startAfter);
        const items = names.slice(0, limit).flatMap((name) => {
          const stored = objects.get(name);
          return stored === undefined ? [] : [factsOf(name, stored)];
        });
        return { items, more: names.length > limit };
      }),
    copy: (source, destination, { condition, digest }, how) =>
      changing("copy", destination, how, () => {
        const stored = objects.get(source.name);
        if (stored === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no ${source.name}`);
        if (stored.etag !== source.etag) throw new OutriggerError("ETAG_MISMATCH", source.name);
        return store(destination, stored.data, condition, digest);
      }),
    parts: {
      limits: { leastPartBytes, mostParts },
      direct,
      begin: (name, how) =>
        changing("begin", name, how, () => {
          const ref = `a${backend.next()}`;
          assemblies.set(ref, { name, begunMs: backend.clock.now(), parts: new Map() });
          return ref;
        }),
      put: (name, ref, number, data, how) =>
        changing("part", name, how, () => {
          const bytes = Buffer.concat(data);
          assembly(name, ref).parts.set(number, bytes);
          return partOf(number, bytes);
        }),
      list: (name, ref) =>
        request("parts", name, () =>
          [...((assemblies.get(ref)?.done ? undefined : assemblies.get(ref)?.parts) ?? [])]
            .sort(([a], [b]) => a - b)
            .map(([number, bytes]) => partOf(number, bytes)),
        ),
      complete: (name, ref, parts, { condition }, how) =>
        changing("complete", name, how, () => {
          const found = assembly(name, ref);
          const { parts: there } = found;
          if (found.done) {
            drop(name, ref);
            throw new OutriggerError("UPLOAD_NOT_FOUND", `${name} was completed before`);
          }
          assertCondition(name, objects.get(name), condition);
          const data = parts.map((part, index) => {
            const bytes = there.get(part.number);
            if (bytes === undefined || partOf(part.number, bytes).etag !== part.etag) {
              throw new Error(`part ${part.number} is not what was put`);
            }
            if (index < parts.length - 1 && bytes.length < leastPartBytes) throw new Error("a part is too small");
            if (index < parts.length - 1 && bytes.length !== there.get(parts[0]?.number ?? 0)?.length) {
              throw new Error("parts have two sizes");
            }
            return bytes;
          });
          if (partsStay) found.done = true;
          else drop(name, ref);
          return store(name, Buffer.concat(data), condition, undefined);
        }).then(async (facts) => {
          if (partsStay) await changing("clean", name, how, () => drop(name, ref));
          return facts;
        }),
      abandon: (name, ref, how) =>
        changing("abandon", name, how, () => {
          if (assemblies.get(ref)?.name === name) drop(name, ref);
        }),
      async *begun(prefix) {
        const all = await request("begun", prefix, () => [...assemblies]);
        for (const [ref, { name, begunMs }] of all) if (name.startsWith(prefix)) yield { name, ref, begunMs };
      },
    },
    async close() {},
  };
}

/** Who sent it does not wait for the answer any more; it goes on. */
function unlessAborted<Value>(signal: AbortSignal, work: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const leave = () => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}

function partOf(number: number, bytes: Buffer): PartFacts {
  return { number, sizeBytes: bytes.length, etag: createHash("md5").update(bytes).digest("hex") };
}

function assertCondition(name: string, stored: Stored | undefined, condition: ObjectCondition | undefined): void {
  if (condition === undefined) return;
  if ("ifAbsent" in condition) {
    if (stored !== undefined) throw new OutriggerError("KEY_EXISTS", `${name} exists already`);
  } else if (stored?.etag !== condition.ifEtag) {
    throw new OutriggerError("ETAG_MISMATCH", `${name} has another etag, or is absent`);
  }
}

async function* slices(data: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += 1024 * 1024) yield data.subarray(at, at + 1024 * 1024);
}

function down(operation: string): OutriggerError {
  return new OutriggerError("BACKEND_DOWN", `the answer to ${operation} never came`);
}
