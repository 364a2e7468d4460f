/** The honest driver in one piece: both stores in a folder, behind an address. */

import { lstatSync, unlinkSync } from "node:fs";
import { createConnection } from "node:net";
import { ServerCredentials } from "@grpc/grpc-js";
import { OutriggerError } from "../../../proto/errors.ts";
import type { BlobInfo } from "../../../proto/gen/outrigger/blob/v1/BlobInfo.ts";
import type { MoveResponse } from "../../../proto/gen/outrigger/blob/v1/MoveResponse.ts";
import type { DescribeResponse } from "../../../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import type { Store } from "../../../proto/gen/outrigger/handshake/v1/Store.ts";
import { limits } from "../../../proto/limits.ts";
import { spoken } from "../../../proto/versions.ts";
import type { Habits } from "../habits.ts";
import { BlobStore } from "./blob-store.ts";
import { MetaStore } from "./meta-store.ts";
import { type Served, serve } from "./serve.ts";
import { forgetIds, initStore } from "./store-folder.ts";
import { PERSIST_STEP_BYTES, Uploads } from "./uploads.ts";

export interface DriverOptions {
  /** Holds both stores. */
  readonly folder: string;
  /** unix:///path or host:port; port 0 is any. */
  readonly listen: string;
  readonly habits: Habits;
  readonly readOnly?: boolean;
  /** Plain TCP beyond loopback. */
  readonly insecure?: boolean;
  /** Default: the protocol's 60 s. */
  readonly streamIdleMs?: number;
}

export interface RunningDriver {
  /** As a core is given it. */
  readonly address: string;
  /** [process.drain.01] Never takes longer than `withinMs`. */
  close(withinMs?: number): Promise<void>;
}

const EXPIRE_EVERY_MS = 60 * 60 * 1000;
const CAPABILITIES = ["DURABLE", "REPLICAS", "LOCAL_FILE"];

/** [process.init.01] */
export function initDriver(folder: string, keepsIds = true): void {
  if (!keepsIds) forgetIds(folder);
  initStore(folder, "blob");
  initStore(folder, "meta");
}

/** @throws Error in one sentence that says what to change */
export async function startDriver(options: DriverOptions): Promise<RunningDriver> {
  const { folder, listen, habits, streamIdleMs = limits.streamIdleMs } = options;
  if (habits.process.refusesPlainBeyondLoopback) assertPrivate(listen, options.insecure ?? false);
  if (!habits.process.refusesEmpty) initDriver(folder);
  const blob = BlobStore.open(folder, habits);
  const meta = MetaStore.open(folder, habits);
  const uploads = new Uploads(blob, habits, streamIdleMs);
  uploads.expire();
  const expiring = setInterval(() => uploads.expire(), EXPIRE_EVERY_MS).unref();

  const description = habits.wire.describe(describe(blob.id, meta.id, streamIdleMs));
  const { notices: _, ...hashed } = description;
  const service = serve(
    {
      ...handlers(blob, meta, uploads, description),
      stores: { blob: blob.id, meta: meta.id },
      contract: habits.wire.contract(hashed),
      readOnly: options.readOnly ?? false,
    },
    habits,
  );
  if (listen.startsWith("unix:")) await freeSocket(listen.slice("unix://".length), habits.process.leavesLiveSocket);
  const port = await new Promise<number>((resolve, reject) => {
    service.server.bindAsync(listen, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    address: listen.startsWith("unix:") ? listen : listen.replace(/:\d+$/, `:${port}`),
    async close(withinMs = 2_000) {
      clearInterval(expiring);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, withinMs);
      });
      await Promise.race([service.drain(), late]);
      clearTimeout(timer);
      service.server.forceShutdown();
    },
  };
}

function describe(blobId: string, metaId: string, streamIdleMs: number): DescribeResponse {
  const none = { persistStepBytes: 0, uploadTtlMs: 0, maxBlobBytes: 0, listLagMs: 0, maxValueBytes: 0, streamIdleMs };
  const stores: Store[] = [
    {
      kind: "STORE_KIND_BLOB",
      id: blobId,
      capabilities: CAPABILITIES,
      limits: { ...none, persistStepBytes: PERSIST_STEP_BYTES, uploadTtlMs: limits.uploadTtlMs },
      outside: 0,
    },
    {
      kind: "STORE_KIND_META",
      id: metaId,
      capabilities: CAPABILITIES.filter((name) => name !== "LOCAL_FILE"),
      limits: { ...none, maxValueBytes: limits.valueBytes },
      outside: 0,
    },
  ];
  return { driver: "io.outrigger.honest", version: "1.0.0", apis: versions(), stores, notices: [] };
}

function versions(): DescribeResponse["apis"] {
  return Object.fromEntries(Object.entries(spoken).map(([api, list]) => [api, { versions: [...list] }]));
}

function handlers(
  blob: BlobStore,
  meta: MetaStore,
  uploads: Uploads,
  description: DescribeResponse,
): Pick<Served, "unary" | "stream" | "append"> {
  return {
    unary: {
      "handshake.Version": () => ({ api: description.apis }),
      "handshake.Describe": () => description,
      "blob.Stat": ({ keys }) => blob.stat(keys),
      "blob.Put": (request, call) => ({ info: blob.put(request, call) }),
      "blob.GetUpload": ({ uploadId }) => ({ upload: uploads.get(uploadId) }),
      "blob.ListUploads": ({ startAfter, limit }) => {
        const { items, more } = uploads.list(startAfter, limit);
        return { uploads: items, more };
      },
      "blob.AbortUpload": ({ uploadId, ifIdleMs }, call) => {
        uploads.abort(uploadId, ifIdleMs, call.assertInTime);
        return {};
      },
      "blob.Delete": ({ keys }, call) => ({ results: blob.delete(keys, call) }),
      "blob.List": (request) => blob.list(request),
      "blob.Count": ({ prefix }) => blob.count(prefix),
      "blob.SignUrl": () => {
        throw new OutriggerError("CAPABILITY_MISSING", "this store does not have SIGN_URL");
      },
      "blob.LocateFile": (request) => blob.locateFile(request),
      "meta.Get": ({ keys }) => meta.get(keys),
      "meta.List": (request) => meta.list(request),
      "meta.Count": ({ prefix }) => meta.count(prefix),
      "meta.Write": ({ operations }, call) => meta.write(operations, call),
    },
    stream: {
      "blob.Read": (request) => blob.read(request),
      "blob.Move": ({ source, destination }, call) => moved(() => blob.move(source, destination, call)),
    },
    append: (incoming, send) => uploads.append(incoming, send),
  };
}

async function* moved(move: () => BlobInfo): AsyncGenerator<MoveResponse> {
  yield { step: "info", info: move() };
}

/** [process.tls.01] This driver speaks no TLS, so that it is for loopback and sockets only. */
function assertPrivate(listen: string, insecure: boolean): void {
  if (insecure || listen.startsWith("unix:") || /^(localhost|\[::1\]|127(\.\d{1,3}){3}):\d+$/.test(listen)) return;
  throw new Error(
    `${listen} is beyond loopback and this driver has no TLS: choose loopback or a socket, or --insecure`,
  );
}

/** [process.listen.02] @throws Error when somebody listens at the socket, and is to be left there */
async function freeSocket(path: string, leavesLive: boolean): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
  const answers = await new Promise<boolean>((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
  if (answers && leavesLive) throw new Error(`another process listens on ${path}: stop it or choose another socket`);
  unlinkSync(path);
}
