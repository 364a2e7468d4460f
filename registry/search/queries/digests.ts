/** Images by a digest that they have somewhere: as manifest, as an index's image, as config, as layer. */
import type { Asking } from "../asking.ts";
import type { ImageView, RepositoryView } from "../contract.ts";
import { QueryError } from "../errors.ts";
import type { Found } from "../facts.ts";

const DIGEST_OR_BEGINNING = /^(?:(sha256|sha512):)?([0-9a-f]{1,128})$/;
const LEAST_DIGITS = 6;
/** Repositories that are looked into for one digest. */
const MAX_HOLDERS = 10_000;

/**
 * In the order of names and tags.
 * @param id a digest, or at least the first 6 digits of one; without an algorithm, sha256
 * @throws QueryError
 */
export async function found(asking: Asking, id: string): Promise<Found[]> {
  const [, algorithm = "sha256", digits] = DIGEST_OR_BEGINNING.exec(id.toLowerCase()) ?? [];
  // Nothing has such a digest.
  if (digits === undefined) return [];
  if (digits.length < LEAST_DIGITS)
    throw new QueryError(`a digest is searched for by at least ${LEAST_DIGITS} of its digits`);
  const { holders, more } = await asking.parts.holders.of(`${algorithm}:${digits}`, MAX_HOLDERS, asking.context);
  if (more) throw new QueryError(`more than ${MAX_HOLDERS} repositories hold ${id}: search for more of its digits`);
  const digests = new Map<string, Set<string>>();
  for (const { name, digest } of holders) {
    if (!asking.scope.has(name)) continue;
    digests.set(name, (digests.get(name) ?? new Set()).add(digest));
  }
  return imagesThatHave(asking, digests);
}

/** @param digests by repository: any one of them makes an image be found */
async function imagesThatHave(asking: Asking, digests: ReadonlyMap<string, ReadonlySet<string>>): Promise<Found[]> {
  const names = [...digests.keys()].sort();
  const view = await asking.view();
  // Manifests are known to the view; what else a repository holds may be a layer or a config of any of its images.
  const inRecords = names.flatMap((name) => {
    const repository = view.repository(name);
    const others = [...(digests.get(name) ?? [])].filter((digest) => repository?.image(digest) === undefined);
    return repository === undefined || others.length === 0 ? [] : { name, digests: manifestsOf(repository) };
  });
  asking.lookThrough(inRecords.reduce((sum, each) => sum + each.digests.length, 0));
  const records = await asking.records(inRecords);
  const now = await asking.view();
  return names.flatMap((name) => {
    const repository = now.repository(name);
    const wanted = digests.get(name);
    if (repository === undefined || wanted === undefined) return [];
    return imagesWhere(repository, (digest) => {
      const record = wanted.has(digest) ? undefined : records.get(digest);
      if (wanted.has(digest) || (record?.config !== undefined && wanted.has(record.config.digest))) return true;
      return record?.layers.some((layer) => wanted.has(layer.digest)) ?? false;
    });
  });
}

/** What a repository's tags stand for: indexes and images, each once. */
export function manifestsOf(repository: RepositoryView): string[] {
  const digests = new Set<string>();
  for (const { digest } of repository.tags()) {
    digests.add(digest);
    for (const child of repository.image(digest)?.children ?? []) digests.add(child);
  }
  return [...digests];
}

/** Tags that stand for a manifest that fits, or for an index of which some do: of it those alone are shown. */
export function imagesWhere(repository: RepositoryView, fits: (digest: string) => boolean): Found[] {
  const found: Found[] = [];
  for (const tag of repository.tags()) {
    const image: ImageView | undefined = repository.image(tag.digest);
    if (image === undefined) continue;
    if (fits(image.digest)) found.push({ repository, tag });
    else {
      const only = new Set(image.children.filter(fits));
      if (only.size > 0) found.push({ repository, tag, only });
    }
  }
  return found;
}
