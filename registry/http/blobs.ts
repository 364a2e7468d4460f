/** /v2/<name>/blobs/<digest>: pull (end-2), delete (end-10). */
import { RegistryError } from "../errors.ts";
import { answer, type Exchange, matchesEtag, type Redirect } from "./exchange.ts";
import { assertDigest } from "./names.ts";
import { parseRange } from "./range.ts";
import { sendBlob } from "./send-blob.ts";

export async function pullBlob(exchange: Exchange): Promise<void> {
  const { route, request, context, shared } = exchange;
  const { name, reference: digest } = route;
  assertDigest(digest);
  const { range: rangeHeader, "if-none-match": ifNoneMatch } = request.headers;
  const ifRange = request.headers["if-range"]?.toString();
  const conditional = ifNoneMatch !== undefined && matchesEtag(ifNoneMatch, digest);
  const ranged = rangeHeader !== undefined && (ifRange === undefined || matchesEtag(ifRange, digest));
  if (request.method === "HEAD" || conditional || ranged) {
    const found = await shared.repositories.statBlob(name, digest, context);
    if (!found) throw unknown(name, digest);
    if (conditional) return answer(exchange, 304, ["ETag", `"${digest}"`, "Docker-Content-Digest", digest]);
    // Range is a matter of GET alone (RFC 9110, 14.2).
    if (request.method === "HEAD") return answer(exchange, 200, blobHeaders(digest, found.sizeBytes));
    const range = ranged
      ? withSize(exchange, () => parseRange(rangeHeader, found.sizeBytes), found.sizeBytes)
      : undefined;
    if (range) {
      const read = await shared.repositories.readBlob(name, digest, range, context);
      if (!read) throw unknown(name, digest);
      const last = range.offsetBytes + range.limitBytes - 1;
      const headers = blobHeaders(digest, range.limitBytes);
      headers.push("Content-Range", `bytes ${range.offsetBytes}-${last}/${found.sizeBytes}`);
      return sendBlob(exchange, 206, headers, read);
    }
  }
  if (shared.redirect && (await redirected(exchange, shared.redirect, digest))) return;
  const read = await shared.repositories.readBlob(name, digest, undefined, context);
  if (!read) throw unknown(name, digest);
  return sendBlob(exchange, 200, blobHeaders(digest, read.lengthBytes), read);
}

/** Whether the client was sent to the storage itself. Its right to the blob is settled before an address is made. */
async function redirected(exchange: Exchange, redirect: Redirect, digest: string): Promise<boolean> {
  const { route, shared, context } = exchange;
  const found = await shared.repositories.statBlob(route.name, digest, context);
  if (!found || found.sizeBytes < redirect.minBytes) return false;
  const url = await redirect.sign(route.name, digest, context);
  if (url === undefined) return false;
  answer(exchange, 307, ["Location", url, "Docker-Content-Digest", digest, "Content-Length", "0"]);
  return true;
}

export async function deleteBlob(exchange: Exchange): Promise<void> {
  const { name, reference: digest } = exchange.route;
  assertDigest(digest);
  if (!(await exchange.shared.repositories.deleteBlob(name, digest, exchange.context))) throw unknown(name, digest);
  answer(exchange, 202, ["Docker-Content-Digest", digest, "Content-Length", "0"]);
}

function blobHeaders(digest: string, lengthBytes: number): string[] {
  return [
    "Content-Type",
    "application/octet-stream",
    "Content-Length",
    String(lengthBytes),
    "Docker-Content-Digest",
    digest,
    "ETag",
    `"${digest}"`,
    "Accept-Ranges",
    "bytes",
    // What a digest names never changes.
    "Cache-Control",
    "max-age=31536000",
  ];
}

/** A range that cannot be answered says what can (RFC 9110, 15.5.17). */
function withSize<Result>(exchange: Exchange, run: () => Result, sizeBytes: number): Result {
  try {
    return run();
  } catch (error) {
    exchange.response.setHeader("Content-Range", `bytes */${sizeBytes}`);
    throw error;
  }
}

function unknown(name: string, digest: string): RegistryError {
  return new RegistryError("BLOB_UNKNOWN", "the blob is not in this repository", { detail: { name, digest } });
}
