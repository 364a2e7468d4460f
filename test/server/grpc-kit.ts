/** A raw gRPC client and a hosted driver, over whatever address a test likes. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import {
  type ChannelCredentials,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { openMemoryDriver } from "../../drivers/memory/index.ts";
import { fromStatus, OutriggerError } from "../../proto/errors.ts";
import type { AppendRequestInput } from "../../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type { ReadResponse } from "../../proto/gen/outrigger/blob/v1/ReadResponse.ts";
import { contract } from "../../proto/load.ts";
import type { AppendStream } from "../../proto/transport.ts";
import type { Driver } from "../../server/contract.ts";
import { type Host, type HostOptions, hostDriver } from "../../server/host.ts";
import { Appending, silent } from "./kit.ts";

/** What a test opened, closed in reverse however it ends. */
export class Cleanup {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.#steps.unshift(step);
  }

  async run(): Promise<void> {
    for (const step of this.#steps.splice(0)) await step();
  }

  async folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "o-"));
    this.add(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }
}

/** Runs `work`, then whatever it put into its cleanup. */
export function cleanly(work: (cleanup: Cleanup, t: TestContext) => Promise<void>): (t: TestContext) => Promise<void> {
  return async (t) => {
    const cleanup = new Cleanup();
    try {
      await work(cleanup, t);
    } finally {
      await cleanup.run();
    }
  };
}

export interface Hosted {
  readonly host: Host;
  readonly driver: Driver;
  readonly client: GrpcClient;
}

/** A memory driver behind a unix socket, or as `options` say. */
export async function hosted(
  cleanup: Cleanup,
  options: Partial<HostOptions> & { readonly wrap?: (driver: Driver) => Driver } = {},
): Promise<Hosted> {
  const { wrap = (driver) => driver, ...rest } = options;
  const listen = rest.listen ?? `unix://${await cleanup.folder()}/d.sock`;
  const driver = wrap(await openMemoryDriver());
  const host = await hostDriver({ open: async () => driver, log: silent, ...rest, listen });
  cleanup.add(() => host.close());
  const client = new GrpcClient(host.address, driver);
  cleanup.add(() => client.close());
  return { host, driver, client };
}

export class GrpcClient {
  readonly blob;
  readonly meta;
  readonly handshake;
  readonly health;
  readonly store: { blob: string; meta: string };

  constructor(
    address: string,
    driver: Driver,
    channel: ChannelCredentials = credentials.createInsecure(),
    options: ClientOptions = {},
  ) {
    const services = contract();
    // A channel of its own: grpc-js shares connections of equal targets otherwise.
    const all: ClientOptions = { "grpc.use_local_subchannel_pool": 1, ...options };
    this.blob = new services.blob(address, channel, all);
    this.meta = new services.meta(address, channel, all);
    this.handshake = new services.handshake(address, channel, all);
    this.health = new services.health(address, channel, all);
    this.store = { blob: driver.blob?.facts.id ?? "", meta: driver.meta?.facts.id ?? "" };
  }

  metadata(kind: "blob" | "meta", more: Record<string, string> = {}): Metadata {
    const metadata = new Metadata();
    metadata.set("outrigger-store", this.store[kind]);
    for (const [name, value] of Object.entries(more)) metadata.set(name, value);
    return metadata;
  }

  append(): { stream: Appending; call: ClientDuplexStream<AppendRequestInput, AppendResponse> } {
    const call = this.blob.append(this.metadata("blob"));
    return { stream: new Appending(appendStream(call)), call };
  }

  /** The whole blob. */
  async read(key: string): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const message of received(this.blob.read({ key }, this.metadata("blob")))) {
      if (message.chunk) parts.push(message.chunk.data);
    }
    return Buffer.concat(parts);
  }

  close(): void {
    for (const client of [this.blob, this.meta, this.handshake, this.health]) client.close();
  }
}

/** A unary call as a promise; what it rejects with is the OutriggerError of its trailers, or grpc-js's error. */
export function answered<Response>(
  call: (callback: (error: ServiceError | null, response?: Response) => void) => unknown,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call((error, response) => {
      if (error !== null) reject(outrigger(error));
      else resolve(response as Response);
    });
  });
}

/** The messages of a stream; throws as `answered` rejects. */
export async function* received<Message = ReadResponse>(call: ClientReadableStream<Message>): AsyncGenerator<Message> {
  try {
    yield* call;
  } catch (error) {
    throw outrigger(error as ServiceError);
  }
}

export function outrigger(error: ServiceError): Error {
  return fromStatus(error.code, error.details, error.metadata, error) ?? error;
}

function appendStream(call: ClientDuplexStream<AppendRequestInput, AppendResponse>): AppendStream {
  const messages = received(call);
  return {
    incoming: { [Symbol.asyncIterator]: () => messages, metadata: Promise.resolve({}), cancel: () => call.cancel() },
    send: (message) =>
      new Promise((resolve, reject) => {
        if (call.destroyed) return reject(new OutriggerError("STREAM_BROKEN", "the stream has ended"));
        if (call.write(message)) return resolve();
        call.once("drain", resolve);
        call.once("error", reject);
      }),
    end: () => call.end(),
  };
}
