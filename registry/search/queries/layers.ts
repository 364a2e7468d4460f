/** Images that build upon another one, or that it builds upon: by the layers they share. */
import type { Asking } from "../asking.ts";
import type { SearchView } from "../contract.ts";
import { QueryError } from "../errors.ts";
import { type Found, isIndex, readable } from "../facts.ts";
import { type PageInput, pageOf } from "../page.ts";
import type { ImageRecord } from "../record.ts";
import { selectImages } from "../selecting.ts";
import { imagesWhere, manifestsOf } from "./digests.ts";
import { type Images, noImage, showImages, splitTag } from "./images.ts";

export interface LayersArgs {
  /** repo:tag */
  readonly image: string;
  /** Of one of an index's images: that one alone. */
  readonly digest?: string | null;
  readonly requestedPage?: PageInput | null;
}

/** Digest of a manifest, and its layers. */
type LayersOf = ReadonlyMap<string, ReadonlySet<string>>;

/** Images that have all layers of this one, or of one of its platforms. */
export async function derivedImageList(args: LayersArgs, asking: Asking, values: number): Promise<Images> {
  const page = pageOf(args.requestedPage, "UPDATE_TIME", "images");
  const searched = await layersOf(args, asking);
  // Who holds all of one's layers holds its rarest.
  const names = new Set<string>();
  for (const layers of searched.values()) {
    const holders = await Promise.all([...layers].map((layer) => holdersOf(asking, layer)));
    const known = holders.filter((each) => each !== undefined);
    const rarest = known.sort((a, b) => a.length - b.length)[0];
    if (rarest === undefined && layers.size > 0) throw tooMany();
    for (const name of rarest ?? []) if (known.every((each) => each.includes(name))) names.add(name);
  }
  const found = await imagesAmong(names, asking, searched, (mine, theirs) => isWithin(mine, theirs));
  return showImages(asking, selectImages(found, page), values);
}

/** Images all of whose layers this one has, or one of its platforms. */
export async function baseImageList(args: LayersArgs, asking: Asking, values: number): Promise<Images> {
  const page = pageOf(args.requestedPage, "UPDATE_TIME", "images");
  const found = await basesOf(await layersOf(args, asking), asking);
  return showImages(asking, selectImages(found, page), values);
}

/** @param among names of repositories to look into; absent: all that hold one of the layers */
export async function basesOf(searched: LayersOf, asking: Asking, among?: string): Promise<Found[]> {
  const names = new Set<string>(among === undefined ? [] : [among]);
  if (among === undefined) {
    const layers = new Set([...searched.values()].flatMap((each) => [...each]));
    for (const holders of await Promise.all([...layers].map((layer) => holdersOf(asking, layer)))) {
      if (holders === undefined) throw tooMany();
      for (const name of holders) names.add(name);
    }
  }
  return imagesAmong(names, asking, searched, (mine, theirs) => isWithin(theirs, mine));
}

/** @throws QueryError in zot's words */
async function layersOf({ image, digest }: LayersArgs, asking: Asking): Promise<LayersOf> {
  const { layers } = asking.asker;
  if (layers !== undefined) return new Map(Object.entries(layers).map(([manifest, each]) => [manifest, new Set(each)]));
  const { name, tag } = splitTag(image);
  const repository = readable(await asking.view(), asking.scope, name);
  if (repository === undefined) throw new QueryError("repository not found");
  const found = repository.image(repository.tag(tag)?.digest ?? "");
  if (found === undefined) throw noImage(name, tag);
  const manifests = isIndex(found) ? found.children : [found.digest];
  if (digest && !manifests.includes(digest)) throw noImage(name, `${tag} with digest ${digest}`);
  const digests = digest ? [digest] : [...manifests];
  const records = await asking.records([{ name, digests }]);
  return new Map(
    digests.flatMap((each) => {
      const record = records.get(each);
      return record === undefined ? [] : [[each, layerSet(record)] as const];
    }),
  );
}

const MAX_HOLDERS = 10_000;

/** `undefined`: too many to look into. */
async function holdersOf(asking: Asking, layer: string): Promise<string[] | undefined> {
  const { holders, more } = await asking.parts.holders.of(layer, MAX_HOLDERS, asking.context);
  return more ? undefined : holders.flatMap(({ name }) => (asking.scope.has(name) ? name : []));
}

function tooMany(): QueryError {
  return new QueryError(
    `more than ${MAX_HOLDERS} repositories share each of these layers: that is too many to look through`,
  );
}

/** An image without layers builds upon nothing, and nothing upon it (zot finds it everywhere). */
async function imagesAmong(
  names: ReadonlySet<string>,
  asking: Asking,
  searched: LayersOf,
  related: (mine: ReadonlySet<string>, theirs: ReadonlySet<string>) => boolean,
): Promise<Found[]> {
  const sorted = [...names].sort();
  const view: SearchView = await asking.view();
  const wanted = sorted.flatMap((name) => {
    const repository = view.repository(name);
    return repository === undefined ? [] : { name, digests: manifestsOf(repository) };
  });
  asking.lookThrough(wanted.reduce((sum, { digests }) => sum + digests.length, 0));
  const records = await asking.records(wanted);
  const sets = [...searched.values()].filter(({ size }) => size > 0);
  const now = await asking.view();
  return sorted.flatMap((name) => {
    const repository = now.repository(name);
    if (repository === undefined) return [];
    return imagesWhere(repository, (digest) => {
      const record = searched.has(digest) ? undefined : records.get(digest);
      if (record === undefined || record.layers.length === 0) return false;
      const theirs = layerSet(record);
      return sets.some((mine) => related(mine, theirs));
    });
  });
}

function layerSet(record: ImageRecord): ReadonlySet<string> {
  return new Set(record.layers.map(({ digest }) => digest));
}

function isWithin(part: ReadonlySet<string>, whole: ReadonlySet<string>): boolean {
  return [...part].every((each) => whole.has(each));
}
