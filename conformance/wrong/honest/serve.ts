/** Both stores as gRPC services: what a call must carry before it is looked at, and what each answer carries. */
import {
  status as Code,
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  type ServiceDefinition,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import { OutriggerError } from "../../../proto/errors.ts";
import type { HealthCheckRequest } from "../../../proto/gen/grpc/health/v1/HealthCheckRequest.ts";
import type { HealthCheckResponse } from "../../../proto/gen/grpc/health/v1/HealthCheckResponse.ts";
import type { AppendRequest } from "../../../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponseInput } from "../../../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import { invalidField } from "../../../proto/keys.ts";
import { limits } from "../../../proto/limits.ts";
import { contract } from "../../../proto/load.ts";
import { headers } from "../../../proto/metadata.ts";
import type { AnyMethod, ReceivedRequests, StreamMethod, UnaryMethod } from "../../../proto/transport.ts";
import type { Habits } from "../habits.ts";
import type { Call } from "./call.ts";
import { requestsOf, senderTo } from "./streams.ts";
import type { Incoming } from "./uploads.ts";

/** Unary calls by name, with their requests as they are decoded. */
export type UnaryTable = {
  readonly [Name in UnaryMethod]?: (request: ReceivedRequests[Name], call: Call) => object | Promise<object>;
};

export interface Served {
  readonly unary: UnaryTable;
  readonly stream: {
    readonly [Name in StreamMethod]: (request: ReceivedRequests[Name], call: Call) => AsyncIterable<object>;
  };
  append(incoming: Incoming, send: (response: AppendResponseInput) => Promise<void>): Promise<void>;
  /** The ids of the stores that are served. */
  readonly stores: { readonly blob: string; readonly meta: string };
  /** `outrigger-contract` */
  readonly contract: string | undefined;
  readonly readOnly: boolean;
}

export interface Service {
  readonly server: Server;
  /** [process.drain.01] Ends streams; resolves once every call has ended. */
  drain(): Promise<void>;
}

const mutating: ReadonlySet<AnyMethod> = new Set<AnyMethod>([
  "blob.Put",
  "blob.AbortUpload",
  "blob.Move",
  "blob.Delete",
  "meta.Write",
]);

export function serve(served: Served, habits: Habits): Service {
  const server = new Server({
    "grpc.max_receive_message_length": limits.messageBytes,
    // What is too large is this driver's own business.
    "grpc.max_send_message_length": -1,
  });
  const draining = new AbortController();
  const active = new Set<Promise<void>>();
  const services = contract();
  for (const api of ["handshake", "blob", "meta"] as const) {
    const definition: ServiceDefinition = services[api].service;
    const entries = Object.entries(definition).map(([name, method]): [string, UntypedHandleCall] => {
      const full = `${api}.${name}` as AnyMethod;
      if (method.requestStream) return [name, append() as UntypedHandleCall];
      if (method.responseStream) return [name, stream(full as StreamMethod) as UntypedHandleCall];
      return [name, unary(full as UnaryMethod) as UntypedHandleCall];
    });
    server.addService(definition, Object.fromEntries(entries));
  }
  server.addService(services.health.service as ServiceDefinition, { Check: check() });

  function answerHead(): Metadata {
    const head = new Metadata();
    const now = habits.wire.now();
    if (now !== undefined) head.set(headers.now, now);
    if (served.contract !== undefined) head.set(headers.contract, served.contract);
    return head;
  }

  function assertWritable(): void {
    if (served.readOnly && habits.process.seals) throw new OutriggerError("READ_ONLY", "this store is sealed");
  }

  /** @throws what must be refused whatever the message says */
  async function admit(method: AnyMethod, sent: Metadata, signal: AbortSignal): Promise<Call> {
    await habits.wire.arrive(method);
    const api = method.slice(0, method.indexOf("."));
    if (api === "blob" || api === "meta") {
      const [store] = sent.get(headers.store);
      habits.wire.assertStore(typeof store === "string" ? store : undefined, served.stores[api]);
    }
    if (!mutating.has(method)) return { signal, assertInTime() {} };
    assertWritable();
    const [text] = sent.get(headers.notAfter);
    if (text === undefined) return { signal, assertInTime() {} };
    const notAfterMs = /^\d{1,15}$/.test(String(text)) ? Number(text) : Number.NaN;
    if (Number.isNaN(notAfterMs)) throw invalidField(headers.notAfter, `${text} is no time in unix ms`);
    habits.wire.assertInTime(notAfterMs, "arrival");
    return { signal, assertInTime: () => habits.wire.assertInTime(notAfterMs, "effect") };
  }

  /** Runs one call to its end. `failed` is told of its error, unless the caller has gone. */
  function run(
    call: { cancelled: boolean; on(event: "cancelled", listener: () => void): unknown },
    work: (signal: AbortSignal) => Promise<void>,
    failed: (error: OutriggerError) => void,
  ): void {
    const gone = new AbortController();
    call.on("cancelled", () => gone.abort(new Error("the caller has gone")));
    const ended = work(AbortSignal.any([gone.signal, draining.signal]))
      .catch((fault) => {
        if (call.cancelled) return;
        if (fault instanceof OutriggerError) failed(fault);
        else failed(new OutriggerError("INTERNAL", `fault: ${fault}`, { cause: fault }));
      })
      .finally(() => active.delete(ended));
    active.add(ended);
  }

  function unary(method: UnaryMethod): handleUnaryCall<never, object> {
    return (call, callback) =>
      run(
        call,
        async (signal) => {
          const admitted = await admit(method, call.metadata, signal);
          const handler = served.unary[method];
          if (handler === undefined) throw new OutriggerError("CAPABILITY_MISSING", `${method} is not served`);
          const response = habits.wire.answer(method, await handler(call.request, admitted));
          call.sendMetadata(answerHead());
          callback(null, response);
        },
        (error) => callback(habits.wire.status(error, answerHead())),
      );
  }

  function stream(method: StreamMethod): handleServerStreamingCall<never, object> {
    return (call) => {
      const send = senderTo(call, answerHead);
      run(
        call,
        async (signal) => {
          const admitted = await admit(method, call.metadata, signal);
          for await (const message of served.stream[method](call.request, admitted)) {
            await send(message, signal);
            signal.throwIfAborted();
          }
          call.end();
        },
        (error) => call.emit("error", habits.wire.status(error, send.begun ? undefined : answerHead())),
      );
    };
  }

  function append(): handleBidiStreamingCall<AppendRequest, AppendResponseInput> {
    return (call) => {
      const send = senderTo<AppendResponseInput>(call, answerHead);
      run(
        call,
        async (signal) => {
          await admit("blob.Append", call.metadata, signal);
          await served.append({ next: requestsOf(call), signal, assertWritable }, (response) => send(response, signal));
          call.end();
        },
        (error) => call.emit("error", habits.wire.status(error, send.begun ? undefined : answerHead())),
      );
    };
  }

  /** [process.health.01] */
  function check(): handleUnaryCall<HealthCheckRequest, HealthCheckResponse> {
    const known = new Set(["", "outrigger.blob.v1.BlobService", "outrigger.meta.v1.MetaService"]);
    return ({ request }, callback) => {
      const status = habits.process.health(request.service, known);
      if (status === undefined) callback({ code: Code.NOT_FOUND, details: `there is no service ${request.service}` });
      else callback(null, { status: draining.signal.aborted ? "NOT_SERVING" : status });
    };
  }

  return {
    server,
    async drain() {
      draining.abort(new OutriggerError("DRAINING", "the driver is about to stop"));
      await Promise.all(active);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    },
  };
}
