/** What one run of one test is given, and what is taken away after it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DescribeResponse } from "../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import type { Limits } from "../proto/gen/outrigger/handshake/v1/Limits.ts";
import type { Store } from "../proto/gen/outrigger/handshake/v1/Store.ts";
import { callsOn } from "./calls.ts";
import type { Calls, Context, Control, Peer, StoreKind, Timers } from "./contract.ts";
import { StartedDriver } from "./control.ts";
import { NotRun } from "./faults.ts";
import type { Observations } from "./observations.ts";
import { randomOf } from "./random.ts";
import { Recorder } from "./recorder.ts";
import { storeOf } from "./requirements.ts";
import { type Target, Wire } from "./wire.ts";

/** One driver process, over all tests. */
export interface PeerState {
  readonly target: Target;
  readonly control: Control;
  /** What it told at its last start: a store that does not outlive its process has another id after it. */
  described: DescribeResponse | undefined;
}

export interface ContextOptions {
  readonly peers: readonly [PeerState, ...PeerState[]];
  /** The test's name, "blob.read.03/stale-etag". */
  readonly test: string;
  /** "kit/<run>/<number>/" */
  readonly prefix: string;
  readonly seed: number;
  readonly timers: Timers;
  readonly signal: AbortSignal;
  readonly localRoot: string | undefined;
  readonly observations: Observations;
}

export interface TestScope {
  readonly context: Context;
  readonly recorder: Recorder;
  readonly notes: readonly string[];
  /** Ends every call of the test, and what it started. */
  close(): Promise<void>;
  /** Takes away what lies under the test's prefix, and its uploads. Resolves with what could not be. */
  cleanUp(): Promise<string[]>;
}

const CLEAN_UP_MS = 5_000;
const PAGES = 50;

export function openScope(options: ContextOptions): TestScope {
  const { prefix, timers, signal, observations } = options;
  const recorder = new Recorder(observations.during(options.test));
  const wires: Wire[] = [];
  const notes: string[] = [];
  const uploads: string[] = [];
  const random = randomOf(options.seed, options.test);
  let names = 0;
  let usedKeys = false;

  const folders: string[] = [];
  const elsewhere: StartedDriver[] = [];

  const connect = (state: PeerState, address = state.target.address): Calls => {
    const wire = new Wire({ ...state.target, address }, recorder);
    wires.push(wire);
    return callsOn(wire, { timers, storeId: (kind) => storeOf(state.described, kind)?.id });
  };
  // What a test starts beside the driver ends with the test.
  const controlOf = ({ control }: PeerState): Control => {
    if (!(control instanceof StartedDriver)) return control;
    return {
      kill: () => control.kill(),
      start: (flags) => control.start(flags),
      run: (flags, run) => control.run(flags, run),
      stop: (ms) => control.stop(ms),
      get running() {
        return control.running;
      },
      elsewhere(address) {
        const other = control.elsewhere(address);
        elsewhere.push(other);
        return other;
      },
    };
  };
  const peerOf = (state: PeerState): Peer => ({
    ...connect(state),
    address: state.target.address,
    secure: state.target.secure === true,
    driver: controlOf(state),
    connect: (address) => connect(state, address),
  });
  const [first, ...others] = options.peers;
  const main = peerOf(first);
  const store = (kind: StoreKind): Store => {
    const found = storeOf(first.described, kind);
    if (found === undefined) throw new Error(`the driver serves no ${kind} store: the test must require it`);
    return found;
  };
  const context: Context = {
    ...main,
    peers: [main, ...others.map(peerOf)],
    get described(): DescribeResponse {
      if (first.described === undefined) throw new Error("the driver did not describe itself");
      return first.described;
    },
    store,
    limits: (kind): Limits => {
      const { limits } = store(kind);
      if (limits === null) throw new Error(`Describe tells no limits of the ${kind} store`);
      return limits;
    },
    get prefix() {
      usedKeys = true;
      return prefix;
    },
    key(name = `key-${++names}`) {
      usedKeys = true;
      return `${prefix}${name}`;
    },
    uploadId() {
      // Not from the seed: two runs against one store must not meet.
      const id = `kit-${prefix.split("/").slice(1, 3).join("-")}-${++names}`;
      uploads.push(id);
      return id;
    },
    random,
    timers,
    signal,
    localRoot: options.localRoot,
    note: (text) => void notes.push(text),
    notRun(why) {
      throw new NotRun(why);
    },
    folder() {
      const folder = mkdtempSync(join(tmpdir(), "kit-"));
      folders.push(folder);
      return folder;
    },
    sleep: (ms) => sleepFor(ms, signal),
    observed: (id) => observations.of(id),
    observedCount: (id) => observations.count(id),
  };
  return {
    context,
    recorder,
    notes,
    async close() {
      for (const wire of wires) wire.close();
      for (const other of elsewhere) await other.close();
      for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    },
    async cleanUp() {
      if (!usedKeys && uploads.length === 0) return [];
      const ms = Math.min(CLEAN_UP_MS, timers.unaryMs);
      const wire = new Wire(first.target, new Recorder({ message() {}, answer() {} }));
      const patience = { unaryMs: ms, listMs: ms, streamMs: ms };
      const calls = callsOn(wire, { timers: patience, storeId: (kind) => storeOf(first.described, kind)?.id });
      const left: string[] = [];
      const attempt = async (what: string, work: () => Promise<unknown>) => {
        try {
          await work();
        } catch (error) {
          left.push(`${what}: ${error instanceof Error ? error.message : error}`);
        }
      };
      if (storeOf(first.described, "blob") !== undefined) {
        await attempt("uploads", async () => {
          for (const uploadId of uploads) await calls.blob.abortUpload({ uploadId });
        });
        if (usedKeys) await attempt("blobs", () => deleteBlobs(calls, prefix));
      }
      if (usedKeys && storeOf(first.described, "meta") !== undefined)
        await attempt("keys of the meta store", () => deleteKeys(calls, prefix));
      wire.close();
      return left;
    },
  };
}

async function deleteBlobs({ blob }: Calls, prefix: string): Promise<void> {
  for (let page = 0; page < PAGES; page++) {
    const { items } = await blob.list({ prefix });
    const keys = items.map(({ key }) => key).filter((key) => key.startsWith(prefix));
    if (keys.length === 0) return;
    await blob.delete({ keys: keys.slice(0, 1000) });
  }
  throw new Error(`${PAGES} pages were deleted, and there are more`);
}

async function deleteKeys({ meta }: Calls, prefix: string): Promise<void> {
  for (let page = 0; page < PAGES; page++) {
    const { items } = await meta.list({ prefix });
    const keys = items.map(({ key }) => key).filter((key) => key.startsWith(prefix));
    if (keys.length === 0) return;
    for (let at = 0; at < keys.length; at += 100) {
      await meta.write({ operations: keys.slice(at, at + 100).map((key) => ({ key, action: "delete", delete: {} })) });
    }
  }
  throw new Error(`${PAGES} pages were deleted, and there are more`);
}

/** Rejects with the signal's reason when it aborts first. */
export function sleepFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
