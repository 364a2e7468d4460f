/** What a call's end says: the driver's own reason, or, without one, that the transport spoke. */
import { status as Code, type Metadata } from "@grpc/grpc-js";
import { fromStatus, OutriggerError, type Reason } from "../proto/errors.ts";

export interface CallEnd {
  readonly code: Code;
  readonly details: string;
  readonly metadata: Metadata;
}

/** grpc-js says so where no byte of the request left this process. */
const NOT_SENT = /^(?:No connection established|Name resolution failed|Failed to start HTTP\/2 stream|Stream refused)/;
/** Told by the connection itself where the other side does not speak HTTP/2, or not gRPC over it. */
const NOT_GRPC = /Protocol error|Parse Error|ERR_HTTP2_ERROR|invalid preface|HTTP\/1|bad http/i;

/** @param answered whether anything of the answer had come before */
export function toError(end: CallEnd, what: string, answered: boolean): OutriggerError {
  const told = fromStatus(end.code, end.details, end.metadata);
  if (told !== undefined) return told;
  const sentence = `${what}: ${end.details || Code[end.code]}`;
  const make = (reason: Reason, metadata: Record<string, string> = {}) =>
    new OutriggerError(reason, sentence, { side: "transport", metadata });
  switch (end.code) {
    case Code.UNAVAILABLE:
      if (NOT_GRPC.test(end.details)) return make("NOT_A_DRIVER");
      if (answered) return make("STREAM_BROKEN");
      return make("UNREACHABLE", NOT_SENT.test(end.details) ? { sent: "no" } : {});
    case Code.DEADLINE_EXCEEDED:
      return make("TIMED_OUT");
    case Code.UNIMPLEMENTED:
      return make("CAPABILITY_MISSING");
    case Code.CANCELLED:
    case Code.ABORTED:
      return make(answered ? "STREAM_BROKEN" : "UNREACHABLE");
    case Code.RESOURCE_EXHAUSTED:
      return /larger than max/i.test(end.details)
        ? new OutriggerError("PROTOCOL_VIOLATION", `${sentence} [call.size.01]`, { side: "driver" })
        : make("UNREACHABLE");
    case Code.UNAUTHENTICATED:
    case Code.PERMISSION_DENIED:
      return make("UNREACHABLE");
    case Code.INTERNAL:
      if (/RST_STREAM|HTTP\/2|Write error/.test(end.details))
        return make(answered ? "STREAM_BROKEN" : "UNREACHABLE", NOT_SENT.test(end.details) ? { sent: "no" } : {});
      if (/parsing error/i.test(end.details))
        return new OutriggerError("PROTOCOL_VIOLATION", sentence, { side: "driver" });
      return make("INTERNAL");
    default:
      return make("INTERNAL", { grpc: String(end.code) });
  }
}
