/**
 * At start the log meets the files of links. Where they differ, either this driver did not finish what its log says, and
 * it is done now; or somebody else (distribution, an operator) changed the files, and then they are right.
 */
import type { Logger } from "pino";
import { isDigest } from "../../proto/keys.ts";
import { mapLimited } from "./async.ts";
import { type LinkFiles, sameState } from "./links.ts";
import type { LinkEntry, LinkFacts, LinkState } from "./records.ts";
import type { State } from "./state.ts";

const PARALLEL = 16;

export interface Recovery {
  /** Links whose files are to be brought to what the log says. */
  readonly redo: readonly string[];
  /** Whether somebody else changed links: the state holds what they say now. */
  readonly outside: boolean;
}

/** @param rebooted since the log was written: files that were not synced may be anything */
export async function recoverLinks(state: State, links: LinkFiles, rebooted: boolean, log: Logger): Promise<Recovery> {
  const found = await links.survey((path, why) => log.warn({ path }, `a link is passed by: ${why}`));
  const redo: string[] = [];
  const adopt = new Map<string, LinkState>();
  const doubtful: { key: string; entry: LinkEntry; file: LinkState }[] = [];
  for (const [key, entry] of state.links.entries()) {
    const file = found.get(key) ?? "absent";
    const settled = state.isSettled(entry);
    if (!settled) links.touch(key);
    if (settled || (!rebooted && entry.known !== undefined)) {
      if (!sameState(entry.known, file)) adopt.set(key, file);
    } else if (!rebooted && sameState(entry.before, file)) redo.push(key);
    else doubtful.push({ key, entry, file });
  }
  for (const [key, file] of found) if (!state.links.has(key)) adopt.set(key, file);
  await mapLimited(doubtful, PARALLEL, async ({ key, entry, file }) => {
    const text = file === "absent" ? undefined : await links.read(key);
    const wanted = state.items.get(key)?.value;
    const ours = sameValue(text, wanted) || (state.replayed?.get(key) ?? []).some((value) => sameValue(text, value));
    // Our own file may be torn after a power loss, but a digest that we never wrote is somebody's.
    const theirs = rebooted
      ? text !== undefined && isDigest(text.toString("latin1")) && modifiedMs(file) > entry.timeMs
      : true;
    if (!ours && theirs) adopt.set(key, file);
    // Also where the text is right: its file may not be durable, and is made so with the others.
    else redo.push(key);
  });
  state.replayed = undefined;
  if (adopt.size === 0) return { redo, outside: false };
  log.warn(
    { links: adopt.size },
    "links were changed by another program since the last start; what the files say is taken",
  );
  state.outside++;
  await mapLimited([...adopt], PARALLEL, async ([key, file]) => {
    const value = file === "absent" ? undefined : await links.read(key);
    if (value === undefined) {
      state.items.delete(key);
      state.links.delete(key);
      return;
    }
    state.items.set(key, { value, etag: state.nextEtag++ });
    state.links.set(key, { seq: 0, timeMs: 0, known: file, before: file });
  });
  return { redo, outside: true };
}

function sameValue(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b);
}

function modifiedMs(file: LinkState): number {
  return file === "absent" ? 0 : Number((file as LinkFacts).mtimeNs / 1_000_000n);
}
