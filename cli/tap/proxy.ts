/**
 * Between a core and its driver: every HTTP/2 stream is passed on as it is, bytes, metadata, trailers, deadlines and
 * resets, both ways. Each connection of the core is one to the driver, so that one that breaks breaks the other, and a
 * side that does not read stops the side that writes.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
} from "node:http2";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";

/** Who sees one call. Nothing it does may change it, except that `room` holds it back. */
export interface CallSeen {
  request(data: Buffer): void;
  requestEnd(): void;
  answerHead(headers: IncomingHttpHeaders): void;
  answer(data: Buffer): void;
  /** Once; trailers are absent where the call was broken off. */
  end(trailers: IncomingHttpHeaders | undefined, brokenBy: "core" | "driver" | undefined): void;
}

export interface ProxyParts {
  /** A new connection to the driver. */
  dial(): Socket;
  /** What the driver is called in :scheme. */
  readonly scheme: "http" | "https";
  call(path: string, headers: IncomingHttpHeaders): CallSeen;
  /** Resolves when what was seen is put away; `undefined`: it is. */
  room(): Promise<void> | undefined;
  /** A connection to the driver was made: `undefined`; or could not be: why. */
  dialled(failure: Error | undefined): void;
}

export interface Proxy {
  /** To be told where to listen. */
  readonly server: Server;
  /** Every connection ends; resolves when they have. */
  close(): Promise<void>;
}

/** What a stream may hold here while one side does not read. */
const STREAM_WINDOW_BYTES = 256 * 1024;
/** Of all streams of a connection together; a stalled one gives its part back at once. */
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024;
const SETTINGS = { initialWindowSize: STREAM_WINDOW_BYTES };
/** Streams are bounded by their windows; this limit would end connections instead. */
const SESSION_MEMORY_MB = 1024;

export function createProxy(parts: ProxyParts): Proxy {
  const sessions = createServer({ settings: SETTINGS, maxSessionMemory: SESSION_MEMORY_MB });
  const sockets = new Set<Socket>();
  // Nothing is read from a core, nor said to it, before the driver has spoken: a driver that is not there, or hangs, is to
  // the core what it would be without us.
  const server = createTcpServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    const driver = connectHttp2("http://driver", {
      createConnection: () => parts.dial(),
      settings: SETTINGS,
      maxSessionMemory: SESSION_MEMORY_MB,
    });
    let reached = false;
    // What fails closes, and closing is what is passed on.
    driver.on("error", (error) => {
      if (!reached) parts.dialled(error);
    });
    driver.once("close", () => socket.destroy());
    socket.once("close", () => driver.destroy());
    driver.once("remoteSettings", () => {
      reached = true;
      parts.dialled(undefined);
      if (socket.destroyed) return;
      sessions.once("session", (core) => join(core, driver, parts));
      // It was made without reading; what it reads from now on is the session's.
      socket.read(0);
      sessions.emit("connection", socket);
    });
  });
  return {
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** One connection each way. */
function join(core: ServerHttp2Session, driver: ClientHttp2Session, parts: ProxyParts): void {
  core.setLocalWindowSize(SESSION_WINDOW_BYTES);
  driver.setLocalWindowSize(SESSION_WINDOW_BYTES);
  core.on("error", () => undefined);
  // "No new calls here": the one that is told last finds its calls under way still served.
  driver.on("goaway", () => core.close());
  core.on("goaway", () => driver.close());
  core.on("stream", (stream, headers) => passOn(stream, headers, driver, parts));
}

function passOn(
  core: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  session: ClientHttp2Session,
  parts: ProxyParts,
): void {
  core.on("error", () => undefined);
  const seen = parts.call(headers[":path"] ?? "", headers);
  let driver: ClientHttp2Stream;
  try {
    driver = session.request(requestHeaders(headers, parts.scheme), { endStream: core.endAfterHeaders });
  } catch {
    // The driver's connection takes no more calls: another one will.
    seen.end(undefined, "driver");
    core.close(constants.NGHTTP2_REFUSED_STREAM);
    return;
  }
  driver.on("error", () => undefined);

  let trailers: IncomingHttpHeaders | undefined;
  let ended = false;
  const end = (brokenBy: "core" | "driver" | undefined) => {
    if (ended) return;
    ended = true;
    seen.end(trailers, brokenBy);
  };

  pump(core, driver, (data) => seen.request(data), parts.room);
  core.once("end", () => {
    if (!core.aborted) seen.requestEnd();
  });

  driver.once("response", (answered, flags) => {
    seen.answerHead(answered);
    const trailersOnly = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    if (trailersOnly) trailers = answered;
    if (core.destroyed || core.closed) return;
    core.respond(answerHeaders(answered), respondOptions(trailersOnly));
    if (trailersOnly) return;
    core.once("wantTrailers", () => {
      if (trailers === undefined) core.close(constants.NGHTTP2_NO_ERROR);
      else core.sendTrailers(answerHeaders(trailers));
    });
    pump(driver, core, (data) => seen.answer(data), parts.room);
  });
  driver.once("trailers", (told) => {
    trailers = told;
  });

  core.once("close", () => {
    if (trailers === undefined || !driver.readableEnded) end(session.destroyed ? "driver" : "core");
    if (!driver.closed)
      driver.close(core.rstCode === constants.NGHTTP2_NO_ERROR ? constants.NGHTTP2_CANCEL : core.rstCode);
  });
  driver.once("close", () => {
    end(trailers === undefined ? "driver" : undefined);
    // What ended in order ends in order: its trailers are on their way.
    if (trailers !== undefined && driver.rstCode === constants.NGHTTP2_NO_ERROR) return;
    // Where the whole connection has gone, the core's goes as well, which tells it more than a reset.
    setImmediate(() => {
      if (!core.closed && !session.destroyed) core.close(driver.rstCode);
    });
  });
}

type Half = ServerHttp2Stream | ClientHttp2Stream;

/** Passes bytes on as fast as the other side takes them, and as what is seen can be put away. */
function pump(from: Half, to: Half, see: (data: Buffer) => void, room: ProxyParts["room"]): void {
  from.on("data", (data: Buffer) => {
    see(data);
    const waits: Promise<void>[] = [];
    if (!to.closed && !to.destroyed && !to.writableEnded && !to.write(data)) waits.push(drained(to));
    const wanted = room();
    if (wanted !== undefined) waits.push(wanted);
    if (waits.length === 0) return;
    from.pause();
    void Promise.all(waits).then(() => from.resume());
  });
  from.once("end", () => {
    // A stream that was reset ends as well: that is passed on as a reset.
    if (!from.aborted && !to.closed && !to.writableEnded) to.end();
  });
}

function drained(stream: Half): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.once("drain", done).once("close", done);
  });
}

function requestHeaders(headers: IncomingHttpHeaders, scheme: string): OutgoingHttpHeaders {
  return { ...headers, ":scheme": scheme };
}

/** `sendDate` is node's and not in its types: without it node would add a date. */
function respondOptions(trailersOnly: boolean): ServerStreamResponseOptions {
  return { endStream: trailersOnly, waitForTrailers: !trailersOnly, ...{ sendDate: false } };
}

/** As they came. */
function answerHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return { ...headers };
}
