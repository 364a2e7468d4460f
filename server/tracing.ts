/** OpenTelemetry: spans that continue the core's trace; the SDK is loaded only when the standard variables ask for it. */

import { status as Code } from "@grpc/grpc-js";
import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { Instruments } from "./instruments.ts";
import { UsageError } from "./option-values.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Spans for every call, by whatever tracer provider is registered; none costs next to nothing. */
export function createTracing(): Instruments {
  const tracer = trace.getTracer("outrigger/server");
  return {
    begin(method, metadata) {
      const parent = propagation.extract(context.active(), metadata.trace ?? {});
      const [api, name] = method.split(".");
      const span = tracer.startSpan(
        method,
        {
          kind: SpanKind.SERVER,
          attributes: {
            "rpc.system": "grpc",
            "rpc.service": `outrigger.${api}.v1`,
            "rpc.method": name ?? "",
            ...(metadata.requestId === undefined ? {} : { "outrigger.request_id": metadata.requestId }),
          },
        },
        parent,
      );
      const active = trace.setSpan(parent, span);
      return {
        received() {},
        sent() {},
        end(code, error) {
          span.setAttribute("rpc.grpc.status_code", code);
          if (code !== Code.OK) {
            span.setStatus({ code: SpanStatusCode.ERROR, ...(error === undefined ? {} : { message: error.message }) });
          }
          span.end();
        },
        within: (work) => context.with(active, work),
      };
    },
  };
}

export interface Tracing extends Instruments {
  /** Sends what is left. */
  close(): Promise<void>;
}

/** `undefined` unless OTEL_TRACES_EXPORTER or an OTLP endpoint is set. @throws UsageError when the SDK is not installed */
export async function startTracing(env: Environment, serviceName: string): Promise<Tracing | undefined> {
  const endpoint = env["OTEL_EXPORTER_OTLP_ENDPOINT"] ?? env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
  const exporter = env["OTEL_TRACES_EXPORTER"] ?? (endpoint === undefined ? "none" : "otlp");
  if (exporter === "none" || env["OTEL_SDK_DISABLED"] === "true") return undefined;
  if (exporter !== "otlp" && exporter !== "console") {
    throw new UsageError(`OTEL_TRACES_EXPORTER is ${exporter}: otlp, console and none are known`);
  }
  const sdk = await need("@opentelemetry/sdk-trace-node", () => import("@opentelemetry/sdk-trace-node"));
  const processor =
    exporter === "console"
      ? new sdk.SimpleSpanProcessor(new sdk.ConsoleSpanExporter())
      : new sdk.BatchSpanProcessor(await otlpExporter());
  // The SDK reads OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME itself.
  process.env["OTEL_SERVICE_NAME"] ??= serviceName;
  const provider = new sdk.NodeTracerProvider({ spanProcessors: [processor] });
  provider.register();
  return { ...createTracing(), close: () => provider.shutdown() };
}

async function otlpExporter() {
  // Not a literal: types of an optional package need not be there.
  const name = "@opentelemetry/exporter-trace-otlp-http";
  const { OTLPTraceExporter } = await need(name, () => import(name));
  return new OTLPTraceExporter();
}

async function need<Module>(name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    throw new UsageError(`the OTEL_* variables ask for traces: install ${name}, or unset them`, { cause });
  }
}
