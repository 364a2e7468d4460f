/** What the fast store holds, as this process knows it: least recently used first. */
import { costOf, type Entry } from "./entry.ts";

export class EntryIndex {
  /** By place; the order is that of use. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(place: string): boolean {
    return this.#entries.has(place);
  }

  get(place: string): Entry | undefined {
    return this.#entries.get(place);
  }

  use(entry: Entry): void {
    if (this.#entries.delete(entry.place)) this.#entries.set(entry.place, entry);
  }

  /** @returns the one it takes the place of */
  add(entry: Entry): Entry | undefined {
    const before = this.remove(entry.place);
    this.#entries.set(entry.place, entry);
    this.#bytes += costOf(entry);
    return before?.content === entry.content ? undefined : before;
  }

  remove(place: string): Entry | undefined {
    const entry = this.#entries.get(place);
    if (entry === undefined) return undefined;
    this.#entries.delete(place);
    this.#bytes -= costOf(entry);
    return entry;
  }

  oldest(): Entry | undefined {
    for (const entry of this.#entries.values()) return entry;
    return undefined;
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }
}
