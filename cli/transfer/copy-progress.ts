/** What a copy shows of itself: a bar with bytes, objects, speed and time left, as a line. */
import type { Tally } from "../../transfer/index.ts";
import { formatBytes, formatMs } from "../terminal.ts";

/** Speed is that of the last seconds, so that it tells of now. */
const WINDOW_MS = 10_000;
const SAMPLE_MS = 500;
const BAR = 20;

export class Speed {
  readonly #samples: { readonly ms: number; readonly bytes: number }[] = [];

  /** @returns bytes a second; `undefined`: too early to say */
  at(ms: number, bytes: number): number | undefined {
    const last = this.#samples.at(-1);
    if (last === undefined || ms - last.ms >= SAMPLE_MS) this.#samples.push({ ms, bytes });
    while (this.#samples.length > 2 && ms - (this.#samples[0]?.ms ?? ms) > WINDOW_MS) this.#samples.shift();
    const [first] = this.#samples;
    if (first === undefined || ms - first.ms < SAMPLE_MS) return undefined;
    return Math.max(0, (bytes - first.bytes) / ((ms - first.ms) / 1000));
  }
}

/** @param onTerminal with a bar */
export function copyLine(tally: Tally, speed: Speed, nowMs: number, onTerminal: boolean): string {
  const { phase, blobs, links, planned } = tally;
  switch (phase) {
    case "begin":
      return "looking at both pairs";
    case "blobs": {
      const rate = speed.at(nowMs, blobs.passedBytes);
      const told = rate === undefined ? "" : `, ${formatBytes(Math.round(rate))}/s`;
      if (planned === undefined) {
        return `blobs: ${formatBytes(blobs.passedBytes)}, ${blobs.copied} copied, ${blobs.same} there already${told}`;
      }
      const leftBytes = Math.max(0, planned.bytes - blobs.passedBytes);
      const left =
        rate === undefined || rate === 0 || leftBytes === 0
          ? ""
          : `, ${formatMs(Math.ceil(leftBytes / rate) * 1000)} left`;
      const part = planned.bytes === 0 ? 1 : Math.min(1, blobs.passedBytes / planned.bytes);
      return `${onTerminal ? `${bar(part)} ` : ""}${percent(part)} ${formatBytes(blobs.passedBytes)} of ${formatBytes(planned.bytes)}, ${blobs.copied} of ${planned.objects} blobs${told}${left}`;
    }
    case "links":
      return `links: ${count(links.layers)} layers, ${count(links.manifests)} manifests, ${count(links.tags)} tags`;
    case "deletes":
      return `deleting: ${links.tags.deleted} tags, ${links.manifests.deleted} manifests, ${links.layers.deleted} layers, ${blobs.deleted} blobs`;
    case "end":
      return "done";
  }
}

function count({ copied, same }: { readonly copied: number; readonly same: number }): number {
  return copied + same;
}

function bar(part: number): string {
  const full = Math.floor(part * BAR);
  return `[${"#".repeat(full)}${".".repeat(BAR - full)}]`;
}

function percent(part: number): string {
  return `${String(Math.floor(part * 100)).padStart(3)} %`;
}
