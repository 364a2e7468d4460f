/** A member that is not one: an HTTP server that answers as a test says, and tells what it was asked. */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeMember {
  readonly url: string;
  readonly requests: { readonly method: string; readonly path: string; readonly headers: IncomingMessage["headers"] }[];
  /** How it answers from now on. */
  answer: RequestListener;
  /** Ends its connections, with what is under way on them. */
  cut(): void;
  close(): Promise<void>;
}

export async function fakeMember(host = "127.0.0.1", port = 0): Promise<FakeMember> {
  const requests: FakeMember["requests"] = [];
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    requests.push({ method: request.method ?? "", path: request.url ?? "", headers: request.headers });
    fake.answer(request, response);
  };
  const server = createServer(handle);
  server.on("checkContinue", handle);
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  const bound = server.address() as AddressInfo;
  const fake: FakeMember = {
    url: `http://${host}:${bound.port}`,
    requests,
    answer: (_, response) => void response.writeHead(500).end(),
    cut: () => server.closeAllConnections(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return fake;
}

/** An answer of a member that keeps the rules, with JSON. */
export function say(id: string, status: number, value: unknown, headers: Record<string, string> = {}): RequestListener {
  return (_, response) => {
    const body = JSON.stringify(value);
    response.writeHead(status, { "Outrigger-Member": id, "Content-Type": "application/json", ...headers }).end(body);
  };
}
