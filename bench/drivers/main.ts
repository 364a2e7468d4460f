/**
 * `npm run bench -- drivers [NAME…] [--quick] [--write]`: each driver against its server, beside the same work done
 * without it (the floor: mostly the vendor's SDK alone), in one run. `--write` puts the tables into docs/reference/bench-drivers.md.
 */
import { writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Scope } from "../../test/helpers/processes.ts";
import { contestants, through } from "./contestants.ts";
import type { Figures } from "./measure.ts";
import {
  type BlobFigures,
  blobFigures,
  blobThrough,
  type MetaFigures,
  metaFigures,
  metaThrough,
  prepare,
} from "./work.ts";

export async function benchDrivers(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { quick: { type: "boolean", default: false }, write: { type: "boolean", default: false } },
  });
  const unknown = positionals.filter((name) => !Object.hasOwn(contestants, name));
  if (unknown.length > 0) {
    throw new Error(`there is no driver ${unknown.join(", ")} to measure: ${Object.keys(contestants).join(", ")}`);
  }
  const seconds = values.quick ? 1 : 4;
  const largeBytes = (values.quick ? 64 : 256) * 2 ** 20;
  prepare(largeBytes);
  const sections: string[] = [];
  for (const [name, contestant] of Object.entries(contestants)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const scope = new Scope();
    try {
      process.stderr.write(`${name}\n`);
      const { driver, floor } = await contestant.start(scope);
      const stores = await through(scope, floor.kind === "meta" ? { meta: driver } : { blobs: driver });
      sections.push(
        floor.kind === "meta"
          ? metaTable(
              name,
              await metaFigures(metaThrough(stores), seconds),
              await metaFigures(floor.work, seconds),
              floor.what,
            )
          : blobTable(
              name,
              await blobFigures(blobThrough(stores), seconds, largeBytes),
              await blobFigures(floor.work, seconds, largeBytes),
              floor.what,
              largeBytes,
            ),
      );
    } finally {
      await scope.close();
    }
    process.stderr.write(`${sections.at(-1)}\n\n`);
  }
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
  const report = [
    `Measured ${new Date().toISOString().slice(0, 10)} on ${machine}; servers, drivers and this client on the same machine.`,
    ...sections,
  ].join("\n\n");
  process.stdout.write(`${report}\n`);
  if (values.write) {
    const page = fileURLToPath(new URL("../../docs/reference/bench-drivers.md", import.meta.url));
    writeFileSync(
      page,
      `# Figures of the drivers\n\nWritten by \`npm run bench -- drivers --write\`. "Alone" is the same work without the driver, mostly by the vendor's SDK in\none process; each section says by what. The machine is small and noisy: read the differences and ratios, not the rates.\n\nWhat a driver adds: a hop between two processes, in which every byte is copied by HTTP/2 on both sides, and the digest of\nall that is uploaded. The drivers over object stores compute it in WebAssembly (about 180 MiB a second and core), since\nits state has to be saved for an upload to go on after the driver's death; that is half of their CPU time in an upload.\nWith client, driver and server on the same two cores, they take it from each other.\n\n${report}\n`,
    );
  }
}

const ms = (value: number) => value.toFixed(2);

function callRow(what: string, driver: Figures, alone: Figures): string {
  const ratio = (driver.perSecond / alone.perSecond).toFixed(2);
  return `| ${what} | ${ms(driver.p50Ms)} / ${ms(alone.p50Ms)} | ${ms(driver.p99Ms)} / ${ms(alone.p99Ms)} | ${driver.perSecond.toFixed(0)} / ${alone.perSecond.toFixed(0)} (${ratio}×) |`;
}

const HEAD = ["| | p50, ms: driver / alone | p99, ms | a second, 16 at once |", "| --- | ---: | ---: | ---: |"];

function metaTable(name: string, driver: MetaFigures, alone: MetaFigures, what: string): string {
  return [
    `## ${name}`,
    `Alone: ${what}.`,
    "",
    ...HEAD,
    callRow("Get of one key", driver.get, alone.get),
    callRow("Write of one key", driver.write, alone.write),
    callRow("Write of ten keys", driver.writeTen, alone.writeTen),
    callRow("List, a page of 100", driver.list, alone.list),
  ].join("\n");
}

function blobTable(name: string, driver: BlobFigures, alone: BlobFigures, what: string, largeBytes: number): string {
  const size = `${largeBytes / 2 ** 20} MiB`;
  const large = (text: string, pick: (of: BlobFigures) => number) =>
    `| ${text} | | | ${pick(driver).toFixed(0)} / ${pick(alone).toFixed(0)} MiB/s (${(pick(driver) / pick(alone)).toFixed(2)}×) |`;
  return [
    `## ${name}`,
    `Alone: ${what}.`,
    "",
    ...HEAD,
    callRow("Stat", driver.stat, alone.stat),
    callRow("Put of 1 KiB", driver.put1KiB, alone.put1KiB),
    callRow("Read of 1 KiB", driver.read1KiB, alone.read1KiB),
    callRow("Put of 1 MiB", driver.put1MiB, alone.put1MiB),
    callRow("Read of 1 MiB", driver.read1MiB, alone.read1MiB),
    large(`upload of ${size}, one stream`, ({ upload }) => upload),
    large(`read of ${size}, one stream`, ({ download }) => download),
  ].join("\n");
}
