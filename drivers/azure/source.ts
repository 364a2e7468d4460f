/** Signed URLs: for the account itself, which reads the source of a copy by one, and for clients (SIGN_URL). */

import type { TokenCredential } from "@azure/identity";
import {
  BlobSASPermissions,
  BlobServiceClient,
  type ContainerClient,
  generateBlobSASQueryParameters,
  type HttpAuthorization,
  SASProtocol,
  StorageOAuthScopes,
  StorageSharedKeyCredential,
  type UserDelegationKey,
} from "@azure/storage-blob";
import type { Account } from "./credentials.ts";

export interface Source {
  of(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly url: string; readonly sourceAuthorization?: HttpAuthorization }>;
}

export interface Signer {
  /** A URL by which anybody may read the blob until then. */
  sign(name: string, expires: Date, signal: AbortSignal): Promise<string>;
}

const HOUR_MS = 60 * 60 * 1000;
/** How long a copy may take to begin. */
const SOURCE_MS = HOUR_MS;
/** A delegation key lives at most seven days; what is signed by it no longer than it. */
const DELEGATION_MS = 7 * 24 * HOUR_MS - HOUR_MS;
const SIGNED_MOST_MS = 24 * HOUR_MS;

export function byKey(container: ContainerClient, credential: StorageSharedKeyCredential) {
  const signer: Signer = { sign: async (name, expires) => signed(container, name, expires, credential) };
  const source: Source = {
    of: async (name, signal) => ({ url: await signer.sign(name, new Date(Date.now() + SOURCE_MS), signal) }),
  };
  return { source, signer };
}

export function byIdentity(account: Account, container: ContainerClient, credential: TokenCredential) {
  const source: Source = {
    async of(name, signal) {
      const token = await credential.getToken(StorageOAuthScopes, { abortSignal: signal });
      if (token === null) throw new Error("the identity gives no token");
      return {
        url: container.getBlobClient(name).url,
        sourceAuthorization: { scheme: "Bearer", value: token.token },
      };
    },
  };
  const service = new BlobServiceClient(account.url, credential, { retryOptions: { maxTries: 1 } });
  let known: UserDelegationKey | undefined;
  const signer: Signer = {
    async sign(name, expires, signal) {
      if (known === undefined || known.signedExpiresOn < expires) {
        const now = Date.now();
        // A quarter of an hour ago: their clock may be behind.
        const from = new Date(now - HOUR_MS / 4);
        known = await service.getUserDelegationKey(from, new Date(now + DELEGATION_MS), { abortSignal: signal });
      }
      return signed(container, name, expires, known);
    },
  };
  return { source, signer };
}

function signed(
  container: ContainerClient,
  name: string,
  expiresOn: Date,
  by: StorageSharedKeyCredential | UserDelegationKey,
): string {
  const blob = container.getBlobClient(name);
  const values = {
    containerName: container.containerName,
    blobName: name,
    permissions: BlobSASPermissions.from({ read: true }),
    expiresOn,
    ...(blob.url.startsWith("https:") ? { protocol: SASProtocol.Https } : {}),
  };
  const query =
    by instanceof StorageSharedKeyCredential
      ? generateBlobSASQueryParameters(values, by)
      : generateBlobSASQueryParameters(values, by, container.accountName);
  return `${blob.url}?${query}`;
}

/** @returns how long a URL may be good for */
export function signedFor(ttlMs: number): number {
  return Math.min(ttlMs, SIGNED_MOST_MS);
}
