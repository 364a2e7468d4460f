/** Writes that race: conditions and effects are one step. */
import assert from "node:assert/strict";
import type { OperationInput } from "../../proto/gen/outrigger/meta/v1/Operation.ts";
import type { Calls, Context, Test } from "../contract.ts";
import { Fault } from "../faults.ts";
import { accepted, check, etagOf, getOne, patiently, put, remove, texts, write } from "./meta-calls.ts";

const CLIENTS = 8;

const clients = (ctx: Context): Calls[] => Array.from({ length: CLIENTS }, () => ctx.connect());

/** All at once, each on a connection of its own. @returns how many were accepted */
async function race(peers: readonly Calls[], writeOf: (index: number) => readonly OperationInput[]): Promise<number> {
  const outcomes = await Promise.all(peers.map((peer, index) => accepted(peer, ...writeOf(index))));
  return outcomes.filter(Boolean).length;
}

export const metaRaceTests: readonly Test[] = [
  {
    id: "meta.write.03/absent",
    title: "of many Writes that put one key if_absent at once exactly one wins",
    async run(ctx) {
      const peers = clients(ctx);
      for (let round = 0; round < 12; round++) {
        const key = ctx.key(`k${round}`);
        const won = await race(peers, (index) => [put(key, `by ${index}`, "absent")]);
        assert.equal(won, 1, `round ${round}: of ${CLIENTS} Writes if_absent ${won} were accepted`);
      }
    },
  },
  {
    id: "meta.write.03/etag",
    title: "of many Writes that put, delete or check one key if_etag at once exactly one wins",
    async run(ctx) {
      const peers = clients(ctx);
      const key = ctx.key("k");
      for (let round = 0; round < 12; round++) {
        await write(ctx, put(key, `round ${round}`));
        const etag = await etagOf(ctx, key);
        const won = await race(peers, (index) =>
          index % 3 === 2
            ? [remove(key, { etag }), put(ctx.key(`beside${index}`), "x")]
            : [put(ctx.key(`beside${index}`), "x"), put(key, `by ${index}`, { etag })],
        );
        assert.equal(won, 1, `round ${round}: of ${CLIENTS} Writes with one etag ${won} were accepted`);
      }
    },
  },
  {
    id: "meta.write.03/counter",
    title: "no increment of a counter is lost, when each puts what it read plus one if_etag",
    async run(ctx) {
      const key = ctx.key("counter");
      const each = 8;
      await write(ctx, put(key, "0"));
      const count = async (peer: Calls) => {
        for (let done = 0; done < each; ) {
          const item = await getOne(peer, key);
          assert.ok(item, `${key} was put and is absent`);
          const next = Number(item.value.toString()) + 1;
          if (await accepted(peer, put(key, String(next), { etag: item.etag }))) done++;
        }
      };
      await Promise.all(clients(ctx).slice(0, 6).map(count));
      assert.deepEqual(await texts(ctx, [key]), [String(6 * each)]);
    },
  },
  {
    id: "meta.write.03/crossed",
    title: "a condition on one key guards the put of another: of two Writes that each need the other absent one wins",
    async run(ctx) {
      const [left, right] = [ctx.connect(), ctx.connect()];
      for (let round = 0; round < 30; round++) {
        const [a, b] = [ctx.key(`a${round}`), ctx.key(`b${round}`)];
        const won = await Promise.all([
          accepted(left, check(a, "absent"), put(b, "b")),
          accepted(right, check(b, "absent"), put(a, "a")),
        ]);
        assert.equal(won.filter(Boolean).length, 1, `round ${round}: each Write saw the other's key absent`);
      }
    },
  },
  {
    id: "meta.write.03/guard",
    title: "who checks a guard's etag never wins against who has changed it",
    async run(ctx) {
      const guard = ctx.key("guard");
      const [adder, taker] = [ctx.connect(), ctx.connect()];
      for (let round = 0; round < 30; round++) {
        const [link, tag] = [ctx.key(`link${round}`), ctx.key(`tag${round}`)];
        await write(ctx, put(guard, String(round)), put(link, "x"));
        const etag = await etagOf(ctx, guard);
        await Promise.all([
          accepted(adder, check(guard, { etag }), check(link, "present"), put(tag, "x")),
          accepted(taker, put(guard, "changed", { etag }), check(tag, "absent"), remove(link)),
        ]);
        const [hasLink, hasTag] = await texts(ctx, [link, tag]);
        assert.ok(
          hasTag === undefined || hasLink !== undefined,
          `round ${round}: the tag is there and its link is not`,
        );
      }
    },
  },
  {
    id: "meta.write.04",
    title: "Writes without conditions on the same keys are all accepted, at once or after CONFLICT",
    async run(ctx) {
      const keys = Array.from({ length: 6 }, (_, index) => ctx.key(`k${index}`));
      let conflicts = 0;
      const work = async (peer: Calls, name: number) => {
        for (let turn = 0; turn < 6; turn++) {
          const operations = ctx.random.shuffled(keys).map((key) => put(key, `${name} ${turn}`));
          await patiently(() =>
            peer.meta.write({ operations }).catch((error) => {
              if (!(error instanceof Fault)) throw error;
              conflicts++;
              const right = error.code === "ABORTED" && error.reason === "CONFLICT";
              assert.ok(right, `ABORTED / CONFLICT or nothing was due, but ${error.message}`);
              throw error;
            }),
          );
        }
      };
      await Promise.all(clients(ctx).map(work));
      ctx.note(`${conflicts} conflicts in ${CLIENTS * 6} Writes`);
    },
  },
];
