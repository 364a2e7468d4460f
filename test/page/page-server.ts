/** The page alone on a real socket, over fakes. */
import type { TestContext } from "node:test";
import { pino } from "pino";
import type { Clock } from "../../proto/clock.ts";
import { systemClock } from "../../proto/clock.ts";
import { createOpenAuthenticator } from "../../registry/auth/basic.ts";
import type { Authenticator } from "../../registry/auth/contract.ts";
import { createHandler } from "../../registry/http/handler.ts";
import { listen } from "../../registry/http/listener.ts";
import type { GraphQlRequest, RegistryOverview } from "../../registry/page/contract.ts";
import { createPage } from "../../registry/page/handler.ts";
import { RegistryClient } from "../helpers/registry-client.ts";
import { type FakeSearch, fakeSearch } from "./fake-search.ts";
import { NOW_MS } from "./world.ts";

export interface PageServer {
  readonly search: FakeSearch;
  /** http://127.0.0.1:port */
  readonly origin: string;
  readonly client: RegistryClient;
  authenticator: Authenticator;
  overview: () => RegistryOverview | Promise<RegistryOverview>;
  /** Run before the server is closed, the last one first. */
  readonly closers: (() => Promise<void>)[];
  /** Given each question with its signal. */
  watch: (signal: AbortSignal, request: GraphQlRequest) => void;
}

export const ALONE: RegistryOverview = {
  members: [
    {
      id: "",
      isSelf: true,
      isReachable: true,
      version: "0.1.0",
      stores: [
        {
          kind: "blob",
          ready: true,
          id: "5f0c7f1e-6a9c-4b57-8a0e-3f1f7b0d7a11",
          driver: "io.example.files",
          driverVersion: "0.1.0",
        },
        {
          kind: "meta",
          ready: true,
          id: "8d2b1f0a-2f0d-4a53-9a53-0a3a4c9c2b77",
          driver: "io.example.files",
          driverVersion: "0.1.0",
        },
      ],
    },
  ],
};

export async function startPage(t: Pick<TestContext, "after">, search: FakeSearch = fakeSearch()): Promise<PageServer> {
  const clock: Clock = { ...systemClock, now: () => NOW_MS };
  const server = {
    search,
    authenticator: createOpenAuthenticator("push"),
    overview: () => ALONE as RegistryOverview,
    closers: [],
    watch: () => {},
  };
  const log = pino({ level: "silent" });
  const page = createPage({
    authenticator: () => running.authenticator,
    ask: (request, account, context) => {
      running.watch(context.signal, request);
      return search.ask(request, account, context);
    },
    overview: () => running.overview(),
    clock,
    log,
    version: "0.1.0",
  });
  const handler = createHandler({
    backend: () => ({ serving: undefined, authenticator: running.authenticator, readOnly: false }),
    aside: page,
    clock,
    log,
    bodyLimits: { idleMs: 60_000, manifestBytes: 4 * 1024 * 1024 },
    traffic: { bytesIn: 0, bytesOut: 0, uploadsOpen: 0, pullsOpen: 0 },
    metrics: { observe() {} },
  });
  const listener = await listen({ host: "127.0.0.1", port: 0, tls: undefined, handler });
  const origin = `http://127.0.0.1:${listener.address.port}`;
  const client = new RegistryClient(origin);
  const running: PageServer = Object.assign(server, { origin, client });
  t.after(async () => {
    const failures: unknown[] = [];
    for (const close of running.closers.reverse()) await close().catch((error: unknown) => failures.push(error));
    client.close();
    listener.stopAccepting();
    listener.closeAll();
    await listener.closed();
    if (failures.length > 0) throw failures[0];
  });
  return running;
}
