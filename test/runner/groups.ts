/** Which tests belong together: by folder, from the quickest to the slowest. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { sdkDrivers } from "../helpers/tool-versions.ts";
import { repository } from "../helpers/tools.ts";

export interface Group {
  readonly name: string;
  /** Absolute paths, in order. */
  readonly files: () => string[];
  /** Instead of files: a compiled program of the repository and its arguments; its exit code is the answer. */
  readonly command: readonly [string, ...string[]] | undefined;
  /** Of one file; a fault test with its hundred kills is long. */
  readonly timeoutMs: number;
  /** Files at once. */
  readonly concurrency: number;
  /** Whether programs from outside are brought first. */
  readonly needsTools: boolean;
  /** Runs beside all others, at the lowest priority: it takes the time in which they wait. */
  readonly beside: boolean;
  /** Runs when nothing is beside any more. */
  readonly alone: boolean;
}

/** A group's folders under test/; what lies in none of them is `unit`. */
const folders: Readonly<Record<string, string | readonly string[]>> = {
  go: ["interop/", "drivers/bolt/", "bridges/"],
  python: "drivers/opendal/",
  // composed: what the three share.
  backends: [...sdkDrivers, "composed", "mirror", "shard", "cache"].map((driver) => `drivers/${driver}/`),
  pairs: "pairs/",
  page: "page/",
  conformance: ["conformance/kit-drivers", "conformance/kit-hostile", "conformance/wrong"],
  cluster: "cluster/",
  guides: "guides/",
  e2e: "e2e/",
  faults: "faults/",
  containers: "packaging/dockerfile",
  package: "packaging/",
};

function testFiles(): string[] {
  const folder = join(repository, "test");
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts") && !name.includes("node_modules"))
    .sort();
}

function groupOf(file: string): string {
  const found = Object.entries(folders).find(([, own]) => [own].flat().some((folder) => file.startsWith(folder)));
  return found?.[0] ?? "unit";
}

function group(name: string, how: Partial<Group> = {}): Group {
  return {
    name,
    files: () =>
      testFiles()
        .filter((file) => groupOf(file) === name)
        .map((file) => join(repository, "test", file)),
    command: undefined,
    timeoutMs: 300_000,
    concurrency: 2,
    needsTools: true,
    beside: false,
    alone: false,
    ...how,
  };
}

export const groups: readonly Group[] = [
  group("unit", { needsTools: false }),
  // distribution's driver suite writes and reads 5 GB in one of its tests.
  group("go", { timeoutMs: 1_600_000 }),
  // The kit on a real S3 server, over kills: long, but mostly it waits.
  group("python", { timeoutMs: 1_600_000 }),
  // Each vendor's driver against a real server: mostly they wait for kills and restarts.
  group("backends", { timeoutMs: 1_600_000, concurrency: 3 }),
  // The registry over pairs of stores, copies and moves between them.
  group("pairs", { timeoutMs: 1_600_000, concurrency: 3 }),
  // The page in a real browser.
  group("page"),
  // The kit against drivers of this package, wrong ones, and what is no driver at all.
  group("conformance", { timeoutMs: 1_600_000, needsTools: false, concurrency: 3 }),
  // Several registries that answer as one, as processes: killed, stopped, slow, lying.
  group("cluster", { timeoutMs: 600_000, needsTools: false }),
  // Guides followed word for word: they install what they name, and mostly wait for the kit.
  group("guides", { timeoutMs: 1_600_000, needsTools: false }),
  group("e2e", { timeoutMs: 600_000 }),
  group("package", { timeoutMs: 600_000, needsTools: false, concurrency: 1 }),
  group("containers", { timeoutMs: 1_200_000, concurrency: 1 }),
  group("simulation", {
    files: () => [],
    // `npm run simulate`. The same schedules each time: a red run is the change's. Other seeds by hand.
    command: ["test/simulation/main", "--schedules", "100000", "--seed", "1"],
    timeoutMs: 4_500_000,
    needsTools: false,
    beside: true,
  }),
  // Alone: how long a driver is away between two kills decides what its clients have to bear.
  group("faults", { timeoutMs: 1_600_000, concurrency: 1, alone: true }),
];

export function isGroupName(name: string): boolean {
  return groups.some((group) => group.name === name);
}
