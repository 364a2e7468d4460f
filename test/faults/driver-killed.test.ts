/**
 * The driver dies by kill -9 and starts again, over and over, in the middle of pushes and pulls: the client's single HTTP
 * request succeeds and the bytes are right.
 */
import assert from "node:assert/strict";
import { after, describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { deferred } from "../helpers/gates.ts";
import { type Load, paced, startLoad } from "../helpers/load.ts";
import { type Content, image, seededContent } from "../helpers/oci.ts";
import { type DriverProcess, startDriver, startPair } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { type Random, randomOf, seedOf } from "../helpers/random.ts";
import type { RegistryClient } from "../helpers/registry-client.ts";

const KILLS = 100;
const KILLS_WITHIN_COMMIT = 20;
const MIB = 1024 * 1024;

/** One driver on one root and one socket, killed and started again. */
class Victim {
  readonly #scope: Scope;
  readonly #root: string;
  #driver: DriverProcess;
  kills = 0;

  constructor(scope: Scope, root: string, driver: DriverProcess) {
    this.#scope = scope;
    this.#root = root;
    this.#driver = driver;
  }

  /** Back once the next process listens. */
  async kill(): Promise<void> {
    assert.equal(this.#driver.process.exit, undefined, `the driver ended by itself: ${this.#driver.process.tail()}`);
    await this.#driver.process.kill();
    this.kills++;
    this.#driver = await startDriver(this.#scope, { root: this.#root, address: this.#driver.address });
  }
}

/** Kills at random moments, 50 to 500 ms after the driver was up again. */
async function killAtRandom(victim: Victim, random: Random, load: Load): Promise<void> {
  const enough = victim.kills + KILLS;
  while (victim.kills < enough) {
    await sleep(random.between(50, 500));
    await victim.kill();
  }
  await load.finish();
}

describe("a driver killed with -9", () => {
  const scope = new Scope();
  after(scope.close);

  async function set(
    t: TestContext,
  ): Promise<{ client: RegistryClient; victim: Victim; random: Random; seed: number }> {
    const seed = seedOf(t);
    const { driver, registry, root } = await startPair(scope);
    return { client: registry.client, victim: new Victim(scope, root, driver), random: randomOf(seed), seed };
  }

  it(`survives ${KILLS} kills during pushes`, async (t) => {
    const { client, victim, random, seed } = await set(t);
    const pushed: { readonly name: string; readonly content: Content }[] = [];
    const manifests = new Map<string, string[]>();
    let longest = 0;
    const load = startLoad(4, async (number) => {
      const content = seededContent(`${seed}/${number}`, random.between(1, 4) * MIB + random.between(0, 999));
      // Few to a repository: who is first in one races with the others.
      const name = `faults/push-${number >> 2}`;
      const started = performance.now();
      // 2 MiB/s: most pushes see several kills.
      await client.pushBlob(name, content, { body: paced(content.read(), 2 * MIB) });
      pushed.push({ name, content });
      const small = image({ seed: `${seed}/image/${number}`, layerBytes: [1000] });
      for (const blob of small.blobs) await client.pushBlob(name, blob);
      await client.putManifest(name, `n${number}`, small.manifest);
      manifests.set(name, [...(manifests.get(name) ?? []), `n${number}`].sort());
      longest = Math.max(longest, performance.now() - started);
    });
    await killAtRandom(victim, random, load);
    t.diagnostic(
      `${victim.kills} kills, ${pushed.length} blobs and images pushed, the slowest in ${Math.round(longest)} ms`,
    );
    assert.ok(pushed.length >= KILLS / 5, `only ${pushed.length} pushes`);
    for (const { name, content } of pushed) await client.pullBlob(name, content);
    for (const [name, tags] of manifests) assert.deepEqual((await client.tags(name)).sort(), tags);
  });

  it(`survives ${KILLS_WITHIN_COMMIT} kills within a commit`, async (t) => {
    const { client, victim, random, seed } = await set(t);
    // How long a commit takes here when nobody disturbs it: from the last byte sent to the answer.
    let usualMs = 0;
    for (let round = 0; round < 3; round++) {
      const { tookMs } = await pushWithCommit(
        client,
        seededContent(`${seed}/usual/${round}`, 8 * MIB),
        async () => Number.POSITIVE_INFINITY,
      );
      usualMs = Math.max(usualMs, tookMs);
    }
    let within = 0;
    let attempts = 0;
    while (within < KILLS_WITHIN_COMMIT) {
      assert.ok(attempts++ < 10 * KILLS_WITHIN_COMMIT, `${within} kills within a commit in ${attempts} attempts`);
      const content = seededContent(`${seed}/${attempts}`, 8 * MIB + attempts);
      const { answeredFirst } = await pushWithCommit(client, content, async () => {
        await sleep(random.next() * usualMs);
        const killedMs = performance.now();
        await victim.kill();
        return killedMs;
      });
      if (!answeredFirst) within++;
      await client.pullBlob("faults/commit", content);
    }
    t.diagnostic(`${within} of ${attempts} kills hit a commit; undisturbed it takes ${usualMs.toFixed(1)} ms`);
  });

  it(`survives ${KILLS} kills during pulls`, async (t) => {
    const { client, victim, random, seed } = await set(t);
    const blobs = [1, 5, 20, 40].map((mib) => seededContent(`${seed}/${mib}`, mib * MIB + mib));
    for (const blob of blobs) await client.pushBlob("faults/pull", blob);
    const pushed = image({ seed: `${seed}`, layerBytes: [1000] });
    await client.pushImage("faults/pull", pushed, "tag");
    let cut = 0;
    const load = startLoad(4, async () => {
      const before = victim.kills;
      await client.pullBlob("faults/pull", random.pick(blobs), { bytesPerSecond: 10 * MIB });
      if (victim.kills > before) cut++;
      assert.equal((await client.getManifest("faults/pull", "tag")).digest, pushed.manifest.digest);
    });
    await killAtRandom(victim, random, load);
    t.diagnostic(`${victim.kills} kills, ${load.done} pulls, ${cut} of them saw a kill`);
    assert.ok(cut >= KILLS / 5, `only ${cut} pulls saw a kill`);
  });
});

/** @param atCommit begins the moment the last byte is handed to the connection; answers when it struck */
async function pushWithCommit(
  client: RegistryClient,
  content: Content,
  atCommit: () => Promise<number>,
): Promise<{ tookMs: number; answeredFirst: boolean }> {
  const { promise: lastByte, resolve: sent } = deferred();
  function* body() {
    yield* content.read();
    sent();
  }
  let answeredMs: number | undefined;
  const push = client.pushBlob("faults/commit", content, { body: body() }).then(() => {
    answeredMs = performance.now();
  });
  push.catch(() => sent()); // told below
  await lastByte;
  const started = performance.now();
  const [struckMs] = await Promise.all([atCommit(), push]);
  return { tookMs: (answeredMs ?? 0) - started, answeredFirst: (answeredMs ?? 0) < struckMs };
}
