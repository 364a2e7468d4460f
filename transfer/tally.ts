/** What a copy has done so far, for whoever shows it; its last state is the report. */
import { Problems } from "./contract.ts";

export interface Done {
  /** Written at the target. */
  copied: number;
  /** Were there already. */
  same: number;
  /** At the target and not at the source. */
  extra: number;
  /** Of those: taken away. */
  deleted: number;
}

export interface BlobsDone extends Done {
  copiedBytes: number;
  sameBytes: number;
  /** Bytes that came, also of blobs that are not whole yet. */
  passedBytes: number;
  /** Were deleted at the source before they were read. */
  gone: number;
}

export type LinkKind = "layers" | "manifests" | "tags" | "history" | "other";

export const linkKinds: readonly LinkKind[] = ["layers", "manifests", "tags", "history", "other"];

const none = (): Done => ({ copied: 0, same: 0, extra: 0, deleted: 0 });

export class Tally {
  phase: "begin" | "blobs" | "links" | "deletes" | "end" = "begin";
  readonly blobs: BlobsDone = { ...none(), copiedBytes: 0, sameBytes: 0, passedBytes: 0, gone: 0 };
  readonly links: Readonly<Record<LinkKind, Done>> = {
    layers: none(),
    manifests: none(),
    tags: none(),
    history: none(),
    other: none(),
  };
  /**
   * Links at the source that lead nowhere: of layers whose bytes are absent there, as distribution's collector leaves them,
   * and of tags whose manifest was deleted by its digest. Not copied.
   */
  dangling = 0;
  readonly problems = new Problems();
  /** Extra things at the target, by name, as many as fit. */
  readonly extras = new Problems();
  /** All blobs that are to be copied; `undefined`: not counted yet. */
  planned: { readonly objects: number; readonly bytes: number } | undefined;
  readonly #changed: (() => void) | undefined;

  constructor(changed?: () => void) {
    this.#changed = changed;
  }

  changed(): void {
    this.#changed?.();
  }
}
