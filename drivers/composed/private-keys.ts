/**
 * The keys that a composition keeps in its members for itself: under `outrigger-<kind>/<its id>/`, so that one may lie
 * behind another of its kind. No caller sees, reads or changes them.
 */
import { OutriggerError } from "../../proto/errors.ts";
import type { BlobInfo, Page, PageRequest } from "../../server/contract.ts";

/** Above every character of a key. */
const AFTER = "~";

export type ListKeys = (request: PageRequest) => Promise<Page<BlobInfo>>;

export class PrivateKeys {
  readonly prefix: string;

  constructor(kind: string, id: string) {
    this.prefix = `outrigger-${kind}/${id}/`;
  }

  has(key: string): boolean {
    return key.startsWith(this.prefix);
  }

  /** @throws INVALID_KEY */
  assertNot(key: string): void {
    if (this.has(key))
      throw new OutriggerError("INVALID_KEY", `key ${key} is this driver's own: choose one outside ${this.prefix}`);
  }

  /** Whether a listing under `prefix` may meet private keys. */
  meets(prefix: string): boolean {
    return this.prefix.startsWith(prefix) || prefix.startsWith(this.prefix);
  }

  /** A page without them; never an empty one that says more [blob.list.03]. */
  async without(list: ListKeys, request: PageRequest): Promise<Page<BlobInfo>> {
    if (!this.meets(request.prefix)) return list(request);
    if (request.prefix.startsWith(this.prefix)) return { items: [], more: false };
    let { startAfter } = request;
    for (;;) {
      if (this.has(startAfter)) startAfter = `${this.prefix}${AFTER}`;
      const page = await list({ ...request, startAfter });
      const items = page.items.filter((item) => !this.has(item.key));
      if (items.length > 0 || !page.more) return { items, more: page.more };
      startAfter = page.items.at(-1)?.key ?? startAfter;
    }
  }
}
