/** A TCP proxy before a real server that does to its connections what networks do: delay, cut, silence. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Scope } from "./processes.ts";

/**
 * What becomes of one piece of a request: `pass`; `drop`: it is thrown away and the connection stays; `cut-before`: the
 * connection is cut and the server never sees it; `cut-after`: the server gets it, and the connection is cut at the first
 * byte of its answer, which the client never sees: the work is done and its outcome unknown.
 */
export type Fault = "pass" | "drop" | "cut-before" | "cut-after";

export class FaultProxy {
  /** What the server was sent and what it answered, in bytes that went through. */
  readonly passed = { requestBytes: 0, answerBytes: 0, connections: 0 };
  /** How late each piece arrives, each way. */
  delayMs = { request: 0, answer: 0 };
  /** Asked for each piece that a client sends, as TCP gave it: small requests are one piece each, large ones many. */
  onRequest: (piece: Buffer) => Fault = () => "pass";
  /** New connections are cut at once. */
  refusing = false;
  #port = 0;
  #open: { readonly gate: Promise<void>; readonly release: () => void } | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #target: { readonly host: string; readonly port: number };

  /** In front of `host:port`, until the scope closes. */
  static async start(scope: Scope, target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => proxy.#serve(client));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const bound = server.address();
    if (bound === null || typeof bound === "string") throw new Error("a TCP server has no port");
    proxy.#port = bound.port;
    scope.defer(() => {
      server.close();
      proxy.resume();
      proxy.cut();
    });
    return proxy;
  }

  private constructor(target: string) {
    const at = target.lastIndexOf(":");
    this.#target = { host: target.slice(0, at), port: Number(target.slice(at + 1)) };
  }

  /** host:port for clients. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Nothing goes through until `resume`, and nothing is lost: a server, or a network, that stands still. */
  pause(): void {
    if (this.#open !== undefined) return;
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#open = { gate, release };
  }

  resume(): void {
    this.#open?.release();
    this.#open = undefined;
  }

  /** Cuts every connection there is; new ones are served. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  #serve(client: Socket): void {
    if (this.refusing) {
      client.on("error", () => {}).resetAndDestroy();
      return;
    }
    this.passed.connections++;
    const server = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    const cut = () => {
      client.resetAndDestroy();
      server.resetAndDestroy();
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      // A broken half breaks the other one.
      socket.on("error", cut).on("close", () => {
        this.#sockets.delete(socket);
        if (socket.errored !== null) cut();
      });
    }
    let cutAtAnswer = false;
    void this.#pump(client, server, async (piece) => {
      const fault = this.onRequest(piece);
      if (fault === "cut-before") cut();
      if (fault === "cut-after") cutAtAnswer = true;
      const goesOn = fault === "pass" || fault === "cut-after";
      if (goesOn) this.passed.requestBytes += piece.length;
      await sleep(this.delayMs.request);
      return goesOn;
    });
    void this.#pump(server, client, async (piece) => {
      if (cutAtAnswer) cut();
      else this.passed.answerBytes += piece.length;
      await sleep(this.delayMs.answer);
      return !cutAtAnswer;
    });
  }

  async #pump(from: Socket, to: Socket, goesOn: (piece: Buffer) => Promise<boolean>): Promise<void> {
    try {
      for await (const piece of from.iterator({ destroyOnReturn: false })) {
        while (this.#open !== undefined) await this.#open.gate;
        if (!(await goesOn(piece)) || to.destroyed) continue;
        if (!to.write(piece)) await once(to, "drain");
      }
      if (!to.destroyed) to.end();
    } catch {
      // The socket's own error handler has cut both.
    }
  }
}
