/** What stands between core and driver changes nothing and holds little: seen from both sides, on plain HTTP/2. */
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, createServer as createTcpServer, connect as dial, type Server } from "node:net";
import { after, describe, it } from "node:test";
import { type CallSeen, createProxy } from "../../../cli/tap/proxy.ts";
import { until } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";

const MIB = 1024 * 1024;
const quiet: CallSeen = { request() {}, requestEnd() {}, answerHead() {}, answer() {}, end() {} };

describe("the tap between core and driver", () => {
  const scope = new Scope();
  after(scope.close);

  async function listening(server: Server): Promise<number> {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  /** A driver that answers as `serve` says, a tap before it, a core's connection to the tap. */
  async function pair(serve: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void) {
    const sessions: ServerHttp2Session[] = [];
    const driver = createServer();
    driver.on("session", (session) => sessions.push(session));
    driver.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      serve(stream, headers);
    });
    const port = await listening(driver);
    const ends: (string | undefined)[] = [];
    const proxy = createProxy({
      scheme: "http",
      dial: () => dial(port, "127.0.0.1"),
      call: () => ({ ...quiet, end: (_trailers, brokenBy) => ends.push(brokenBy) }),
      room: () => undefined,
      dialled: () => {},
    });
    const core = connect(`http://127.0.0.1:${await listening(proxy.server)}`);
    core.on("error", () => {});
    scope.defer(async () => {
      core.destroy();
      await proxy.close();
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => driver.close(resolve));
    });
    return { core, sessions, ends };
  }

  function call(core: ClientHttp2Session, headers: Record<string, string> = {}): ClientHttp2Stream {
    const stream = core.request({ ":method": "POST", ":path": "/s/m", te: "trailers", ...headers });
    stream.on("error", () => {});
    return stream;
  }

  async function trailersOf(stream: ClientHttp2Stream): Promise<IncomingHttpHeaders> {
    const [[trailers]] = await Promise.all([once(stream, "trailers"), once(stream.resume(), "end")]);
    return trailers;
  }

  it("passes metadata, bytes and trailers on as they are, and adds none", async () => {
    let asked: IncomingHttpHeaders = {};
    const { core, ends } = await pair((stream, headers) => {
      asked = headers;
      stream.respond(
        { ":status": 200, "outrigger-now": "7", "x-bin": "AAE=" },
        { waitForTrailers: true, ...{ sendDate: false } },
      );
      stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "y-bin": "/w==" }));
      stream.pipe(stream);
    });
    const stream = call(core, { "outrigger-store": "id", "grpc-timeout": "5S", "z-bin": "AQI=" });
    const echoed: Buffer[] = [];
    stream.on("data", (data) => echoed.push(data));
    const heads = once(stream, "response");
    stream.end(Buffer.alloc(3 * MIB, 5));
    const trailers = await trailersOf(stream);
    const [head] = await heads;
    assert.deepEqual(plain(head), { ":status": 200, "outrigger-now": "7", "x-bin": "AAE=" });
    assert.deepEqual(plain(trailers), { "grpc-status": "0", "y-bin": "/w==" });
    assert.ok(Buffer.concat(echoed).equals(Buffer.alloc(3 * MIB, 5)));
    const { "outrigger-store": store, "grpc-timeout": timeout, "z-bin": binary, te } = asked;
    assert.deepEqual([store, timeout, binary, te], ["id", "5S", "AQI=", "trailers"]);
    await until(
      () => ends.length === 1,
      5000,
      () => "the call's end was not seen",
    );
    assert.deepEqual(ends, [undefined]);
  });

  it("passes an answer of trailers alone on as such", async () => {
    const { core } = await pair((stream) =>
      stream.respond({ ":status": 200, "grpc-status": "5" }, { endStream: true }),
    );
    const stream = call(core);
    const [head, flags] = await once(stream, "response");
    assert.equal(head["grpc-status"], "5");
    assert.notEqual(flags & constants.NGHTTP2_FLAG_END_STREAM, 0);
    stream.close();
  });

  it("stops a driver whose core does not read, and holds less than 2 MiB", async () => {
    let written = 0;
    const { core } = await pair((stream) => {
      stream.respond({ ":status": 200 });
      const write = () => {
        do written += 65_536;
        while (!stream.destroyed && stream.write(Buffer.alloc(65_536)));
        stream.once("drain", write);
      };
      write();
    });
    const stream = call(core);
    await once(stream, "response");
    await settled(() => written);
    assert.ok(written < 2 * MIB, `the driver could write ${written} bytes to a core that does not read`);
    const stalled = written;
    let read = 0;
    stream.on("data", (data) => {
      read += data.length;
    });
    await until(
      () => read > stalled + 4 * MIB,
      10_000,
      () => `read ${read}: it does not go on`,
    );
    stream.close(constants.NGHTTP2_CANCEL);
  });

  it("stops a core whose driver does not read, and lets its other calls pass", async () => {
    const { core } = await pair((stream, headers) => {
      if (headers["x-quick"] === undefined) return;
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.resume().once("end", () => stream.end());
    });
    const stalled = call(core);
    let written = 0;
    const write = () => {
      while (stalled.write(Buffer.alloc(65_536))) written += 65_536;
      written += 65_536;
      stalled.once("drain", write);
    };
    write();
    await settled(() => written);
    assert.ok(written < 2 * MIB, `the core could write ${written} bytes to a driver that does not read`);
    const quick = call(core, { "x-quick": "1" });
    quick.end(Buffer.alloc(2 * MIB));
    assert.equal((await trailersOf(quick))["grpc-status"], "0");
    stalled.close(constants.NGHTTP2_CANCEL);
  });

  it("passes a cancel on to the driver", async () => {
    let driverSide: ServerHttp2Stream | undefined;
    const { core, ends } = await pair((stream) => {
      driverSide = stream;
      stream.respond({ ":status": 200 });
    });
    const stream = call(core);
    await once(stream, "response");
    stream.close(constants.NGHTTP2_CANCEL);
    await until(
      () => driverSide?.closed === true,
      5000,
      () => "the driver's side is still open",
    );
    assert.equal(driverSide?.rstCode, constants.NGHTTP2_CANCEL);
    await until(
      () => ends.length === 1,
      5000,
      () => "the call's end was not seen",
    );
    assert.deepEqual(ends, ["core"]);
  });

  it("passes a reset on to the core", async () => {
    const { core, ends } = await pair((stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM));
    const stream = call(core);
    await new Promise((resolve) => stream.once("close", resolve));
    assert.equal(stream.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    assert.deepEqual(ends, ["driver"]);
  });

  it("breaks the core's connection when the driver's breaks", async () => {
    const { core, sessions, ends } = await pair((stream) => stream.respond({ ":status": 200 }));
    const stream = call(core);
    await once(stream, "response");
    const closed = once(core, "close");
    sessions[0]?.destroy();
    await closed;
    assert.deepEqual(ends, ["driver"]);
  });

  it("says nothing to a core while the driver says nothing, and hangs up when it is not there", async () => {
    const silent = createTcpServer((socket) => socket.resume().on("error", () => {}));
    const port = await listening(silent);
    const told: unknown[] = [];
    for (const [place, hangsUp] of [
      [port, false],
      [1, true],
    ] as const) {
      const proxy = createProxy({
        scheme: "http",
        dial: () => dial(place, "127.0.0.1"),
        call: () => quiet,
        room: () => undefined,
        dialled: (failure) => told.push(failure?.name),
      });
      const core = dial(await listening(proxy.server), "127.0.0.1");
      let heard = 0;
      core.on("data", (data) => {
        heard += data.length;
      });
      const closed = new Promise<boolean>((resolve) => core.once("close", () => resolve(true)));
      assert.equal(await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 300, false))]), hangsUp);
      assert.equal(heard, 0);
      core.destroy();
      await proxy.close();
    }
    assert.deepEqual(told, ["Error"]);
    await new Promise((resolve) => silent.close(resolve));
  });

  it("tells the core that the driver takes no more calls, and lets those under way end", async () => {
    let finish = () => {};
    const { core, sessions } = await pair((stream) => {
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      finish = () => stream.end("last");
    });
    const stream = call(core);
    await once(stream, "response");
    const told = once(core, "goaway");
    sessions[0]?.close();
    await told;
    finish();
    assert.equal((await trailersOf(stream))["grpc-status"], "0");
  });
});

/** Without node's own symbol. */
function plain(headers: IncomingHttpHeaders): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers));
}

/** Resolves once the number stays the same for 300 ms. */
async function settled(value: () => number): Promise<void> {
  let [last, since] = [-1, 0];
  await until(
    () => {
      if (value() !== last) [last, since] = [value(), performance.now()];
      return performance.now() - since > 300;
    },
    20_000,
    () => `it never stops growing: ${last}`,
  );
}
