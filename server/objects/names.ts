/**
 * Where a store's private objects lie. `!` begins no key and no upload id: they collide with nothing, sort before every
 * key, and uploads list in the order of their ids.
 *
 *     !outrigger/store                        the store's id
 *     !outrigger/uploads/<id>                 an upload's state
 *     !outrigger/bytes/<id>/<incarnation>/    its tails, and what its streams put together without a key
 */

export const PRIVATE = "!outrigger/";
export const STORE = `${PRIVATE}store`;
export const UPLOADS = `${PRIVATE}uploads/`;
export const BYTES = `${PRIVATE}bytes/`;
/** Above every private name, below every key. */
export const AFTER_PRIVATE = "!outrigger0";

export function stateName(uploadId: string): string {
  return UPLOADS + uploadId;
}

/** @param incarnation sets an upload apart from a later one of the same id */
export function bytesFolder(uploadId: string, incarnation: string): string {
  return `${BYTES}${uploadId}/${incarnation}/`;
}

/**
 * Where a stream puts an upload's bytes together when they cannot be under their key at once: a name of its own, since
 * what an older stream began is abandoned while a newer one goes on. Without a token: as uploads named it before.
 */
export function stagedName(uploadId: string, incarnation: string, token?: string): string {
  return `${bytesFolder(uploadId, incarnation)}data${token === undefined ? "" : `-${token}`}`;
}

export function tailName(folder: string, token: string, startBytes: number, endBytes: number): string {
  return `${folder}tail-${token}-${startBytes}-${endBytes}`;
}

/** Whose bytes lie under a name of BYTES. */
export function ownerOf(name: string): { readonly uploadId: string; readonly incarnation: string } {
  const [uploadId = "", incarnation = ""] = name.slice(BYTES.length).split("/");
  return { uploadId, incarnation };
}
