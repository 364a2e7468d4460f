/**
 * Where a store's private objects lie. `!` begins no key and no upload id: they collide with nothing, sort before every
 * key, and uploads list in the order of their ids.
 *
 *     !outrigger/store                    the store's id
 *     !outrigger/uploads/<id>             an upload's state
 *     !outrigger/bytes/<id>/<name>        its tails, and what is put together before it gets its key
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

export function bytesFolder(uploadId: string): string {
  return `${BYTES}${uploadId}/`;
}

/** Where an upload's bytes are put together when they cannot be under their key at once. */
export function stagedName(uploadId: string): string {
  return `${bytesFolder(uploadId)}data`;
}

export function tailName(uploadId: string, token: string, startBytes: number, endBytes: number): string {
  return `${bytesFolder(uploadId)}tail-${token}-${startBytes}-${endBytes}`;
}

/** Of a name under BYTES. */
export function uploadOf(name: string): string {
  return name.slice(BYTES.length, name.indexOf("/", BYTES.length));
}
