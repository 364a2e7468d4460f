/** What of a recorded request belongs to its own time and driver, made anew: stores' ids, times, etags. */
import type protobuf from "protobufjs";
import { headers } from "../../proto/metadata.ts";
import type { Method } from "../rpc/schema.ts";

type Plain = Record<string, unknown>;

export class Renewal {
  /** By store kind, the ids of the driver that is asked now. */
  readonly #stores: Readonly<Record<string, string>>;
  /** Now, minus the recording's beginning, ms. */
  readonly #laterMs: number;
  /** By store kind, key and recorded etag: the one that this driver gave. */
  readonly #etags = new Map<string, string>();

  constructor(stores: Readonly<Record<string, string>>, laterMs: number) {
    this.#stores = stores;
    this.#laterMs = laterMs;
  }

  metadata(method: Method, recorded: Readonly<Record<string, string>>): Record<string, string> {
    const { [headers.store]: store, [headers.notAfter]: notAfter, "grpc-timeout": _timeout, ...rest } = recorded;
    const id = method.store === undefined ? undefined : this.#stores[method.store];
    return {
      ...rest,
      ...(store === undefined ? {} : { [headers.store]: id ?? store }),
      ...(notAfter === undefined ? {} : { [headers.notAfter]: this.#later(notAfter) }),
    };
  }

  #later(notAfter: string): string {
    return /^\d+$/.test(notAfter) ? String(Number(notAfter) + this.#laterMs) : notAfter;
  }

  /** The same message with its times and etags of now; one that cannot be read stays as it is. */
  request(method: Method, data: Buffer): Buffer {
    let message: protobuf.Message & Plain;
    try {
      message = method.request.decode(data) as protobuf.Message & Plain;
    } catch {
      return data;
    }
    if (!this.#renew(method, message)) return data;
    return Buffer.from(method.request.encode(message).finish());
  }

  /** @returns whether anything was changed */
  #renew(method: Method, message: Plain): boolean {
    let changed = false;
    for (const part of [message, message["open"], message["commit"]] as (Plain | null | undefined)[]) {
      if (!part) continue;
      if (Object.hasOwn(part, "notAfterMs") && Number(part["notAfterMs"]) > 0) {
        part["notAfterMs"] = Number(part["notAfterMs"]) + this.#laterMs;
        changed = true;
      }
    }
    for (const part of [message, ...((message["operations"] as Plain[] | undefined) ?? [])]) {
      if (!Object.hasOwn(part, "ifEtag")) continue;
      const now = this.#etags.get(etagName(method, String(part["key"]), String(part["ifEtag"])));
      if (now === undefined) continue;
      part["ifEtag"] = now;
      changed = true;
    }
    return changed;
  }

  /** Two answers to one request: which of this driver's etags stands for which recorded one. */
  learn(method: Method, recorded: readonly Plain[], answered: readonly Plain[]): void {
    const found = answered.flatMap(etagsIn);
    for (const [at, { key, etag }] of recorded.flatMap(etagsIn).entries()) {
      const now = found[at];
      if (now?.key === key) this.#etags.set(etagName(method, key, etag), now.etag);
    }
  }
}

function etagName({ store }: Method, key: string, etag: string): string {
  return `${store} ${key} ${etag}`;
}

/** Every object with a key and an etag, in order. */
function etagsIn(value: unknown): { key: string; etag: string }[] {
  if (Array.isArray(value)) return value.flatMap(etagsIn);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return [];
  const { key, etag } = value as Plain;
  const own = typeof key === "string" && typeof etag === "string" && etag !== "" ? [{ key, etag }] : [];
  return [...own, ...Object.values(value).flatMap(etagsIn)];
}
