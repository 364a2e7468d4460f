/** What a repository or an image must have (Filter): zot's rules. */
import type { Platform } from "./contract.ts";
import { QueryError } from "./errors.ts";

export interface FilterInput {
  readonly Os?: readonly (string | null)[] | null;
  readonly Arch?: readonly (string | null)[] | null;
  readonly HasToBeSigned?: boolean | null;
  readonly IsBookmarked?: boolean | null;
  readonly IsStarred?: boolean | null;
}

export interface Filter {
  /** In lower case; empty: any. */
  readonly os: ReadonlySet<string>;
  readonly arch: ReadonlySet<string>;
  readonly hasToBeSigned: boolean;
  readonly isBookmarked: boolean | undefined;
  readonly isStarred: boolean | undefined;
  /** Nothing is filtered. */
  readonly isEmpty: boolean;
}

const MAX_TEXT_BYTES = 256;
const MAX_TEXTS = 100;

/** @throws QueryError for texts that are too long, or too many */
export function filterOf(input: FilterInput | null | undefined): Filter {
  const os = texts(input?.Os, "os");
  const arch = texts(input?.Arch, "arch");
  const hasToBeSigned = input?.HasToBeSigned ?? false;
  const isBookmarked = input?.IsBookmarked ?? undefined;
  const isStarred = input?.IsStarred ?? undefined;
  const isEmpty =
    os.size === 0 && arch.size === 0 && !hasToBeSigned && isBookmarked === undefined && isStarred === undefined;
  return { os, arch, hasToBeSigned, isBookmarked, isStarred, isEmpty };
}

function texts(given: readonly (string | null)[] | null | undefined, name: string): ReadonlySet<string> {
  if ((given?.length ?? 0) > MAX_TEXTS) {
    throw new QueryError(`${given?.length} values of the ${name} parameter: at most ${MAX_TEXTS} are looked for`);
  }
  const found = new Set<string>();
  for (const each of given ?? []) {
    const text = (each ?? "").trim().toLowerCase();
    const sizeBytes = Buffer.byteLength(text);
    if (sizeBytes > MAX_TEXT_BYTES) throw tooLong(name, sizeBytes);
    if (text !== "") found.add(text);
  }
  return found;
}

/** zot's sentence. */
export function tooLong(name: string, sizeBytes: number): QueryError {
  return new QueryError(
    `max string size limit exceeded for ${name} parameter. max=${MAX_TEXT_BYTES} current=${sizeBytes} request parameter has invalid value`,
  );
}

/**
 * One platform must fit both lists. arm64 also finds arm64/v8: GOARCH, which the schema tells clients to write, has no
 * variants (zot compares with the variant and finds nothing).
 */
export function platformsFit(filter: Filter, platforms: Iterable<Platform>): boolean {
  if (filter.os.size === 0 && filter.arch.size === 0) return true;
  for (const { os, arch, variant } of platforms) {
    if (filter.os.size > 0 && !filter.os.has(os.toLowerCase())) continue;
    const plain = arch.toLowerCase();
    if (filter.arch.size === 0 || filter.arch.has(plain)) return true;
    if (variant !== undefined && filter.arch.has(`${plain}/${variant.toLowerCase()}`)) return true;
  }
  return false;
}

/** As answers show it. */
export function showArch({ arch, variant }: { readonly arch: string; readonly variant?: string }): string {
  return variant === undefined || variant === "" ? arch : `${arch}/${variant}`;
}
