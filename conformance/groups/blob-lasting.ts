/** What the blob store keeps after its process was killed; uploads are uploads.ts. */
import assert from "node:assert/strict";
import type { Test } from "../contract.ts";
import { isNotFound, move, put, read, remove, stat, texts } from "./blob-calls.ts";
import { names } from "./key-sets.ts";

export const blobLastingTests: readonly Test[] = [
  {
    id: "blob.durable.01/random",
    title: "what was acknowledged is there after kill -9: Puts, overwrites, Moves, Deletes",
    requires: { capability: "DURABLE", start: true },
    timeoutMs: 90_000,
    async run(ctx) {
      const keys = names(ctx.prefix, 16);
      const due = new Map<string, string>();
      for (let life = 0; life < 3; life++) {
        const peer = ctx.connect();
        for (let turn = 0; turn < 14; turn++) {
          const [key, other] = ctx.random.shuffled(keys) as [string, string];
          const text = due.get(key);
          const kind = ctx.random.between(0, 9);
          if (kind < 2) {
            await remove(peer, key);
            due.delete(key);
          } else if (kind < 4 && text !== undefined) {
            await move(peer, key, other);
            due.set(other, text).delete(key);
          } else {
            await put(peer, key, `life ${life} turn ${turn}`);
            due.set(key, `life ${life} turn ${turn}`);
          }
        }
        await ctx.driver.kill();
        await ctx.driver.start();
        const after = ctx.connect();
        const shape = keys.map((key) => due.get(key));
        assert.deepEqual(await texts(after, keys), shape, `after ${life + 1} kills, Read`);
        const there = await stat(after, keys);
        assert.deepEqual(
          keys.map((key) => there.has(key)),
          shape.map((text) => text !== undefined),
          `after ${life + 1} kills, Stat`,
        );
      }
    },
  },
  {
    id: "blob.durable.01/under-way",
    title: "killed in the middle of Puts it keeps each whole or not at all, and every acknowledged one",
    requires: { capability: "DURABLE", start: true },
    timeoutMs: 90_000,
    async run(ctx) {
      const sizeBytes = 300_000;
      const content = (turn: number) =>
        Buffer.from(`${turn} `.padEnd(12))
          .toString()
          .repeat(sizeBytes / 12);
      const writers = names(ctx.prefix, 3).map((key) => ({ key, sent: 0, kept: 0 }));
      for (let life = 0; life < 2; life++) {
        let enough: () => void = () => {};
        const busy = new Promise<void>((resolve) => {
          enough = resolve;
        });
        const work = async (writer: { readonly key: string; sent: number; kept: number }) => {
          const peer = ctx.connect();
          for (let puts = 0; ; puts++) {
            writer.sent++;
            try {
              await put(peer, writer.key, content(writer.sent));
            } catch {
              return; // The kill: whether this one happened is open.
            }
            writer.kept = writer.sent;
            if (puts === 4 + 3 * life) enough();
          }
        };
        const working = Promise.all(writers.map(work));
        await Promise.race([busy, working]);
        await ctx.driver.kill();
        await working;
        await ctx.driver.start();
        const peer = ctx.connect();
        for (const writer of writers) {
          const bytes = await read(peer, { key: writer.key }).then(
            (found) => found.bytes.toString(),
            (error) => {
              if (isNotFound(error)) return "";
              throw error;
            },
          );
          const turn = bytes === "" ? 0 : Number(bytes.slice(0, 12));
          assert.ok(
            turn >= writer.kept && turn <= writer.sent,
            `${writer.key} holds Put ${turn}; ${writer.kept} was acknowledged, ${writer.sent} sent (0: nothing)`,
          );
          if (turn > 0)
            assert.ok(bytes === content(turn), `${writer.key} holds Put ${turn} in part: ${bytes.length} bytes`);
          writer.sent = writer.kept = turn;
        }
      }
    },
  },
];
