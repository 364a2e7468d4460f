/**
 * What an image says of itself, by OCI's keys or the older ones of label-schema (OCI image-spec, annotations.md, "Back-
 * compatibility with Label Schema"): the manifest's annotations first, then the config's labels.
 */
import type { ImageRecord } from "./record.ts";
import { msOf, showTime } from "./times.ts";

export interface Told {
  readonly description: string;
  readonly licenses: string;
  readonly title: string;
  readonly documentation: string;
  readonly source: string;
  readonly labels: string;
  readonly vendor: string;
  readonly authors: string;
}

type Texts = Readonly<Record<string, string>> | undefined;

const KEYS: { readonly [Key in keyof Told]: readonly string[] } = {
  description: ["org.opencontainers.image.description", "org.label-schema.description"],
  licenses: ["org.opencontainers.image.licenses", "org.label-schema.license"],
  title: ["org.opencontainers.image.title", "org.label-schema.name"],
  documentation: ["org.opencontainers.image.documentation", "org.label-schema.usage"],
  source: ["org.opencontainers.image.source", "org.label-schema.vcs-url"],
  labels: ["org.label-schema.labels"],
  vendor: ["org.opencontainers.image.vendor", "org.label-schema.vendor"],
  authors: ["org.opencontainers.image.authors"],
};
const CREATED = ["org.opencontainers.image.created", "org.label-schema.build-date"];

/** @param firstChild of an index: what it does not say itself, its first image does */
export function toldBy(record: ImageRecord, firstChild?: ImageRecord): Told {
  const texts = sources(record, firstChild);
  const told = (key: keyof Told) => first(texts, KEYS[key]);
  return {
    description: told("description"),
    licenses: told("licenses"),
    title: told("title"),
    documentation: told("documentation"),
    source: told("source"),
    labels: told("labels"),
    vendor: told("vendor"),
    authors: told("authors"),
  };
}

/**
 * When an image was made: its annotation, else its config, else the newest entry of its history; of an index: the newest of
 * what it says itself and of its images. As `showTime`; what sorts by time goes by `msOf` of it.
 */
export function createdOf(record: ImageRecord, children: readonly ImageRecord[] = []): string | undefined {
  const said = showTime(first([record.annotations, record.image?.labels], CREATED) || undefined);
  if (record.manifests !== undefined) return newest([said, ...children.map((child) => createdOf(child))]);
  return said ?? showTime(record.image?.created) ?? showTime(record.image?.history?.at(-1)?.created);
}

function newest(times: readonly (string | undefined)[]): string | undefined {
  return times.reduce((best, time) => (msOf(time) > msOf(best) ? time : best), undefined);
}

function sources(record: ImageRecord, firstChild: ImageRecord | undefined): Texts[] {
  return [record.annotations, record.image?.labels, firstChild?.annotations, firstChild?.image?.labels];
}

function first(texts: readonly Texts[], keys: readonly string[]): string {
  for (const each of texts) for (const key of keys) if (each?.[key]) return each[key];
  return "";
}
