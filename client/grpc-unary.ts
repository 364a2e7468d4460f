/** One unary call on grpc-js' low-level interface, and what requests and answers carry beside their messages. */
import { type Channel, status as Code, Metadata, type MethodDefinition } from "@grpc/grpc-js";
import { OutriggerError } from "../proto/errors.ts";
import { headers } from "../proto/metadata.ts";
import type { AnswerMetadata, TransportCall } from "../proto/transport.ts";
import { toError } from "./grpc-status.ts";

export type Call = ReturnType<InstanceType<typeof Channel>["createCall"]>;

export interface Codec {
  readonly path: string;
  encode(message: object): Buffer;
  decode(bytes: Buffer): object;
}

export function codecFrom({
  path,
  requestSerialize,
  responseDeserialize,
}: Pick<MethodDefinition<never, object>, "path" | "requestSerialize" | "responseDeserialize">): Codec {
  return { path, encode: requestSerialize as Codec["encode"], decode: responseDeserialize };
}

export function beginCall(channel: Channel, path: string, call: TransportCall): Call {
  const deadline = call.deadlineMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + call.deadlineMs;
  return channel.createCall(path, deadline, null, null, null);
}

/**
 * @param what for sentences: "meta.Get at unix:///run/driver.sock"
 * @throws OutriggerError, or the signal's reason
 */
export function unaryCall(
  channel: Channel,
  codec: Codec,
  request: object,
  call: TransportCall,
  what: string,
): Promise<{ response: object; metadata: AnswerMetadata }> {
  return new Promise((resolve, reject) => {
    if (call.signal?.aborted) return reject(call.signal.reason);
    const grpcCall = beginCall(channel, codec.path, call);
    const onAbort = () => grpcCall.cancelWithStatus(Code.CANCELLED, "cancelled by the core");
    call.signal?.addEventListener("abort", onAbort, { once: true });
    let answer: AnswerMetadata = {};
    let bytes: Buffer | undefined;
    grpcCall.start(requestMetadata(call), {
      onReceiveMetadata: (metadata) => {
        answer = answerMetadata(metadata);
      },
      onReceiveMessage: (message) => {
        bytes ??= message;
      },
      onReceiveStatus: (end) => {
        call.signal?.removeEventListener("abort", onAbort);
        if (end.code !== Code.OK) return reject(call.signal?.aborted ? call.signal.reason : toError(end, what, false));
        if (bytes === undefined) return reject(new OutriggerError("PROTOCOL_VIOLATION", `${what} has no answer`));
        try {
          resolve({ response: codec.decode(bytes), metadata: answer });
        } catch (error) {
          reject(unreadable(what, error));
        }
      },
    });
    grpcCall.startRead();
    grpcCall.sendMessageWithContext({}, codec.encode(request));
    grpcCall.halfClose();
  });
}

export function unreadable(what: string, cause: unknown): OutriggerError {
  return new OutriggerError("PROTOCOL_VIOLATION", `${what} is answered by what is not its message`, { cause });
}

export function requestMetadata(call: TransportCall): Metadata {
  const metadata = new Metadata();
  const { store, notAfterMs, requestId, trace } = call.metadata;
  if (store !== undefined) metadata.set(headers.store, store);
  if (notAfterMs !== undefined) metadata.set(headers.notAfter, String(Math.floor(notAfterMs)));
  if (requestId !== undefined) metadata.set(headers.requestId, requestId);
  for (const [name, value] of Object.entries(trace ?? {})) metadata.set(name, value);
  return metadata;
}

export function answerMetadata(metadata: Metadata): AnswerMetadata {
  const [now] = metadata.get(headers.now);
  const [hash] = metadata.get(headers.contract);
  const nowMs = Number(now);
  return {
    ...(now === undefined || !Number.isFinite(nowMs) ? {} : { nowMs }),
    ...(typeof hash === "string" ? { contract: hash } : {}),
  };
}
