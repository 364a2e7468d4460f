/**
 * The guide to moving, followed word for word under load: three cores, drivers killed with -9 in between. No request fails,
 * nothing is lost, nothing deleted comes back, no tag steps back.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { RedisServer } from "../drivers/redis/redis.ts";
import { environmentFor } from "../drivers/s3/s3.ts";
import { compiledCommand } from "../helpers/compiled.ts";
import { startLoad } from "../helpers/load.ts";
import {
  initialiseRoot,
  launchOutrigger,
  listening,
  type RegistryProcess,
  ready,
  until,
} from "../helpers/outrigger.ts";
import { launch, Scope } from "../helpers/processes.ts";
import { randomOf, seedOf } from "../helpers/random.ts";
import { RegistryClient } from "../helpers/registry-client.ts";
import { startS3Server } from "../helpers/s3-server.ts";
import { freePort, tempFolder } from "../helpers/temp.ts";
import { missing, type Tool } from "../helpers/tools.ts";
import { type Places, type Rewrite, Shell, scriptsOf, writePid } from "./move-guide.ts";
import { DriverKiller } from "./move-killer.ts";
import { MoveLoad } from "./move-load.ts";

const WORKERS = 8;
const CORES = 3;
/** Of each worker, so that the guide's commands have a share of a small machine. */
const PAUSE_MS = 100;
const BLOCK_MS = 180_000;

interface Target {
  readonly needs: readonly Tool[];
  /** Backends, and what the guide's words have to be for them. */
  start(
    scope: Scope,
    places: Places,
  ): Promise<{ readonly rewrite: Rewrite; readonly env: Readonly<Record<string, string>> }>;
}

const targets: Readonly<Record<string, Target>> = {
  /** The same driver thrice: what the guide says of others is said of it. */
  "filesystem and filesystem": {
    needs: [],
    async start(_scope, { srv }) {
      for (const name of ["s3", "redis"]) mkdirSync(join(srv, name), { recursive: true });
      return {
        env: {},
        rewrite: (text) =>
          text
            .replaceAll("outrigger driver s3 --bucket outrigger", `outrigger driver filesystem --root ${srv}/s3`)
            .replaceAll(
              "outrigger driver redis --url redis://127.0.0.1:6379",
              `outrigger driver filesystem --root ${srv}/redis`,
            )
            .replaceAll("--root /srv/outrigger", "--root /srv/outrigger/old"),
      };
    },
  },
  /** As the guide says it, but for where the servers are. */
  "s3 and redis": {
    needs: ["versitygw", "s3-sdk", "redis-server", "redis-sdk"],
    async start(scope) {
      const server = await startS3Server(scope);
      server.makeBucket("outrigger");
      const redis = await RedisServer.start(scope);
      const {
        OUTRIGGER_BUCKET: _bucket,
        OUTRIGGER_ENDPOINT: _endpoint,
        ...env
      } = environmentFor("outrigger", server.endpoint);
      return {
        env,
        rewrite: (text) =>
          text
            .replaceAll("redis://127.0.0.1:6379", redis.url)
            .replaceAll("--bucket outrigger", `--bucket outrigger --endpoint ${server.endpoint}`)
            .replaceAll("--root /srv/outrigger", "--root /srv/outrigger/old"),
      };
    },
  },
};

for (const [name, target] of Object.entries(targets)) {
  describe(`docs/guides/move-storage.md: filesystem to ${name}`, { skip: missing(...target.needs) }, () => {
    const scope = new Scope();
    after(scope.close);

    it(`with ${CORES} cores and ${WORKERS} workers`, { timeout: 800_000 }, async (t) => {
      const seed = seedOf(t);
      // Drivers that are killed often have to be back soon.
      const main = await compiledCommand(scope);
      const random = randomOf(seed);
      const base = tempFolder(scope, "mv");
      const ports = await Promise.all(Array.from({ length: CORES }, freePort));
      const places: Places = { run: join(base, "r"), etc: join(base, "e"), srv: join(base, "s"), ports };
      for (const folder of [places.run, places.etc, places.srv]) mkdirSync(folder);
      writeFileSync(join(places.run, "ports"), ports.join("\n"));
      const { rewrite, env } = await target.start(scope, places);

      const killer = new DriverKiller(scope, places, env, random);
      const root = join(places.srv, "old");
      mkdirSync(root);
      await initialiseRoot(root);
      const address = `unix://${join(places.run, "old.sock")}`;
      const words = [main, "driver", "filesystem", "--root", root, "--listen", address];
      const old = scope.add(launch("old", process.execPath, words));
      writePid(places, "old", old.child.pid);
      await listening(old, address);
      const file = join(places.etc, "outrigger.yaml");
      writeFileSync(file, `stores:\n  blobs: { address: "${address}" }\n  sealedWaitSeconds: 120\n`);
      const cores = await Promise.all(ports.map((port, index) => startCore(scope, places, file, port, index + 1)));

      const model = new MoveLoad(
        cores.map(({ client }) => client),
        WORKERS,
        seed,
      );
      const load = startLoad(WORKERS, async (_, worker) => {
        await model.act(worker);
        await sleep(PAUSE_MS);
      });
      const more = async (count: number) => {
        const wanted = load.done + count;
        await until(
          () => load.done >= wanted || load.failed > 0,
          120_000,
          () => `only ${load.done} of ${wanted} are done`,
        );
      };
      const shell = new Shell(scope, tempFolder(scope, "sh"), env, main);
      let sealed = false;
      try {
        await more(5 * WORKERS);
        for (const script of scriptsOf(places, rewrite)) {
          const startedMs = performance.now();
          // A copy goes on after whatever ended it; a check or a reload would be made again by hand.
          const killing = script.startsWith("until outrigger copy")
            ? killer.during(random.between(4000, 6000))
            : undefined;
          try {
            await shell.run(script, BLOCK_MS);
          } finally {
            await killing?.();
          }
          if (load.failed > 0) break;
          t.diagnostic(`${Math.round(performance.now() - startedMs)} ms, ${load.done} done: ${script.split("\n")[0]}`);
          sealed = script.includes("--read-only") || (sealed && !script.includes("redis.pid"));
          // The minute in which changes wait is to be short.
          if (!sealed) {
            await killer.one();
            await more(3 * WORKERS);
          }
        }
        await more(5 * WORKERS);
      } finally {
        await load.finish().catch((error: unknown) => {
          throw new Error(`${error}\n${cores.map(({ process }) => process.tail()).join("\n")}`, { cause: error });
        });
      }
      await model.checkAll();
      t.diagnostic(`${load.done} done, ${JSON.stringify(model.counts)}, ${killer.kills} kills`);
      assert.ok(killer.kills >= 6, `only ${killer.kills} kills`);
      // The old driver is not needed any more, nor is anything in memory.
      killer.end("old");
      for (const core of cores) {
        core.process.signal("SIGTERM");
        await core.process.exited;
      }
      const late = await startCore(scope, places, file, await freePort(), 9);
      await model.checkAll([late.client]);
    });
  });
}

/** As the guide has it: one configuration for all, each with a port of its own. */
async function startCore(
  scope: Scope,
  places: Places,
  file: string,
  port: number,
  number: number,
): Promise<RegistryProcess> {
  const host = `127.0.0.1:${port}`;
  const env = { OUTRIGGER_HTTP_LISTEN: host };
  const running = scope.add(launchOutrigger(`core-${number}`, ["registry", "--config", file], { env }));
  writePid(places, `core-${number}`, running.child.pid);
  await listening(running, host);
  const client = new RegistryClient(`http://${host}`);
  scope.defer(() => client.close());
  const core = { process: running, client, host };
  await ready(core);
  return core;
}
