/** A blob driver over the fake object store, with time that passes as soon as somebody waits for it. */
import assert from "node:assert/strict";
import type { Clock } from "../../../proto/clock.ts";
import { hasReason } from "../../../proto/errors.ts";
import { backgroundContext } from "../../../server/calls.ts";
import type { BlobDriver, CallContext, Upload } from "../../../server/contract.ts";
import {
  createObjectBlobDriver,
  type ObjectBlobDriver,
  type ObjectBlobSettings,
} from "../../../server/objects/driver.ts";
import { BYTES, UPLOADS } from "../../../server/objects/names.ts";
import { FakeBackend, type FakeOptions, type FakeStore, fakeObjects } from "../../helpers/fake-objects.ts";
import { bytes, sha256, silent } from "../kit.ts";

export const call: CallContext = backgroundContext(silent);
export const PART = 100;

export class EagerClock implements Clock {
  #ms = 1_700_000_000_000;

  now(): number {
    return this.#ms;
  }

  monotonic(): number {
    return this.#ms;
  }

  after(ms: number, run: () => void): () => void {
    // What comes seldom is called by the tests themselves.
    if (ms > 60_000) return () => {};
    const timer = setImmediate(() => {
      this.#ms += ms;
      run();
    });
    return () => clearImmediate(timer);
  }

  pass(ms: number): void {
    this.#ms += ms;
  }
}

export interface Replica {
  readonly store: FakeStore;
  readonly driver: ObjectBlobDriver;
}

export class ObjectsRig {
  readonly clock = new EagerClock();
  readonly backend = new FakeBackend(this.clock);
  readonly #options: FakeOptions;
  readonly #settings: Partial<ObjectBlobSettings>;

  constructor(options: FakeOptions = {}, settings: Partial<ObjectBlobSettings> = {}) {
    this.#options = options;
    this.#settings = settings;
  }

  replica(options: FakeOptions = {}, settings: Partial<ObjectBlobSettings> = {}): Replica {
    const store = fakeObjects(this.backend, { ...this.#options, ...options });
    const driver = createObjectBlobDriver(store, {
      storeId: "00000000-0000-4000-8000-000000000000",
      capabilities: ["DURABLE", "REPLICAS"],
      uploadMemoryBytes: 100 * PART,
      uploadTtlMs: 24 * 60 * 60 * 1000,
      readOnly: false,
      clock: this.clock,
      log: silent,
      partBytes: PART,
      persistStepBytes: 6 * PART,
      // Never, with this clock: its requests would be others each time.
      fenceLookMs: 100_000,
      ...this.#settings,
      ...settings,
    });
    return { store, driver };
  }

  content(key: string): Buffer | undefined {
    return this.backend.objects.get(key)?.data;
  }

  /** What uploads have left. */
  left(): string[] {
    return [
      ...this.backend.names(UPLOADS),
      ...this.backend.names(BYTES),
      ...[...this.backend.assemblies.values()].map(({ name }) => `parts of ${name}`),
    ];
  }
}

export async function writeAll(upload: Upload, data: Buffer, step = 37): Promise<void> {
  for (let at = 0; at < data.length; at += step) await upload.write(data.subarray(at, at + step));
}

/** As a core does: the digest first. */
export async function commit(
  upload: Upload,
  key: string,
  data: Buffer,
  condition?: Parameters<Upload["commit"]>[0]["condition"],
  context = call,
) {
  const digest = await upload.digest?.("sha256", context);
  assert.equal(digest, sha256(data));
  return upload.commit({ key, digest, keep: false, ...(condition === undefined ? {} : { condition }) }, context);
}

/** Goes on with an upload until its bytes are under the key, as a core does after it has lost its driver. */
export async function goOn(
  driver: BlobDriver,
  uploadId: string,
  key: string,
  data: Buffer,
  before: { readonly toldBytes: number; readonly commitSent: boolean },
): Promise<void> {
  let upload: Upload;
  try {
    upload = await driver.open(uploadId, { create: before.toldBytes === 0 && !before.commitSent, key }, call);
  } catch (error) {
    assert.ok(hasReason(error, "UPLOAD_NOT_FOUND"), String(error));
    assert.ok(before.commitSent, "an upload that was never committed is unknown");
    const [there] = await driver.stat([key], call);
    if (there !== undefined) return assert.equal(there.sizeBytes, data.length);
    // The state was made by nobody: nothing was ever acknowledged.
    assert.equal(before.toldBytes, 0, "bytes that were acknowledged are lost");
    upload = await driver.open(uploadId, { create: true, key }, call);
  }
  assert.ok(upload.persistedBytes >= before.toldBytes, `${upload.persistedBytes} of ${before.toldBytes} bytes told`);
  await writeAll(upload, data.subarray(upload.persistedBytes));
  await commit(upload, key, data);
}

export { bytes };
