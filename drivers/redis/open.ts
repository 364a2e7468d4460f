/** Connects, holds the server against what it must be, finds the store, and only then serves. */
import { randomUUID } from "node:crypto";
import { OutriggerError } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import type { Driver, OpenContext } from "../../server/contract.ts";
import { release } from "../../server/release.ts";
import { authenticate, inspect, textOf } from "./inspect.ts";
import { Link, type Send } from "./link.ts";
import type { Settings } from "./options.ts";
import { Replication } from "./replication.ts";
import type { Verdict } from "./requirements.ts";
import { damaged, evaluate, keysOf, Runner } from "./runner.ts";
import { identifyScript, probeScript, touchScript } from "./scripts.ts";
import { RedisMetaStore } from "./store.ts";
import { Watch } from "./watch.ts";

/** Writes the store's id where there is none. */
export async function initRedis(settings: Settings, context: OpenContext): Promise<void> {
  const { log, clock, signal } = context;
  let verdict: Verdict | undefined;
  const link = linkTo(settings, context, async (send) => {
    verdict = await inspect(send, settings, clock);
  });
  try {
    await link.open(signal);
    const { id, made } = await identify((command, ...args) => link.call(command, args, signal), settings, "make");
    log.info({ id, made, durable: verdict?.durable }, "the store has its id");
  } finally {
    link.close();
  }
}

/** @throws NOT_INITIALISED, or another error whose message is one sentence that says what to change */
export async function openRedisDriver(settings: Settings, context: OpenContext): Promise<Driver> {
  const { log, clock, signal, readOnly } = context;
  let first: Verdict | undefined;
  const seen = { appendOnlyOff: false };
  const greet = async (send: Send) => {
    const verdict = await inspect(send, settings, clock, seen);
    first ??= verdict;
  };
  const reads = linkTo(settings, context, greet);
  const writes = settings.waitReplicas > 0 && !readOnly ? linkTo(settings, context, greet) : reads;
  const close = async () => {
    for (const link of new Set([reads, writes])) link.close();
  };
  try {
    await reads.open(signal);
    if (writes !== reads) await writes.open(signal);
    const send: Send = (command, ...args) => reads.call(command, args, signal);
    const { id, made } = await identify(send, settings, readOnly ? "look" : "adopt");
    if (first === undefined) throw new OutriggerError("INTERNAL", "the server was not looked at");
    const verdict = first;
    log.info({ ...verdict }, "the server is usable");
    const runner = new Runner(id, settings, log);
    const probe = async (during: AbortSignal) => {
      await inspect((command, ...args) => reads.call(command, args, during), settings, clock, seen);
      const { rest } = await runner.run(reads, probeScript, [], during);
      const [keys, values] = rest.map((part) => Number(textOf(part)));
      if (keys !== values)
        throw damaged(settings.address.shown, `{${settings.keyPrefix}} has ${keys} keys and ${values} values`);
    };
    await probe(signal);
    // Which permission is missing is said now, not by the first Write that needs it.
    if (!readOnly) await runner.run(writes, touchScript, [], signal);
    const replication = writes === reads ? undefined : new Replication({ link: writes, settings, runner });
    const watch = new Watch({ clock, log, probe, recover: async (during) => replication?.recover(during) });
    const meta = new RedisMetaStore({
      facts: {
        id,
        capabilities: verdict.durable ? ["DURABLE", "REPLICAS"] : ["REPLICAS"],
        limits: { maxValueBytes: limits.valueBytes },
        outside: 0,
      },
      runner,
      reads,
      writes,
      replication,
      assertUsable: () => watch.assertUsable(),
      check: (during) => watch.check(during),
    });
    watch.start();
    return {
      name: "io.outrigger.redis",
      version: release(),
      meta,
      notices: noticesOf(settings, verdict, made),
      async close() {
        watch.stop();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function linkTo(settings: Settings, { log }: OpenContext, greet: (send: Send) => Promise<void>): Link {
  const { address, tls, timeoutMs } = settings;
  return new Link({
    address,
    tls,
    timeoutMs,
    log,
    async greet(send) {
      await authenticate(send, settings);
      await greet(send);
    },
  });
}

/**
 * The store's id. `make`: writes one where there is none; `adopt`: only where there is data without one, whose facts were
 * lost; `look`: never. @throws NOT_INITIALISED
 */
async function identify(
  send: Send,
  settings: Settings,
  how: "make" | "adopt" | "look",
): Promise<{ readonly id: string; readonly made: boolean }> {
  const reply = await evaluate((command, args) => send(command, ...args), identifyScript, keysOf(settings), [
    randomUUID(),
    how,
  ]);
  const [id = null, made = 0] = Array.isArray(reply) ? reply : [];
  if (id !== null) return { id: textOf(id), made: made === 1 };
  const { address, keyPrefix } = settings;
  throw new OutriggerError(
    "NOT_INITIALISED",
    `${address.shown} holds no store in database ${address.database} under --key-prefix ${keyPrefix}: if it should, the server has lost its data or is another one; for a new store run the driver once with --init`,
  );
}

function noticesOf(settings: Settings, { replicas }: Verdict, adopted: boolean): string[] {
  const notices: string[] = [];
  if (adopted) notices.push("data without a store id was adopted: it has a new id");
  if (settings.allowLoss)
    notices.push("--allow-loss: acknowledged Writes may be lost when the server stops, and DURABLE is not claimed");
  if (settings.assumeDurable)
    notices.push("--assume-durable: that the server keeps every acknowledged Write is stated, not seen");
  if (!settings.allowLoss && replicas > 0 && settings.waitReplicas === 0)
    notices.push(
      `the server has ${replicas} replicas: a failover to one loses the Writes that it has not received; --wait-replicas waits for it`,
    );
  return notices;
}
