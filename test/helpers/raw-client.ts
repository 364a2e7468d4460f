/** gRPC as it is on the wire, without client/: what an answer carries is seen, not interpreted. */
import { Client, credentials, Metadata, type ServiceError, type status as Status } from "@grpc/grpc-js";
import { fromStatus, type OutriggerError } from "../../proto/errors.ts";
import { contract, type Services } from "../../proto/load.ts";

export interface RawAnswer {
  /** Absent on failure. */
  readonly response?: Record<string, unknown>;
  /** Absent on success. */
  readonly code?: Status;
  readonly message?: string;
  /** The ErrorInfo behind a failure; absent where the transport spoke. */
  readonly error?: OutriggerError;
  /** Initial metadata, or the trailers of a trailers-only answer. */
  readonly metadata: Metadata;
}

/** unix:///path and host:port are what grpc-js takes as well. */
export class RawClient {
  readonly #client: Client;

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure());
  }

  close(): void {
    this.#client.close();
  }

  /** @param method "meta.Get": a service of proto/load.ts and its method */
  call(method: string, request: object, metadata: Readonly<Record<string, string>> = {}): Promise<RawAnswer> {
    const [service = "", name = ""] = method.split(".");
    const definition = contract()[service as keyof Services].service[name as never] as {
      path: string;
      requestSerialize: (value: object) => Buffer;
      responseDeserialize: (bytes: Buffer) => Record<string, unknown>;
    };
    const sent = new Metadata();
    for (const [key, value] of Object.entries(metadata)) sent.set(key, value);
    return new Promise((resolve) => {
      let received: Metadata | undefined;
      const call = this.#client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        request,
        sent,
        { deadline: Date.now() + 10_000 },
        (failure: ServiceError | null, response?: Record<string, unknown>) => {
          if (failure === null) resolve({ response: response ?? {}, metadata: received ?? new Metadata() });
          else {
            const error = fromStatus(failure.code, failure.details, failure.metadata);
            const answer = { code: failure.code, message: failure.details, metadata: received ?? failure.metadata };
            resolve(error === undefined ? answer : { ...answer, error });
          }
        },
      );
      call.on("metadata", (initial: Metadata) => {
        received = initial;
      });
    });
  }
}
