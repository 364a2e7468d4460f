/** `outrigger describe`: a driver, and everything else that may answer at an address. */
import assert from "node:assert/strict";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { test } from "node:test";
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import { contract } from "../../proto/load.ts";
import { startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { freePort } from "../helpers/temp.ts";
import { onlyLine, outrigger } from "./cli.ts";

test("describe shows a driver's stores, and as JSON all that it said", async (t) => {
  const scope = new Scope();
  t.after(scope.close);
  const { address } = await startDriver(scope, { driver: "memory" });
  const page = await outrigger(["describe", address]);
  assert.equal(page.code, 0, page.stderr);
  assert.match(page.stdout, /^driver +io\.outrigger\.memory \d/m);
  assert.match(page.stdout, /^outrigger\.blob +1\.0$/m);
  const json = JSON.parse((await outrigger(["describe", address, "--json"])).stdout);
  assert.deepEqual(json.stores.map((store: { kind: string }) => store.kind).sort(), [
    "STORE_KIND_BLOB",
    "STORE_KIND_META",
  ]);
  for (const store of json.stores) assert.ok(page.stdout.includes(store.id));
});

test("describe where nobody listens", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  const ended = await outrigger(["describe", address]);
  assert.equal(ended.code, 1);
  assert.equal(onlyLine(ended), `outrigger: nobody listens at ${address}: start the driver there, or give its address`);
});

test("describe of what is no address", async () => {
  for (const wrong of ["here", "http://127.0.0.1:5000", "unix://relative.sock", "127.0.0.1"]) {
    const ended = await outrigger(["describe", wrong]);
    assert.equal(ended.code, 1);
    assert.match(
      onlyLine(ended),
      /is not an address: write unix:\/\/\/path\/driver\.sock, host:port or dns:\/\/\/name:port$/,
    );
  }
});

test("describe of an HTTP server", async (t) => {
  const server = createHttpServer((_, response) => response.end("hello"));
  const ended = await outrigger(["describe", await listen(t.after.bind(t), server)]);
  assert.equal(ended.code, 1);
  assert.match(onlyLine(ended), /is not an Outrigger driver/);
});

test("describe of a port that accepts and says nothing ends in time", async (t) => {
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((socket) => sockets.add(socket.on("error", () => undefined)));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  const ended = await outrigger(["describe", await listen(t.after.bind(t), server)]);
  assert.equal(ended.code, 1);
  assert.match(onlyLine(ended), /did not answer within 5 s/);
});

test("describe of a gRPC server that is no driver", async (t) => {
  const server = new GrpcServer();
  server.addService(contract().health.service, {});
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.after(() => server.forceShutdown());
  const ended = await outrigger(["describe", `127.0.0.1:${port}`]);
  assert.equal(ended.code, 1);
  assert.match(onlyLine(ended), /is not an Outrigger driver: it speaks gRPC, but has no handshake$/);
});

async function listen(after: (close: () => void) => void, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
