/**
 * `npm run bench -- cluster [--quick] [--write]`: what it costs that three registries answer as one (a catalog page, a
 * manifest and a large blob through a member that does not own them), and a page of a search over 1,000, 10,000 and
 * 100,000 repositories. Ratios of one run; `--write` puts the tables into docs/reference/bench-cluster.md.
 */
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { memberList } from "../registry/members/owners.ts";
import { type HttpAsk, HttpConnection } from "./http-client.ts";
import { largeBlob, makeImage } from "./images.ts";
import { freePort, type OutriggerMode, startOutrigger, type Target } from "./targets.ts";
import { expectStatus, fillCatalog, pushBlob, pushImage, repeat } from "./workloads.ts";

const IDS = ["a", "b", "c"] as const;
/** A search looks at what was changed in the last half a minute: what was pushed to be measured is no part of it. */
const SETTLE_MS = 35_000;

/** Each with its own driver; any of them answers for all. */
async function startCluster(mode: OutriggerMode, folder: string): Promise<Target[]> {
  mkdirSync(folder, { recursive: true });
  const keyFile = join(folder, "peers.key");
  writeFileSync(keyFile, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
  const ports = await Promise.all(IDS.map(() => freePort()));
  const members = Object.fromEntries(IDS.map((id, index) => [id, { url: `http://127.0.0.1:${ports[index]}` }]));
  const started: Target[] = [];
  try {
    // One after the other: none waits for the others to serve.
    for (const [index, self] of IDS.entries()) {
      const port = ports[index] ?? 0;
      const cluster = { self, members, peers: { keyFile }, partial: "allow" };
      started.push(await startOutrigger(mode, join(folder, self), { port, config: { cluster } }));
    }
    return started;
  } catch (error) {
    for (const member of started) await member.stop();
    throw error;
  }
}

interface Compared {
  readonly what: string;
  readonly unit: string;
  readonly decimals: number;
  readonly base: number;
  readonly ours: number;
  /** Of `ours` to `base`. */
  readonly goal: string;
  /** By a proxy that does nothing else: what the way alone costs. */
  readonly bare?: number;
}

interface Rates {
  readonly ms: number;
  readonly rate: number;
}

/** Passes requests on, and answers back, over connections that it keeps; looks at nothing. */
const BARE_PROXY = `
const http = require("node:http");
const [, to] = process.argv;
const agent = new http.Agent({ keepAlive: true });
const server = http.createServer((request, response) => {
  const { method, url: path, headers } = request;
  const outgoing = http.request({ host: "127.0.0.1", port: to, method, path, headers, agent }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  request.pipe(outgoing);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(String(server.address().port)));
`;

async function withBareProxy<Result>(to: number, act: (port: number) => Promise<Result>): Promise<Result> {
  const proxy = spawn(process.execPath, ["-e", BARE_PROXY, String(to)], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [said] = await once(proxy.stdout, "data");
    return await act(Number(said));
  } finally {
    proxy.kill();
    await once(proxy, "exit");
  }
}

/** Of one request, over and over: how long one asker waits, and how many 16 get answered. */
async function both(port: number, seconds: number, ask: HttpAsk): Promise<Rates> {
  const ms = 1000 / (await repeat(port, 1, seconds, ask));
  return { ms, rate: await repeat(port, 16, seconds, ask) };
}

function rowsOf(what: string, base: Rates, ours: Rates, most: number, bare?: Rates): Compared[] {
  return [
    { what, unit: "ms", decimals: 2, base: base.ms, ours: ours.ms, goal: `≤ ${most}`, ...(bare && { bare: bare.ms }) },
    {
      what: `${what}, 16 at once`,
      unit: "/s",
      decimals: 0,
      base: base.rate,
      ours: ours.rate,
      goal: `≥ ${(1 / most).toFixed(2)}`,
      ...(bare && { bare: bare.rate }),
    },
  ];
}

/** A catalog page of three members beside that of one registry with as many repositories. */
async function catalog(mode: OutriggerMode, folder: string, count: number, seconds: number): Promise<Compared[]> {
  const last = `catalog/r${String(Math.floor(count / 2)).padStart(6, "0")}`;
  const ask = { method: "GET", path: `/v2/_catalog?n=100&last=${encodeURIComponent(last)}` } as const;
  const one = await startOutrigger(mode, join(folder, "one"));
  let base: Rates;
  try {
    await fillCatalog(one.port, count);
    base = await both(one.port, seconds, ask);
  } finally {
    await one.stop();
  }
  const members = await startCluster(mode, join(folder, "three"));
  try {
    const port = members[0]?.port ?? 0;
    await fillCatalog(port, count);
    const ours = await both(port, seconds, ask);
    return rowsOf(`cores: ${mode.cores}, catalog page of 100 in ${count}`, base, ours, 2.5);
  } finally {
    for (const member of members) await member.stop();
  }
}

/** The same request at the owner and at another member. */
async function routing(mode: OutriggerMode, folder: string, largeBytes: number, seconds: number): Promise<Compared[]> {
  const members = await startCluster(mode, folder);
  try {
    const image = makeImage(1, 1024);
    const any = members[0]?.port ?? 0;
    const one = await HttpConnection.open(any);
    await pushImage(one, "bench/routed", "t", image);
    const blob = largeBlob(largeBytes, 7);
    await pushBlob(one, "bench/routed", blob);
    one.close();
    const ask = { method: "GET", path: "/v2/bench/routed/manifests/t", headers: { Accept: image.mediaType } } as const;
    const owner = memberList(IDS, { by: "rendezvous", key: "", rules: [] }).ownerOf("bench/routed");
    const at = IDS.indexOf(owner as (typeof IDS)[number]);
    const [own, wrong] = [members[at], members[(at + 1) % IDS.length]];
    if (own === undefined || wrong === undefined) throw new Error("nobody owns the repository");
    const path = `/v2/bench/routed/blobs/${blob.digest}`;
    const pulled = {
      base: await pullRate(own.port, path, largeBytes),
      ours: await pullRate(wrong.port, path, largeBytes),
      bare: await withBareProxy(own.port, (port) => pullRate(port, path, largeBytes)),
    };
    const size = `${largeBytes / 2 ** 20} MiB`;
    const blobs: Compared = {
      what: `cores: ${mode.cores}, ${size} through the wrong member${mode.localFile ? "" : ", all bytes over gRPC"}`,
      unit: "MiB/s",
      decimals: 0,
      ...pulled,
      goal: "≥ 0.6",
    };
    if (!mode.localFile) return [blobs];
    return [
      ...rowsOf(
        `cores: ${mode.cores}, manifest GET through the wrong member`,
        await both(own.port, seconds, ask),
        await both(wrong.port, seconds, ask),
        1.6,
        await withBareProxy(own.port, (port) => both(port, seconds, ask)),
      ),
      blobs,
    ];
  } finally {
    for (const member of members) await member.stop();
  }
}

/** MiB a second, the best of three. */
async function pullRate(port: number, path: string, bytes: number): Promise<number> {
  let best = 0;
  for (let turn = 0; turn < 3; turn++) {
    const connection = await HttpConnection.open(port);
    const begun = performance.now();
    const got = expectStatus(await connection.ask({ method: "GET", path }), 200, "GET blob");
    if (got.bodyBytes !== bytes) throw new Error(`GET blob: ${got.bodyBytes} of ${bytes} bytes`);
    best = Math.max(best, bytes / 2 ** 20 / ((performance.now() - begun) / 1000));
    connection.close();
  }
  return best;
}

const pages = {
  "offset 0": page("RepoListWithNewestImage(requestedPage:{limit:50,offset:0,sortBy:UPDATE_TIME})"),
  "offset 900": page("RepoListWithNewestImage(requestedPage:{limit:50,offset:900,sortBy:UPDATE_TIME})"),
  "by name, offset 900": page("RepoListWithNewestImage(requestedPage:{limit:50,offset:900,sortBy:ALPHABETIC_ASC})"),
};

function page(field: string): string {
  const fields = "Page{TotalCount ItemCount} Results{Name LastUpdated Size Platforms{Os Arch} NewestImage{Tag Digest}}";
  return `/v2/_zot/ext/search?query=${encodeURIComponent(`{${field}{${fields}}}`)}`;
}

/** Milliseconds of a page of 50, one asker, by number of repositories. */
async function searchPages(folder: string, counts: readonly number[], seconds: number): Promise<string> {
  const figures: Record<string, number>[] = [];
  const one = await startOutrigger({ cores: "one", localFile: true }, folder);
  try {
    for (const [index, count] of counts.entries()) {
      await fillCatalog(one.port, count, counts[index - 1]);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      const of: Record<string, number> = {};
      for (const [name, path] of Object.entries(pages))
        of[name] = 1000 / (await repeat(one.port, 1, seconds, { method: "GET", path }));
      of["memory"] = one.peaks()["registry"] ?? 0;
      figures.push(of);
    }
  } finally {
    await one.stop();
  }
  const [first = {}] = figures;
  const lines = Object.keys(pages).map((name) => {
    const base = first[name] ?? 0;
    const cells = figures.map((of) => `${(of[name] ?? 0).toFixed(2)} ms (${((of[name] ?? 0) / base).toFixed(2)}×)`);
    return `| page of 50, ${name} | ${cells.join(" | ")} |`;
  });
  return [
    `| repositories | ${counts.map((count) => count.toLocaleString("en-US")).join(" | ")} |`,
    `| --- | ${counts.map(() => "---:").join(" | ")} |`,
    ...lines,
    `| peak memory of the registry | ${figures.map((of) => `${of["memory"]} MiB`).join(" | ")} |`,
  ].join("\n");
}

function table(rows: readonly Compared[]): string {
  return [
    "| | alone, or at the owner | in the cluster | ratio | goal | a bare proxy's ratio |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...rows.map(({ what, unit, decimals, base, ours, goal, bare }) => {
      const ratio = (value: number) => (value / base).toFixed(2);
      const cells = [`${base.toFixed(decimals)} ${unit}`, `${ours.toFixed(decimals)} ${unit}`, ratio(ours), goal];
      return `| ${[what, ...cells, bare === undefined ? "" : ratio(bare)].join(" | ")} |`;
    }),
  ].join("\n");
}

export async function benchCluster(args: readonly string[]): Promise<void> {
  const { values: options } = parseArgs({
    args: [...args],
    options: { quick: { type: "boolean", default: false }, write: { type: "boolean", default: false } },
  });
  const seconds = options.quick ? 1 : 5;
  const largeBytes = (options.quick ? 256 : 1024) * 2 ** 20;
  const counts = options.quick ? [1000, 3000] : [1000, 10_000, 100_000];
  const folder = mkdtempSync(join(tmpdir(), "outrigger-bench-"));
  try {
    execFileSync("npm", ["run", "-s", "build"], { stdio: ["ignore", "inherit", "inherit"] });
    const rows: Compared[] = [];
    for (const cores of ["many", "one"] as const) {
      const mode = { cores, localFile: true };
      rows.push(...(await catalog(mode, join(folder, `catalog-${cores}`), options.quick ? 1000 : 10_000, seconds)));
      rows.push(...(await routing(mode, join(folder, `routing-${cores}`), largeBytes, seconds)));
    }
    rows.push(
      ...(await routing({ cores: "many", localFile: false }, join(folder, "routing-grpc"), largeBytes, seconds)),
    );
    const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
    const report = [
      `Measured ${new Date().toISOString().slice(0, 10)} on ${machine}; LOCAL_FILE. All members share the machine, so a request that goes through two of them has half the processor for each. A bare proxy is node:http in a process of its own that passes requests on to the owner and looks at nothing: what a hop costs at least.`,
      table(rows),
      "A page of a search, one asker, and its ratio to the smallest:",
      await searchPages(join(folder, "pages"), counts, seconds),
    ].join("\n\n");
    process.stdout.write(`${report}\n`);
    if (options.write) {
      const path = fileURLToPath(new URL("../docs/reference/bench-cluster.md", import.meta.url));
      writeFileSync(
        path,
        `# Figures of a cluster and of the search\n\nWritten by \`npm run bench -- cluster --write\`. The machine is small and noisy: read the ratios, not the rates.\n\n${report}\n`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
