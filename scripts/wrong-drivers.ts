/**
 * Takes the tests of the rules that each wrong driver breaks out of the kit, and expects the driver to escape: so the list
 * of rules is exact, and no other test passes for the one that is due.
 *
 *   node --import tsx scripts/wrong-drivers.ts                 every wrong driver
 *   node --import tsx scripts/wrong-drivers.ts short-read …    some
 *   node --import tsx scripts/wrong-drivers.ts --untried       the rules that no wrong driver breaks
 *
 * With --caught it looks first whether each is caught at all. --seed N repeats a run's random choices.
 */
import { parseArgs } from "node:util";
import { groups } from "../conformance/groups/index.ts";
import { untried, verdictCaught, verdictEscapes } from "../conformance/wrong/verdict.ts";
import { findWrong, wrongs } from "../conformance/wrong/wrongs.ts";

const say = (line: string) => process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      untried: { type: "boolean", default: false },
      caught: { type: "boolean", default: false },
      seed: { type: "string", default: "1" },
    },
  });
  if (values.untried) {
    for (const rule of untried(groups)) say(rule);
    return 0;
  }
  const seed = Number(values.seed);
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(`--seed ${values.seed} is not a whole number`);
  const options = { groups, seed };
  let faults = 0;
  for (const wrong of positionals.length === 0 ? wrongs : positionals.map(findWrong)) {
    const fault =
      (values.caught ? await verdictCaught(wrong, options) : undefined) ?? (await verdictEscapes(wrong, options));
    if (fault !== undefined) faults++;
    say(fault ?? `${wrong.name} escapes without ${wrong.caughtBy.join(", ")}`);
  }
  return faults === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  say(`wrong-drivers: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 2;
}
