/** Readiness that was refused once: asked anew, not for good. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Readiness } from "../../client/readiness.ts";
import { settle } from "./fakes.ts";

test("who asks after a refusal gets the present one, or waits anew", async () => {
  let now: Error | undefined = new Error("too old");
  const readiness = new Readiness(() => now);
  const first = readiness.promise();
  readiness.reject(now);
  await assert.rejects(first, /too old/);
  now = new Error("another store");
  await assert.rejects(readiness.promise(), /another store/);
  now = undefined;
  let resolved = false;
  const waiting = readiness.promise().then(() => {
    resolved = true;
  });
  await settle();
  assert.equal(resolved, false);
  readiness.resolve();
  await waiting;
});

test("what became ready while nobody asked is ready, and stays so", async () => {
  const readiness = new Readiness(() => undefined);
  readiness.reject(new Error("too old"));
  readiness.resolve();
  await readiness.promise();
  readiness.reject(new Error("another store"));
  await readiness.promise();
});
