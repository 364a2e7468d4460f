/**
 * `npm run bench [-- --quick] [-- --only small,catalog,large,memory,paths] [-- --write]`: this registry and distribution
 * v3.1.2 over the filesystem, in one run on one machine, as ratios. `--write` puts the table into docs/reference/bench.md.
 * `npm run bench -- drivers`: each driver beside its vendor's SDK, see drivers/main.ts.
 * `npm run bench -- cluster`: three registries as one beside one, and pages of a search, see cluster.ts.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { benchCluster } from "./cluster.ts";
import { benchDrivers } from "./drivers/main.ts";
import { driverPaths } from "./paths.ts";
import { type OutriggerMode, startDistribution, startOutrigger, type Target } from "./targets.ts";
import { distributionBinary } from "./tools.ts";
import { catalogPages, fillCatalog, largeWork, manyLargePushes, smallWork, stalledPulls } from "./workloads.ts";

interface Row {
  readonly work: string;
  readonly unit: string;
  readonly decimals: number;
  /** By target's name. */
  readonly values: Map<string, number>;
  /** Ratio to reach, by target's name. */
  readonly goals?: (target: string) => string;
}

if (process.argv[2] === "cluster") {
  await benchCluster(process.argv.slice(3));
  process.exit();
}

if (process.argv[2] === "drivers") {
  await benchDrivers(process.argv.slice(3));
  process.exit();
}

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "small,catalog,large,memory,paths" },
    write: { type: "boolean", default: false },
  },
});
const groups = new Set(options.only.split(","));
const seconds = options.quick ? 1 : 5;
const largeBytes = (options.quick ? 256 : 1024) * 2 ** 20;
const catalogSize = options.quick ? 1000 : 10_000;

const modes: readonly OutriggerMode[] = [
  { cores: "one", localFile: true },
  { cores: "many", localFile: true },
  { cores: "one", localFile: false },
];

const folder = mkdtempSync(join(tmpdir(), "outrigger-bench-"));
const rows: Row[] = [];

function record(work: string, unit: string, decimals: number, target: string, value: number): void {
  let row = rows.find((each) => each.work === work);
  if (row === undefined) {
    row = { work, unit, decimals, values: new Map() };
    rows.push(row);
  }
  row.values.set(target, value);
  process.stderr.write(`${target}: ${work}: ${value.toFixed(decimals)} ${unit}\n`);
}

let serial = 0;
async function using(
  start: (folder: string) => Promise<Target>,
  run: (target: Target) => Promise<void>,
): Promise<void> {
  const target = await start(join(folder, `t${serial++}`));
  try {
    await run(target);
  } finally {
    await target.stop();
  }
}

const starts: ((folder: string) => Promise<Target>)[] = [
  async (below) => startDistribution(await distributionBinary(), below),
  ...modes.map((mode) => (below: string) => startOutrigger(mode, below)),
];

async function measure(): Promise<void> {
  for (const start of starts) {
    if (groups.has("small")) {
      await using(start, async ({ name, port }) => {
        const small = await smallWork(port, seconds);
        record("manifest GET by tag", "/s", 0, name, small.manifestGet);
        record("manifest HEAD by tag", "/s", 0, name, small.manifestHead);
        record("20 KB blob GET", "/s", 0, name, small.blobGet);
        record("blob HEAD", "/s", 0, name, small.blobHead);
        record("tags list (50 tags)", "/s", 0, name, small.tagsList);
        record("images pushed (5 × 64 KiB, 8 at once)", "/s", 1, name, small.imagesPushed);
        record("images pulled (5 × 64 KiB, 8 at once)", "/s", 1, name, small.imagesPulled);
      });
    }
    if (groups.has("catalog")) {
      await using(start, async ({ name, port }) => {
        await fillCatalog(port, catalogSize);
        record(`catalog page of 100 in ${catalogSize}`, "/s", 0, name, await catalogPages(port, catalogSize, seconds));
      });
    }
    if (groups.has("large")) {
      await using(start, async ({ name, port }) => {
        const large = await largeWork(port, largeBytes);
        const size = `${largeBytes / 2 ** 20} MiB`;
        record(`${size} pushed`, "MiB/s", 0, name, large.pushMiBs);
        record(`${size} pulled`, "MiB/s", 0, name, large.pullMiBs);
        record(`${size} pulled, 8 at once`, "MiB/s", 0, name, large.pullEightMiBs);
      });
    }
    if (groups.has("memory")) {
      const many = options.quick ? 8 : 32;
      await using(start, async ({ name, port, peaks }) => {
        record(`${many} pushes of 256 MiB at once`, "MiB/s", 0, name, await manyLargePushes(port, many, 256 * 2 ** 20));
        recordPeaks(`peak memory, ${many} pushes of 256 MiB`, name, peaks());
      });
      await using(start, async ({ name, port, peaks }) => {
        let seen: Record<string, number> = {};
        await stalledPulls(port, 100, 256 * 2 ** 20, () => {
          seen = peaks();
        });
        recordPeaks("peak memory, 100 stalled pulls", name, seen);
      });
    }
  }
}

function recordPeaks(work: string, target: string, peaks: Record<string, number>): void {
  for (const [part, mib] of Object.entries(peaks)) process.stderr.write(`${target}: ${work}: ${part} ${mib} MiB\n`);
  record(
    work,
    "MiB",
    0,
    target,
    Object.values(peaks).reduce((sum, mib) => sum + mib, 0),
  );
}

/** Markdown: distribution's figure, then each target's with its ratio to it. */
function table(): string {
  const targets = [...new Set(rows.flatMap((row) => [...row.values.keys()]))];
  const [peer, ...ours] = targets;
  const lines = [
    `| | ${[peer, ...ours].join(" | ")} |`,
    `| --- | ${targets.map(() => "---:").join(" | ")} |`,
    ...rows.map((row) => {
      const base = row.values.get(peer ?? "");
      const cells = targets.map((target) => {
        const value = row.values.get(target);
        if (value === undefined) return "";
        const figure = `${value.toFixed(row.decimals)} ${row.unit}`;
        return target === peer || base === undefined ? figure : `${figure} (${(value / base).toFixed(2)}×)`;
      });
      return `| ${row.work} | ${cells.join(" | ")} |`;
    }),
  ];
  return lines.join("\n");
}

try {
  execFileSync("npm", ["run", "-s", "build"], { stdio: ["ignore", "inherit", "inherit"] });
  await measure();
  const parts = rows.length > 0 ? [table()] : [];
  if (groups.has("paths")) parts.push(await driverPaths(join(folder, "paths"), largeBytes, seconds));
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
  const report = [
    `Measured ${new Date().toISOString().slice(0, 10)} on ${machine}; one run, ratios to distribution v3.1.2 in brackets.`,
    ...parts,
  ].join("\n\n");
  process.stdout.write(`${report}\n`);
  if (options.write) {
    const page = fileURLToPath(new URL("../docs/reference/bench.md", import.meta.url));
    writeFileSync(
      page,
      `# Figures\n\nWritten by \`npm run bench -- --write\`. The machine is small and noisy: read the ratios, not the rates.\n\n${report}\n`,
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
