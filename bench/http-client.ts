/**
 * A small HTTP/1.1 client over plain sockets. node:http spends more time on a request than the servers measured here do,
 * so it would measure itself. Understands what registries answer: Content-Length, chunked, HEAD, 204, 304.
 */
import { connect, type Socket } from "node:net";

export interface HttpAnswer {
  readonly status: number;
  /** Lower-case names; of a repeated name the last. */
  readonly headers: Readonly<Record<string, string>>;
  /** Empty unless `keep` was asked. */
  readonly body: Buffer;
  readonly bodyBytes: number;
}

export interface HttpAsk {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A body of known length, or pieces of `bodyBytes` in all. */
  readonly body?: Buffer;
  readonly pieces?: { readonly lengthBytes: number; readonly of: () => Iterable<Buffer> };
  /** Keep the answer's body instead of only counting it. */
  readonly keep?: boolean;
}

const HEAD_END = Buffer.from("\r\n\r\n");

/** One keep-alive connection; one request at a time. */
export class HttpConnection {
  readonly #socket: Socket;
  #parser: AnswerParser | undefined;
  #settle: { resolve: (answer: HttpAnswer) => void; reject: (error: Error) => void } | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (data: Buffer) => this.#onData(data));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the server closed the connection")));
  }

  static open(port: number): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new HttpConnection(socket));
      });
    });
  }

  /** Sends the request and resolves with the whole answer. */
  async ask(ask: HttpAsk): Promise<HttpAnswer> {
    const head = encodeHead(ask);
    const answered = this.#expect(ask.method === "HEAD", ask.keep === true);
    if (ask.body !== undefined) {
      this.#socket.write(Buffer.concat([head, ask.body]));
    } else {
      this.#socket.write(head);
      if (ask.pieces !== undefined) {
        for (const piece of ask.pieces.of()) {
          if (!this.#socket.write(piece)) await drained(this.#socket);
        }
      }
    }
    return await answered;
  }

  /** Sends a request that was encoded before. */
  askEncoded(head: Buffer, isHead: boolean): Promise<HttpAnswer> {
    const answered = this.#expect(isHead, false);
    this.#socket.write(head);
    return answered;
  }

  /** Sends a request and never reads what comes back beyond the kernel's buffers. */
  stall(ask: HttpAsk): void {
    this.#socket.pause();
    this.#socket.write(encodeHead(ask));
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #expect(isHead: boolean, keep: boolean): Promise<HttpAnswer> {
    if (this.#settle !== undefined) throw new Error("one request at a time");
    this.#parser = new AnswerParser(isHead, keep);
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  #onData(data: Buffer): void {
    const answer = this.#parser?.feed(data);
    if (answer === undefined || this.#settle === undefined) return;
    const { resolve } = this.#settle;
    this.#settle = undefined;
    resolve(answer);
  }

  #fail(error: Error): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.reject(error);
  }
}

/** The request's head as bytes, for requests that are repeated. */
export function encodeHead(ask: HttpAsk): Buffer {
  const lengthBytes = ask.body?.length ?? ask.pieces?.lengthBytes;
  let head = `${ask.method} ${ask.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n`;
  for (const [name, value] of Object.entries(ask.headers ?? {})) head += `${name}: ${value}\r\n`;
  if (lengthBytes !== undefined) head += `Content-Length: ${lengthBytes}\r\n`;
  else if (ask.method !== "GET" && ask.method !== "HEAD") head += "Content-Length: 0\r\n";
  return Buffer.from(`${head}\r\n`, "latin1");
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDrain = () => {
      socket.off("close", onClose);
      resolve();
    };
    const onClose = () => {
      socket.off("drain", onDrain);
      reject(new Error("the server closed the connection"));
    };
    socket.once("drain", onDrain);
    socket.once("close", onClose);
  });
}

class AnswerParser {
  readonly #isHead: boolean;
  readonly #keep: boolean;
  #head: Buffer | undefined;
  #status = 0;
  #headers: Record<string, string> = {};
  #kept: Buffer[] = [];
  #bodyBytes = 0;
  #wantBytes = -1;
  #chunked: Buffer | undefined;

  constructor(isHead: boolean, keep: boolean) {
    this.#isHead = isHead;
    this.#keep = keep;
  }

  /** The answer once it is whole. */
  feed(data: Buffer): HttpAnswer | undefined {
    if (this.#wantBytes >= 0 || this.#chunked !== undefined) return this.#body(data);
    const whole = this.#head === undefined ? data : Buffer.concat([this.#head, data]);
    const end = whole.indexOf(HEAD_END);
    if (end < 0) {
      this.#head = whole;
      return undefined;
    }
    this.#parseHead(whole.toString("latin1", 0, end));
    // 100 Continue and its like precede the answer itself.
    if (this.#status < 200) {
      this.#head = undefined;
      return end + 4 < whole.length ? this.feed(whole.subarray(end + 4)) : undefined;
    }
    if (this.#isHead || this.#status === 204 || this.#status === 304) return this.#done();
    if (this.#headers["transfer-encoding"] === "chunked") this.#chunked = Buffer.alloc(0);
    else this.#wantBytes = Number(this.#headers["content-length"] ?? 0);
    return this.#body(whole.subarray(end + 4));
  }

  #parseHead(text: string): void {
    const lines = text.split("\r\n");
    this.#status = Number(lines[0]?.slice(9, 12));
    this.#headers = {};
    for (let i = 1; i < lines.length; i++) {
      const line = lines[i] ?? "";
      const colon = line.indexOf(":");
      this.#headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
  }

  #body(data: Buffer): HttpAnswer | undefined {
    if (this.#chunked !== undefined) return this.#chunk(data);
    this.#take(data);
    return this.#bodyBytes >= this.#wantBytes ? this.#done() : undefined;
  }

  #chunk(data: Buffer): HttpAnswer | undefined {
    let rest = Buffer.concat([this.#chunked ?? Buffer.alloc(0), data]);
    for (;;) {
      const end = rest.indexOf("\r\n");
      if (end < 0) break;
      const lengthBytes = Number.parseInt(rest.toString("latin1", 0, end), 16);
      if (rest.length < end + 2 + lengthBytes + 2) break;
      this.#take(rest.subarray(end + 2, end + 2 + lengthBytes));
      rest = rest.subarray(end + 2 + lengthBytes + 2);
      if (lengthBytes === 0) return this.#done();
    }
    this.#chunked = rest;
    return undefined;
  }

  #take(data: Buffer): void {
    this.#bodyBytes += data.length;
    if (this.#keep) this.#kept.push(data);
  }

  #done(): HttpAnswer {
    return {
      status: this.#status,
      headers: this.#headers,
      body: Buffer.concat(this.#kept),
      bodyBytes: this.#bodyBytes,
    };
  }
}
