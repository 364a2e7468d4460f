/** Searches over several registries that answer as one: who owns what, and how one of them is asked. */
import type { RequestContext } from "../../repository/contract.ts";
import type { GraphQlAnswer } from "../answer.ts";
import type { GraphQlRequest } from "../document.ts";

/** The id of the member that a repository's name is kept by. */
export type OwnerOf = (name: string) => string;

/** Layers of an image that lies elsewhere, by digest of its manifests. */
export type LayersByManifest = Readonly<Record<string, readonly string[]>>;

/** A question among members: theirs alone may carry what follows the query. */
export interface PeerRequest extends GraphQlRequest {
  readonly extensions?: {
    /** Of the image that DerivedImageList or BaseImageList asks about: it is another member's, and not looked up. */
    readonly layers?: LayersByManifest;
    /** Whoever asks may change nothing. */
    readonly readOnly?: true;
  };
}

/**
 * @returns what the member answered, not yet checked, whatever its status
 * @throws Error, when it did not; its message goes into the answer
 */
export type AskMember = (member: string, request: PeerRequest, context: PeerContext) => Promise<GraphQlAnswer>;

export interface PeerContext extends RequestContext {
  /** Name of the account that asks; "": nobody in particular. */
  readonly account: string;
  /** The member may have to wait for a scanner. */
  readonly mayScan: boolean;
  /** Told of each part of the answer that has come. @throws Error where the answers to the document are too large by now */
  readonly took: (sizeBytes: number) => void;
}

/** What one member's answer is not taken for; the rest of the answer is. */
export class MemberFault extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "MemberFault";
  }
}

export const DIGEST = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/;
export const MAX_LAYERS = 10_000;

/** What a peer sent as `extensions`. @throws Error in one sentence, when it is not that */
export function readExtensions(value: unknown): NonNullable<PeerRequest["extensions"]> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object") throw new Error("extensions is not a JSON object");
  const { layers, readOnly } = value as { readonly layers?: unknown; readonly readOnly?: unknown };
  if (readOnly !== undefined && readOnly !== true) throw new Error("extensions.readOnly is not true");
  const rest = readOnly === undefined ? {} : ({ readOnly } as const);
  if (layers === undefined) return rest;
  if (typeof layers !== "object" || layers === null || Array.isArray(layers)) {
    throw new Error("extensions.layers is not a JSON object");
  }
  let count = 0;
  for (const [manifest, each] of Object.entries(layers)) {
    if (!DIGEST.test(manifest)) throw new Error("extensions.layers has a key that is not a digest");
    if (!Array.isArray(each) || !each.every((layer) => typeof layer === "string" && DIGEST.test(layer))) {
      throw new Error(`extensions.layers of ${manifest} is not a list of digests`);
    }
    count += each.length;
  }
  if (count > MAX_LAYERS) throw new Error(`extensions.layers has ${count} layers, and ${MAX_LAYERS} are allowed`);
  return { layers: layers as LayersByManifest, ...rest };
}
