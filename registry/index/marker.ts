/** Whether the derived keys can be trusted: a marker that names the data they were derived from. */
import type { MetaItem, MetaOperation, Stores } from "../../client/contract.ts";
import { indexMarkerKey } from "../repository/keys.ts";

/** Raised when the derived keys get another form: older ones are then rebuilt. */
const FORMAT = 2;

export const OTHER_FORMAT = "the index has another format";

interface Marker {
  readonly format: number;
  readonly meta: { readonly id: string; readonly outside: number };
  readonly blobs: { readonly id: string; readonly outside: number };
}

/** The marker that would be right for what the stores are now. */
export function markerFor(stores: Stores): string {
  const { blobs, meta } = stores;
  const marker: Marker = {
    format: FORMAT,
    meta: { id: meta.facts.id, outside: meta.facts.outside },
    blobs: { id: blobs.facts.id, outside: blobs.facts.outside },
  };
  return JSON.stringify(marker);
}

/**
 * Why the index must be rebuilt; `undefined`: it need not.
 * @param isSame whether two blob stores hold the same blobs, since those were moved from one to the other
 */
export function whyRebuild(
  held: MetaItem | undefined,
  wanted: string,
  isSame: (id: string, other: string) => boolean = () => false,
): string | undefined {
  if (held === undefined) return "the store has no index yet";
  const text = held.value.toString("utf8");
  if (text === wanted) return undefined;
  try {
    const was = JSON.parse(text) as Partial<Marker>;
    const is = JSON.parse(wanted) as Marker;
    if (was.format !== is.format) return OTHER_FORMAT;
    if (was.meta?.id !== is.meta.id) return "the index was made for other stores";
    if (was.blobs?.id !== is.blobs.id) {
      if (was.blobs === undefined || !isSame(was.blobs.id, is.blobs.id)) return "the index was made for other stores";
      if (was.meta.outside === is.meta.outside) return undefined;
    }
    return "somebody else has changed the stored data";
  } catch {
    return "the index's marker cannot be read";
  }
}

export function putMarker(held: MetaItem | undefined, marker: string): MetaOperation {
  const condition = held === undefined ? ({ ifAbsent: true } as const) : { ifEtag: held.etag };
  return { kind: "put", key: indexMarkerKey, value: Buffer.from(marker), condition };
}
