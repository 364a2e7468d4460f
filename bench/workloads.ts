/** What is measured: each workload drives one registry over HTTP and answers a rate. */

import { encodeHead, type HttpAnswer, type HttpAsk, HttpConnection } from "./http-client.ts";
import { type BenchBlob, type BenchImage, largeBlob, makeImage } from "./images.ts";

const ACCEPT = "application/vnd.oci.image.manifest.v1+json";

/** Throws unless the status is the one wanted: a fast error is not a result. */
export function expectStatus(answer: HttpAnswer, wanted: number, what: string): HttpAnswer {
  if (answer.status !== wanted) {
    throw new Error(`${what}: ${answer.status} instead of ${wanted} ${answer.body.toString("utf8", 0, 300)}`);
  }
  return answer;
}

/** The upload URL with its digest, from a POST's Location (absolute or relative). */
function uploadPath(location: string | undefined, digest: string): string {
  if (location === undefined) throw new Error("POST answered without Location");
  const path = location.replace(/^https?:\/\/[^/]+/, "");
  return `${path}${path.includes("?") ? "&" : "?"}digest=${encodeURIComponent(digest)}`;
}

export async function pushBlob(
  connection: HttpConnection,
  name: string,
  blob: BenchBlob | { digest: string; lengthBytes: number; of: () => Iterable<Buffer> },
): Promise<void> {
  const begun = await connection.ask({ method: "POST", path: `/v2/${name}/blobs/uploads/`, keep: true });
  expectStatus(begun, 202, "POST upload");
  const path = uploadPath(begun.headers["location"], blob.digest);
  const headers = { "Content-Type": "application/octet-stream" };
  const ask: HttpAsk =
    "bytes" in blob
      ? { method: "PUT", path, headers, body: blob.bytes, keep: true }
      : { method: "PUT", path, headers, pieces: blob, keep: true };
  expectStatus(await connection.ask(ask), 201, "PUT blob");
}

/** HEAD, POST, PUT for each blob, then the manifest: what a client does. */
export async function pushImage(
  connection: HttpConnection,
  name: string,
  tag: string,
  image: BenchImage,
): Promise<void> {
  for (const blob of [...image.layers, image.config]) {
    expectStatus(await connection.ask({ method: "HEAD", path: `/v2/${name}/blobs/${blob.digest}` }), 404, "HEAD blob");
    await pushBlob(connection, name, blob);
  }
  const put = await connection.ask({
    method: "PUT",
    path: `/v2/${name}/manifests/${tag}`,
    headers: { "Content-Type": image.mediaType },
    body: image.manifest.bytes,
    keep: true,
  });
  expectStatus(put, 201, "PUT manifest");
}

async function pullImage(connection: HttpConnection, name: string, tag: string, image: BenchImage): Promise<void> {
  const path = `/v2/${name}/manifests/${tag}`;
  expectStatus(await connection.ask({ method: "HEAD", path, headers: { Accept: ACCEPT } }), 200, "HEAD manifest");
  expectStatus(await connection.ask({ method: "GET", path, headers: { Accept: ACCEPT } }), 200, "GET manifest");
  for (const blob of [image.config, ...image.layers]) {
    const got = await connection.ask({ method: "GET", path: `/v2/${name}/blobs/${blob.digest}` });
    expectStatus(got, 200, "GET blob");
    if (got.bodyBytes !== blob.bytes.length)
      throw new Error(`GET blob: ${got.bodyBytes} of ${blob.bytes.length} bytes`);
  }
}

/** Runs `work` from `width` connections until `seconds` have passed; answers completions per second. */
async function rateOver(
  port: number,
  width: number,
  seconds: number,
  work: (connection: HttpConnection, lane: number, turn: number) => Promise<unknown>,
): Promise<number> {
  const connections = await Promise.all(Array.from({ length: width }, () => HttpConnection.open(port)));
  try {
    let done = 0;
    const begun = performance.now();
    const end = begun + seconds * 1000;
    await Promise.all(
      connections.map(async (connection, lane) => {
        for (let turn = 0; performance.now() < end; turn++) {
          await work(connection, lane, turn);
          done++;
        }
      }),
    );
    return done / ((performance.now() - begun) / 1000);
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** One request, over and over, on `width` connections: requests per second. Half a second of it is warm-up. */
export async function repeat(port: number, width: number, seconds: number, ask: HttpAsk): Promise<number> {
  const head = encodeHead(ask);
  const isHead = ask.method === "HEAD";
  const once = async (connection: HttpConnection) => {
    const answer = await connection.askEncoded(head, isHead);
    if (answer.status !== 200) expectStatus(answer, 200, `${ask.method} ${ask.path}`);
  };
  await rateOver(port, width, 0.5, once);
  return await rateOver(port, width, seconds, once);
}

/** As long before every target's pushes are counted: a push goes through more code than one request over and over. */
const PUSH_WARM_UP_SECONDS = 3;

export interface SmallResults {
  readonly manifestGet: number;
  readonly manifestHead: number;
  readonly blobGet: number;
  readonly blobHead: number;
  readonly tagsList: number;
  readonly imagesPushed: number;
  readonly imagesPulled: number;
}

/** Requests a second, 16 connections; images a second, 8 at once (5 layers of 64 KiB). */
export async function smallWork(port: number, seconds: number): Promise<SmallResults> {
  const one = await HttpConnection.open(port);
  const image = makeImage(5, 20 * 1024);
  for (let tag = 0; tag < 50; tag++) {
    if (tag === 0) await pushImage(one, "bench/small", "t0", image);
    else {
      const put = await one.ask({
        method: "PUT",
        path: `/v2/bench/small/manifests/t${tag}`,
        headers: { "Content-Type": image.mediaType },
        body: image.manifest.bytes,
        keep: true,
      });
      expectStatus(put, 201, "PUT manifest");
    }
  }
  one.close();
  const layer = image.layers[0]?.digest ?? "";
  const manifest = { path: "/v2/bench/small/manifests/t7", headers: { Accept: ACCEPT } };
  const manifestGet = await repeat(port, 16, seconds, { method: "GET", ...manifest });
  const manifestHead = await repeat(port, 16, seconds, { method: "HEAD", ...manifest });
  const blobGet = await repeat(port, 16, seconds, { method: "GET", path: `/v2/bench/small/blobs/${layer}` });
  const blobHead = await repeat(port, 16, seconds, { method: "HEAD", path: `/v2/bench/small/blobs/${layer}` });
  const tagsList = await repeat(port, 16, seconds, { method: "GET", path: "/v2/bench/small/tags/list" });

  const pushed: { name: string; image: BenchImage }[] = [];
  // Made before the clock starts: hashing them is the client's work.
  const stock = Array.from({ length: Math.ceil((seconds + PUSH_WARM_UP_SECONDS) * 150) }, () =>
    makeImage(5, 64 * 1024),
  );
  let next = 0;
  const push = async (connection: HttpConnection, lane: number) => {
    const fresh = stock[next++] ?? makeImage(5, 64 * 1024);
    const name = `bench/push${lane}`;
    await pushImage(connection, name, `v${next}`, fresh);
    pushed.push({ name, image: fresh });
  };
  await rateOver(port, 8, PUSH_WARM_UP_SECONDS, push);
  const imagesPushed = await rateOver(port, 8, seconds, push);
  const tagged = pushed.slice(0, 40);
  for (const [index, each] of tagged.entries()) {
    const connection = await HttpConnection.open(port);
    const put = await connection.ask({
      method: "PUT",
      path: `/v2/${each.name}/manifests/pull${index}`,
      headers: { "Content-Type": each.image.mediaType },
      body: each.image.manifest.bytes,
      keep: true,
    });
    expectStatus(put, 201, "PUT manifest");
    connection.close();
  }
  const imagesPulled = await rateOver(port, 8, seconds, async (connection, lane, turn) => {
    const index = (lane * 5 + turn) % tagged.length;
    const each = tagged[index];
    if (each !== undefined) await pullImage(connection, each.name, `pull${index}`, each.image);
  });
  return { manifestGet, manifestHead, blobGet, blobHead, tagsList, imagesPushed, imagesPulled };
}

/** Puts one tiny manifest into `count` repositories. */
export async function fillCatalog(port: number, count: number, from = 0): Promise<void> {
  const image = makeImage(0, 0);
  let next = from;
  const lanes = Array.from({ length: 8 }, async () => {
    const connection = await HttpConnection.open(port);
    for (let index = next++; index < count; index = next++) {
      const name = `catalog/r${String(index).padStart(6, "0")}`;
      await pushBlob(connection, name, image.config);
      const put = await connection.ask({
        method: "PUT",
        path: `/v2/${name}/manifests/latest`,
        headers: { "Content-Type": image.mediaType },
        body: image.manifest.bytes,
        keep: true,
      });
      expectStatus(put, 201, "PUT manifest");
    }
    connection.close();
  });
  await Promise.all(lanes);
}

/** Catalog pages of 100 a second, from the middle, 16 connections. */
export function catalogPages(port: number, count: number, seconds: number): Promise<number> {
  const last = `catalog/r${String(Math.floor(count / 2)).padStart(6, "0")}`;
  return repeat(port, 16, seconds, { method: "GET", path: `/v2/_catalog?n=100&last=${encodeURIComponent(last)}` });
}

export interface LargeResults {
  readonly pushMiBs: number;
  readonly pullMiBs: number;
  readonly pullEightMiBs: number;
}

/** One large blob pushed, pulled, and pulled eight at once: MiB a second. The better of two turns each: the disk is noisy. */
export async function largeWork(port: number, sizeBytes: number): Promise<LargeResults> {
  const mib = sizeBytes / 2 ** 20;
  let pushMiBs = 0;
  let digest = "";
  for (let turn = 0; turn < 2; turn++) {
    const blob = largeBlob(sizeBytes, 77 + turn);
    digest = blob.digest;
    const connection = await HttpConnection.open(port);
    const begun = performance.now();
    await pushBlob(connection, "bench/large", blob);
    pushMiBs = Math.max(pushMiBs, mib / ((performance.now() - begun) / 1000));
    connection.close();
  }
  const pull = async () => {
    const connection = await HttpConnection.open(port);
    const got = await connection.ask({ method: "GET", path: `/v2/bench/large/blobs/${digest}` });
    expectStatus(got, 200, "GET large");
    if (got.bodyBytes !== sizeBytes) throw new Error(`GET large: ${got.bodyBytes} of ${sizeBytes} bytes`);
    connection.close();
  };
  let pullMiBs = 0;
  for (let turn = 0; turn < 3; turn++) {
    const begun = performance.now();
    await pull();
    pullMiBs = Math.max(pullMiBs, mib / ((performance.now() - begun) / 1000));
  }
  const begun = performance.now();
  await Promise.all(Array.from({ length: 8 }, pull));
  return { pushMiBs, pullMiBs, pullEightMiBs: (8 * mib) / ((performance.now() - begun) / 1000) };
}

/** `count` pushes of `sizeBytes` at once: MiB a second over all. */
export async function manyLargePushes(port: number, count: number, sizeBytes: number): Promise<number> {
  const blobs = Array.from({ length: count }, (_, index) => largeBlob(sizeBytes, 1000 + index));
  const begun = performance.now();
  await Promise.all(
    blobs.map(async (blob) => {
      const connection = await HttpConnection.open(port);
      await pushBlob(connection, "bench/many", blob);
      connection.close();
    }),
  );
  return (count * sizeBytes) / 2 ** 20 / ((performance.now() - begun) / 1000);
}

/** `count` pullers that ask for a blob of 256 MiB and stop reading; `measure` runs once they have stalled. */
export async function stalledPulls(port: number, count: number, sizeBytes: number, measure: () => void): Promise<void> {
  const blob = largeBlob(sizeBytes, 5);
  const pusher = await HttpConnection.open(port);
  await pushBlob(pusher, "bench/stalled", blob);
  pusher.close();
  const pullers = await Promise.all(Array.from({ length: count }, () => HttpConnection.open(port)));
  for (const puller of pullers) puller.stall({ method: "GET", path: `/v2/bench/stalled/blobs/${blob.digest}` });
  await new Promise((resolve) => setTimeout(resolve, 5000));
  measure();
  for (const puller of pullers) puller.close();
}
