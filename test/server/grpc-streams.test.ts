import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Writable } from "node:stream";
import { test } from "node:test";
import { limits } from "../../proto/limits.ts";
import { senderTo } from "../../server/grpc-streams.ts";

test("a stalled reader's stream takes two chunks and no third", async () => {
  const written: (() => void)[] = [];
  const call = Object.assign(new EventEmitter(), {
    cancelled: false,
    writableEnded: false,
    write: (_message: unknown, taken: () => void) => written.push(taken),
  });
  const send = senderTo<object>(call as unknown as Writable & { cancelled: boolean });
  let sent = 0;
  const sending = (async () => {
    for (;;) {
      await send({}, limits.preferredChunkBytes);
      sent++;
    }
  })();
  const ended = assert.rejects(sending, /the caller has gone/);
  await new Promise(setImmediate);
  assert.equal(written.length, 2);
  assert.equal(sent, 1);
  written[0]?.();
  await new Promise(setImmediate);
  assert.equal(written.length, 3);
  assert.equal(sent, 2);
  call.cancelled = true;
  call.emit("cancelled");
  await ended;
});
