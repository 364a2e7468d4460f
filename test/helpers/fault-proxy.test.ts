/** The fault proxy does to a connection what it says, and nothing to those it should leave alone. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { FaultProxy } from "./fault-proxy.ts";
import { Scope } from "./processes.ts";

describe("the fault proxy", () => {
  const scope = new Scope();
  const received: string[] = [];
  let proxy: FaultProxy;

  async function serve(onConnection: (socket: Socket) => void, allowHalfOpen = false): Promise<FaultProxy> {
    const server: Server = createServer({ allowHalfOpen }, onConnection).listen(0, "127.0.0.1");
    await once(server, "listening");
    scope.defer(() => server.close());
    const address = server.address();
    assert.ok(address !== null && typeof address === "object");
    return FaultProxy.start(scope, `127.0.0.1:${address.port}`);
  }

  before(async () => {
    proxy = await serve((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data) => {
        received.push(String(data));
        socket.write(`re: ${data}`);
      });
    });
  });
  after(scope.close);

  const dial = (to: FaultProxy, allowHalfOpen = false) =>
    connect({ host: "127.0.0.1", port: Number(to.address.split(":")[1]), allowHalfOpen });

  /** The answer, or how the connection ended. */
  async function ask(text: string): Promise<string> {
    const socket = dial(proxy);
    const answer = new Promise<string>((resolve) => {
      socket.on("data", (data) => resolve(String(data)));
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
      socket.on("close", () => resolve("closed"));
    });
    socket.write(text);
    return answer.finally(() => socket.destroy());
  }

  it("passes bytes, half-closes and counts", async () => {
    assert.equal(await ask("passed"), "re: passed");
    const echo = await serve((socket) => socket.pipe(socket), true);
    const socket = dial(echo, true);
    let bytes = 0;
    socket.on("data", (data) => {
      bytes += data.length;
    });
    socket.end(Buffer.alloc(5_000_000));
    await once(socket, "end");
    assert.equal(bytes, 5_000_000);
    assert.deepEqual(echo.passed, { requestBytes: 5_000_000, answerBytes: 5_000_000, connections: 1 });
  });

  it("cuts before the server has seen a request, and after it has done it", async () => {
    proxy.onRequest = (piece) => (String(piece) === "before" ? "cut-before" : "cut-after");
    assert.equal(await ask("before"), "ECONNRESET");
    assert.equal(await ask("after"), "ECONNRESET");
    proxy.onRequest = () => "pass";
    assert.equal(received.includes("before"), false);
    assert.equal(received.includes("after"), true);
  });

  it("refuses, drops, delays and stands still", async () => {
    proxy.refusing = true;
    assert.match(await ask("refused"), /ECONNRESET|EPIPE|closed/);
    proxy.refusing = false;

    proxy.onRequest = () => "drop";
    const dropped = ask("dropped");
    setTimeout(() => proxy.cut(), 50);
    assert.equal(await dropped, "ECONNRESET");
    proxy.onRequest = () => "pass";

    proxy.delayMs = { request: 40, answer: 40 };
    const begun = performance.now();
    assert.equal(await ask("delayed"), "re: delayed");
    assert.ok(performance.now() - begun >= 75);
    proxy.delayMs = { request: 0, answer: 0 };

    proxy.pause();
    const paused = ask("paused");
    setTimeout(() => proxy.resume(), 60);
    assert.equal(await paused, "re: paused");
    assert.deepEqual(
      received.filter((text) => ["refused", "dropped"].includes(text)),
      [],
    );
  });
});
