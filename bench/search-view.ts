/**
 * What the view of search costs (docs/adr/search-view.md): `node --expose-gc --import tsx bench/search-view.ts 100000`.
 * Repositories of three tagged images each, in a store in memory: so the figures are the view's own.
 */
import * as keys from "../registry/repository/keys.ts";
import type { RepositoryOrder } from "../registry/search/contract.ts";
import { encodeRecord, encodeTagRecord } from "../registry/search/record.ts";
import { FakeBackend } from "../test/helpers/fake-stores.ts";
import { context, digestOf, pushImage, startCore } from "../test/registry/repository/world.ts";

const IMAGES = 3;
const PAGE = 50;
const RUNS = 400;

const repositories = Number(process.argv[2] ?? 1000);
const backend = new FakeBackend();
// So that nothing is rebuilt below.
await (await startCore({ backend })).repositories.close();
for (let at = 0; at < repositories; at += 1) fill(`team-${at % 97}/project-${at % 13}/image-${at}`, at);

const { repositories: core } = await startCore({ backend });
const heapBefore = heapBytes();
const [cpuBefore, startedMs] = [process.cpuUsage(), performance.now()];
await core.search.view(context());
const loadMs = performance.now() - startedMs;
const { user, system } = process.cpuUsage(cpuBefore);
const heapMiB = (heapBytes() - heapBefore) / 2 ** 20;

const pages: Record<string, number> = {};
for (const order of ["name", "updated", "downloads"] as const) {
  for (const offset of [0, 1000]) {
    if (offset + PAGE <= repositories)
      pages[`${order}, from ${offset}`] = await median(RUNS, () => page(order, offset));
  }
}
let pushes = 0;
const afterPush = await median(50, async () => {
  pushes += 1;
  await pushImage(core, `team-${pushes}/new`, ["latest"], {});
  return look();
});
await core.close();
const figures = { loadMs, loadCpuMs: (user + system) / 1000, heapMiB, ...pages, "a look after a push": afterPush };
console.log(JSON.stringify({ repositories, images: IMAGES * repositories, ...rounded(figures) }, undefined, 2));

function fill(name: string, at: number): void {
  const config = { digest: digestOf(name), sizeBytes: 3000, mediaType: "application/vnd.oci.image.config.v1+json" };
  const layers = Array.from({ length: 8 }, () => ({ digest: config.digest, sizeBytes: 12_345_678 }));
  const history = layers.map(() => ({ created: "2024-01-01T00:00:00Z", createdBy: '/bin/sh -c #(nop) CMD ["x"]' }));
  for (let image = 0; image < IMAGES; image += 1) {
    const digest = digestOf(`${name} ${image}`);
    const record = encodeRecord(
      {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        sizeBytes: 1234,
        artifactType: config.mediaType,
        annotations: { "org.opencontainers.image.revision": digest.slice(7, 47) },
        config,
        layers,
        image: { os: "linux", arch: image % 2 === 0 ? "amd64" : "arm64", created: "2024-01-01T00:00:00Z", history },
      },
      { pushedMs: 1_700_000_000_000 + at },
    );
    const taggedMs = 1_700_000_000_000 + ((at * 7) % 1_000_003);
    backend.putMeta(keys.imageKey(name, digest), record);
    backend.putMeta(keys.searchTagKey(name, `v1.${image}`), encodeTagRecord({ digest, taggedMs }));
    if (image === 0) {
      const pulls = { count: (at * 31) % 1009, lastMs: taggedMs };
      backend.putMeta(keys.pullsKey(name, digest), JSON.stringify(pulls));
    }
  }
}

/** @returns ms */
async function look(): Promise<number> {
  const began = performance.now();
  await core.search.view(context());
  return performance.now() - began;
}

/** @returns ms, with the look at what was changed */
async function page(order: RepositoryOrder, offset: number): Promise<number> {
  const began = performance.now();
  const view = await core.search.view(context());
  let count = 0;
  for (const repository of view.repositories(order, offset)) {
    for (const { digest } of repository.tags()) void repository.image(digest)?.platforms;
    count += 1;
    if (count === PAGE) break;
  }
  return performance.now() - began;
}

async function median(runs: number, measure: () => Promise<number>): Promise<number> {
  const taken: number[] = [];
  for (let run = 0; run < runs; run += 1) taken.push(await measure());
  return taken.sort((a, b) => a - b)[Math.floor(runs / 2)] ?? 0;
}

function heapBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

function rounded(figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Number(value.toPrecision(3))]));
}
