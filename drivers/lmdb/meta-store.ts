/** MetaDriver over the environment: reads are of mapped pages and end within their turn, each of them at one moment. */
import { MAX_KEY_BYTES } from "../../proto/keys.ts";
import { limits } from "../../proto/limits.ts";
import type {
  CallContext,
  MetaDriver,
  MetaItem,
  MetaOperation,
  Page,
  PageRequest,
  StoreFacts,
} from "../../server/contract.ts";
import type { Environment } from "./environment.ts";
import { decodeRecord } from "./record.ts";
import { keyBytes, type Writer } from "./writer.ts";

export class MetaStore implements MetaDriver {
  readonly facts: StoreFacts;
  readonly #environment: Environment;
  readonly #writer: Writer;

  constructor(facts: StoreFacts, environment: Environment, writer: Writer) {
    this.facts = facts;
    this.#environment = environment;
    this.#writer = writer;
  }

  async check(): Promise<void> {
    await this.#writer.check();
    this.#environment.assertInPlace();
    this.#environment.tables();
  }

  async get(keys: readonly string[]): Promise<readonly (MetaItem | undefined)[]> {
    const { meta } = this.#environment.snapshot();
    return keys.map((key) => {
      const record = meta.getBinary(keyBytes(key));
      return record && { key, ...decodeRecord(key, record) };
    });
  }

  async list({ prefix, startAfter, limit }: PageRequest): Promise<Page<MetaItem>> {
    const { meta } = this.#environment.snapshot();
    const items: MetaItem[] = [];
    let sizeBytes = 0;
    for (const { key: bytes, value } of meta.getRange(rangeOf(startAfter > prefix ? startAfter : prefix))) {
      const key = Buffer.from(bytes).toString("latin1");
      if (key <= startAfter) continue;
      if (!key.startsWith(prefix)) break;
      if (items.length === limit || (items.length > 0 && sizeBytes + value.byteLength > limits.writeBytes)) {
        return { items, more: true };
      }
      items.push({ key, ...decodeRecord(key, value) });
      sizeBytes += value.byteLength + key.length + 64;
    }
    return { items, more: false };
  }

  write(operations: readonly MetaOperation[], call: CallContext): Promise<readonly string[]> {
    return this.#writer.write(operations, call);
  }

  async count(prefix: string): Promise<{ readonly count: number; readonly exact: boolean }> {
    const { meta } = this.#environment.snapshot();
    // No key begins with it; lmdb takes none as long for an end.
    if (prefix.length > MAX_KEY_BYTES) return { count: 0, exact: true };
    return { count: meta.getKeysCount({ ...rangeOf(prefix), ...endOf(prefix) }), exact: true };
  }
}

function rangeOf(start: string): { readonly start?: Buffer } {
  return start === "" ? {} : { start: keyBytes(start) };
}

/** The first key behind all that begin with the prefix: ASCII, so that its last byte has a next one. */
function endOf(prefix: string): { readonly end?: Buffer } {
  if (prefix === "") return {};
  const end = keyBytes(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return { end };
}
