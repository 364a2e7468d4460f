/**
 * A process that writes to the folder it is given until it is killed. Each lane writes its three keys together, over and
 * over, and says "begun <lane> <number>" before and "done <lane> <number>" once it is acknowledged.
 */
import { call, openLmdb, put } from "./lmdb.ts";

const [folder = "", from = "0", lanes = "8"] = process.argv.slice(2);
const { meta } = await openLmdb(folder);
if (meta === undefined) throw new Error("no meta store");
// To a pipe, writing is over when it returns: nothing that was said is lost with the process.
const say = (line: string) => process.stdout.write(`${line}\n`);
await Promise.all(
  Array.from({ length: Number(lanes) }, async (_, lane) => {
    for (let number = Number(from); ; number++) {
      say(`begun ${lane} ${number}`);
      await meta.write(
        [
          put(`lane-${lane}/a`, `${number}`),
          put(`lane-${lane}/b`, `${number}`),
          put(`lane-${lane}/n${number % 50}`, `${number}`),
        ],
        call(),
      );
      say(`done ${lane} ${number}`);
    }
  }),
);
