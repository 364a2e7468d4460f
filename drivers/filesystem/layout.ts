/**
 * Where things lie, relative to the root. What distribution knows lies where distribution keeps it; everything else
 * lies under `outrigger/`, where distribution never looks.
 */

/** Bytes that distribution also keeps. Everything below is blob keys, in place. */
export const BLOBS = "docker/registry/v2/blobs";
/** Links that distribution also keeps: of the keys below, those that end in "/link" are files, in place. */
export const REPOSITORIES = "docker/registry/v2/repositories";

export const OWN = "outrigger";
/** Any other blob key. */
export const OTHER_BLOBS = `${OWN}/blob`;
export const UPLOADS = `${OWN}/uploads`;
/** Files before they get their name; emptied at every start. */
export const TEMPORARY = `${OWN}/tmp`;
export const NONCES = `${OWN}/nonce`;
export const LOG = `${OWN}/log`;
export const LOCK = `${OWN}/lock`;
export const INTENTS = `${OWN}/intents`;
export const IDS = `${OWN}/ids.json`;

/** Made at every start where absent. */
export const ownFolders: readonly string[] = [OWN, OTHER_BLOBS, UPLOADS, TEMPORARY, NONCES, LOG, LOCK];

/** The file of a blob key. */
export function blobPath(key: string): string {
  return key.startsWith(`${BLOBS}/`) ? key : `${OTHER_BLOBS}/${key}`;
}

/** Up to where folders are taken away once nothing is left in them. */
export function blobBase(key: string): string {
  return key.startsWith(`${BLOBS}/`) ? BLOBS : OTHER_BLOBS;
}

/** Whether a meta key is a file in place as well. */
export function isLink(key: string): boolean {
  return key.endsWith("/link") && key.startsWith(`${REPOSITORIES}/`);
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

export function join(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}
