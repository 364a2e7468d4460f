/** What the mirror knows of its two stores as a pair, in this process and in the members' records. */
import { OutriggerError } from "../../proto/errors.ts";
import type { Member } from "../composed/member.ts";
import { type CompositionRecord, writeRecord } from "../composed/records.ts";
import type { Journal } from "./journal.ts";

export type Mode = "sync" | "behind";

export interface MirrorStateOptions {
  readonly record: CompositionRecord;
  /** The members tell more, or other, of themselves than they have written down. */
  readonly isNews: boolean;
  /** As configured. */
  readonly mode: Mode;
  readonly primary: Member;
  readonly secondary: Member;
  readonly journal: Journal;
}

/** Keys whose changes are counted one by one; of others only that there was one. */
const MOST_CHANGES = 10_000;

export class MirrorState {
  readonly mode: Mode;
  readonly #options: MirrorStateOptions;
  #record: CompositionRecord;
  readonly #changes = new Map<string, number>();
  #forgotten = 0;
  #count = 0;

  constructor(options: MirrorStateOptions) {
    this.mode = options.mode;
    this.#options = options;
    this.#record = options.record;
  }

  /** Whether the secondary once had everything: from then on the journal knows what it misses. */
  get #isFilled(): boolean {
    return this.#record.state["filled"] === "yes";
  }

  get #recordedMode(): string | undefined {
    return this.#record.state["mode"];
  }

  /**
   * Whether a key that is not pending is on the secondary as on the primary. While the journal could not be read, only a
   * secondary that every acknowledged change waited for is that.
   */
  get mayReadSecondary(): boolean {
    return this.#isFilled && (this.#options.journal.isLoaded || this.#recordedMode === "sync");
  }

  /** @throws BACKEND_DOWN before anything is changed */
  async assertChangeable(): Promise<void> {
    const { primary, secondary, journal } = this.#options;
    if (!journal.isLoaded)
      throw new OutriggerError(
        "BACKEND_DOWN",
        `${primary.who} is not usable: ${primary.problem ?? "its entries are being read"}`,
      );
    if (this.mode === "sync" && !(await secondary.answers()))
      throw new OutriggerError(
        "BACKEND_DOWN",
        `${secondary.who} is not usable (${secondary.problem ?? "it was never reached"}), and with --secondary-writes sync nothing is acknowledged without it`,
      );
    if (this.mode === "behind" && this.#recordedMode !== "behind")
      throw new OutriggerError(
        "BACKEND_DOWN",
        `${secondary.who} has to be there once for --secondary-writes behind, so that it knows that it may be behind`,
      );
  }

  /** Before the first change: a secondary that may be behind from now on says so first. */
  async bothThere(): Promise<void> {
    const isBehind = this.mode === "behind" && this.#recordedMode !== "behind";
    if (isBehind || this.#options.isNews)
      await this.#write(isBehind ? { mode: "behind" } : {}, ["secondary", "primary"]);
  }

  /** After a whole diff: whatever was missing is there, or pending. */
  async alike(): Promise<void> {
    const isSync = this.mode === "sync" && this.#options.journal.size === 0;
    const state = { filled: "yes", ...(isSync ? { mode: "sync" } : {}) };
    const isNews = Object.entries(state).some(([name, value]) => this.#record.state[name] !== value);
    if (isNews) await this.#write(state, ["primary", "secondary"]);
  }

  async #write(state: Readonly<Record<string, string>>, order: readonly ("primary" | "secondary")[]): Promise<void> {
    const record = { ...this.#record, state: { ...this.#record.state, ...state } };
    for (const side of order) await writeRecord("mirror", this.#options[side], record);
    this.#record = record;
  }

  changed(key: string): void {
    if (this.#changes.size >= MOST_CHANGES) {
      this.#changes.clear();
      this.#forgotten = this.#count;
    }
    this.#changes.set(key, ++this.#count);
  }

  /** Differs once the key was changed by this process. */
  changes(key: string): number {
    return this.#changes.get(key) ?? this.#forgotten;
  }
}
