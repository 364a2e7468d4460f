/** What is served beside the API: /livez, /readyz, /metrics. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { StoreHealth } from "../../client/contract.ts";
import type { Aside } from "./handler.ts";
import type { Metrics } from "./metrics.ts";
import type { Readiness } from "./readiness.ts";

export interface AsideOptions {
  readonly readiness: Readiness;
  /** Absent: not on this listener. */
  readonly metrics: Metrics | undefined;
  /** While blobs are moved: which phase this core is in. */
  readonly phase?: () => string | undefined;
  /** Likewise of the stores of prefixes, by prefix. */
  readonly phasesApart?: () => Readonly<Record<string, string>>;
}

export function createAside(options: AsideOptions): Aside {
  const { readiness, metrics } = options;
  return (path, request, response) => {
    switch (path) {
      case "/livez":
        // The process answers: that is all. A store that is away is no reason to restart the core.
        return plain(request, response, 200, "ok\n");
      case "/readyz": {
        const state = readiness.state();
        const [phase, apart] = [options.phase?.(), options.phasesApart?.() ?? {}];
        return json(request, response, state.ready ? 200 : 503, {
          ready: state.ready,
          ...(state.problem === undefined ? {} : { problem: state.problem }),
          ...(phase === undefined ? {} : { move: phase }),
          ...(Object.keys(apart).length === 0 ? {} : { moves: apart }),
          stores: state.stores.map(describe),
        });
      }
      case "/metrics": {
        if (!metrics) return false;
        metrics.render().then(
          (text) => plain(request, response, 200, text, metrics.contentType),
          () => plain(request, response, 500, "the metrics cannot be shown\n"),
        );
        return true;
      }
      case "/":
        return plain(request, response, 200, "Outrigger, a container registry: the API is at /v2/\n");
      default:
        return false;
    }
  };
}

/** Without addresses: who may see this may not be who may know them. */
function describe(store: StoreHealth & { readonly prefix?: string }) {
  return {
    kind: store.kind,
    ...(store.prefix ? { prefix: store.prefix } : {}),
    ...(store.beside ? { role: "move" } : {}),
    ...(store.id === undefined ? {} : { id: store.id }),
    ready: store.ready,
    ...(store.reason === undefined ? {} : { reason: store.reason }),
    ...(store.problem === undefined ? {} : { problem: store.problem }),
  };
}

function plain(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  text: string,
  type = "text/plain; charset=utf-8",
): true {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { Allow: "GET, HEAD", "Content-Length": 0 }).end();
    return true;
  }
  const body = Buffer.from(text);
  response.writeHead(status, { "Content-Type": type, "Content-Length": body.length, "Cache-Control": "no-store" });
  response.end(body);
  return true;
}

function json(request: IncomingMessage, response: ServerResponse, status: number, value: unknown): true {
  return plain(request, response, status, `${JSON.stringify(value)}\n`, "application/json");
}
