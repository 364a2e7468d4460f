/** The protocol's metadata as gRPC carries it. */
import { Metadata } from "@grpc/grpc-js";
import { headers } from "../proto/metadata.ts";
import type { AnswerMetadata, RequestMetadata } from "../proto/transport.ts";

const TRACE = ["traceparent", "tracestate", "baggage"] as const;

export function readMetadata(metadata: Metadata): RequestMetadata {
  const store = text(metadata, headers.store);
  const notAfter = text(metadata, headers.notAfter);
  const requestId = text(metadata, headers.requestId);
  let trace: Record<string, string> | undefined;
  for (const name of TRACE) {
    const value = text(metadata, name);
    if (value !== undefined) trace = { ...trace, [name]: value };
  }
  return {
    ...(store === undefined ? {} : { store }),
    // Not a number: NaN, which the handlers refuse by name.
    ...(notAfter === undefined ? {} : { notAfterMs: /^\d+$/.test(notAfter) ? Number(notAfter) : Number.NaN }),
    ...(requestId === undefined ? {} : { requestId: requestId.slice(0, 128) }),
    ...(trace === undefined ? {} : { trace }),
  };
}

/** [call.now.01], [call.contract.01] */
export function answerHeaders({ nowMs, contract }: Required<AnswerMetadata>): Metadata {
  const metadata = new Metadata();
  metadata.set(headers.now, String(nowMs));
  metadata.set(headers.contract, contract);
  return metadata;
}

function text(metadata: Metadata, name: string): string | undefined {
  const value = metadata.get(name)[0];
  return typeof value === "string" ? value : undefined;
}
