/**
 * What a repository needs to go over to another member of a cluster (registry/members/): all that it holds, listed; its
 * manifests put without moving a tag; and marks that tell how far the handover is.
 */
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import { limits } from "../../proto/limits.ts";
import { decodePulls, decodeRecord, decodeTagRecord, type PullsRecord, pushedOf } from "../search/record.ts";
import type { ManifestFound, RequestContext } from "./contract.ts";
import type { Core } from "./core.ts";
import {
  addPreferences,
  type PreferencePage,
  preferencesFor,
  removePreferences,
  type UsersPreference,
} from "./handover-preferences.ts";
import {
  digestOf,
  handoverKey,
  handoversPrefix,
  imageKey,
  layersPrefix,
  parseHandoverKey,
  parseLink,
  parseTagKey,
  pullsKey,
  revisionsPrefix,
  searchTagKey,
  tagsPrefix,
} from "./keys.ts";
import { assertName } from "./names.ts";
import { getManifest } from "./pull.ts";
import { type ManifestPush, putManifest } from "./push-manifest.ts";
import { removeItems } from "./tidy.ts";

/** Two keys each in a Get; an image's record has up to 64 KiB. */
const RECORDS_AT_ONCE = 40;

export type ContentKind = "layers" | "revisions" | "tags";

export interface Content {
  readonly digest: string;
  /** Of tags. */
  readonly tag?: string;
  /** Of tags, Unix ms; absent: unknown. */
  readonly taggedMs?: number;
  /** Of revisions, Unix ms; absent: unknown. */
  readonly pushedMs?: number;
  readonly pushedBy?: string;
  /** Of revisions: as counted in the store so far. */
  readonly pulls?: PullsRecord;
}

export interface ContentPage {
  readonly items: readonly Content[];
  /** Where the next page begins; absent: this is the last one. */
  readonly next?: string;
}

export type HandoverPush = ManifestPush & Required<Pick<ManifestPush, "handedOver">>;

/** `taken`: all is here. `done`: and nothing is left where it was. */
export type HandoverState = "taken" | "done";

/** How far the handover of a repository is. */
export interface HandoverMark {
  /** `undefined`: something may still lie where it was alone. */
  readonly state: HandoverState | undefined;
  /** Goes with what is written by it: another core may be further meanwhile. */
  readonly unchanged: MetaOperation;
}

export interface Handover {
  /** From facts, in the order of their keys, which `after` is one of; "": from the beginning. */
  contents(name: string, kind: ContentKind, after: string, context: RequestContext): Promise<ContentPage>;
  /** No pull that counts. */
  getManifest(name: string, digest: string, context: RequestContext): Promise<ManifestFound | undefined>;
  /** As a push (ManifestPush.handedOver). */
  putManifest(name: string, push: HandoverPush, context: RequestContext): Promise<void>;
  /** Stars and bookmarks; `after` as that of `contents`. */
  preferences(name: string, after: string, context: RequestContext): Promise<PreferencePage>;
  addPreferences(name: string, items: readonly UsersPreference[], context: RequestContext): Promise<void>;
  removePreferences(name: string, context: RequestContext): Promise<void>;
  /** @param handover which change of members it belongs to, 16 hex digits */
  state(name: string, handover: string, context: RequestContext): Promise<HandoverMark>;
  /** `taken` once; `done` at any time. @throws CONDITION_FAILED: another core has marked it before */
  mark(name: string, handover: string, state: HandoverState, context: RequestContext): Promise<void>;
  /** Marks of other handovers say nothing any more: who has what was decided anew. */
  forgetOthers(handover: string, context: RequestContext): Promise<void>;
}

export function createHandover(core: Core): Handover {
  return {
    contents: (name, kind, after, context) => contents(core, name, kind, after, context),
    getManifest: (name, digest, context) => getManifest(core, name, { digest }, context),
    async putManifest(name, push, context) {
      await putManifest(core, name, push, context);
    },
    preferences: (name, after, context) => preferencesFor(core, name, after, context),
    addPreferences: (name, items, context) => addPreferences(core, name, items, context),
    removePreferences: (name, context) => removePreferences(core, name, context),
    async state(name, handover, context) {
      const key = handoverKey(handover, name);
      const [mark] = await core.ledger.get([key], context);
      const text = mark?.value.toString("utf8");
      const condition = mark === undefined ? ({ ifAbsent: true } as const) : { ifEtag: mark.etag };
      return {
        state: text === "taken" || text === "done" ? text : undefined,
        unchanged: { kind: "check", key, condition },
      };
    },
    async mark(name, handover, state, context) {
      const put = { kind: "put", key: handoverKey(handover, name), value: Buffer.from(state) } as const;
      await core.ledger.write([state === "taken" ? { ...put, condition: { ifAbsent: true } } : put], context);
    },
    async forgetOthers(handover, context) {
      const isStale = ({ key }: MetaItem) => parseHandoverKey(key)?.handover !== handover;
      await removeItems(core, handoversPrefix, isStale, context, false);
    },
  };
}

async function contents(
  core: Core,
  name: string,
  kind: ContentKind,
  after: string,
  context: RequestContext,
): Promise<ContentPage> {
  assertName(name);
  const prefix = { layers: layersPrefix, revisions: revisionsPrefix, tags: tagsPrefix }[kind](name);
  const page = await core.ledger.list(
    { prefix, limit: limits.listItems, ...(after === "" ? {} : { startAfter: prefix + after }) },
    context,
  );
  const items = page.items.flatMap(({ key, value }): Content[] => {
    if (kind === "tags") {
      const tag = parseTagKey(key)?.tag;
      const digest = digestOf(value.toString("utf8").replace(":", "/"));
      return tag === undefined || digest === undefined ? [] : [{ tag, digest }];
    }
    const link = parseLink(key);
    return link === undefined || link.kind === "tag" ? [] : [{ digest: link.digest }];
  });
  const last = page.items.at(-1)?.key;
  return {
    items: await withRecords(core, name, kind, items, context),
    ...(page.more && last !== undefined ? { next: last.slice(prefix.length) } : {}),
  };
}

/** With what the index tells of them beside the facts. */
async function withRecords(
  core: Core,
  name: string,
  kind: ContentKind,
  items: readonly Content[],
  context: RequestContext,
): Promise<Content[]> {
  if (kind === "layers") return [...items];
  const all: Content[] = [];
  for (let at = 0; at < items.length; at += RECORDS_AT_ONCE) {
    const some = items.slice(at, at + RECORDS_AT_ONCE);
    const keys = some.flatMap(({ digest, tag }) =>
      tag === undefined ? [imageKey(name, digest), pullsKey(name, digest)] : [searchTagKey(name, tag)],
    );
    const found = await core.ledger.get(keys, context);
    for (const [index, item] of some.entries()) {
      const [first, second] = item.tag === undefined ? found.slice(2 * index) : [found[index]];
      all.push({ ...item, ...(item.tag === undefined ? ofRevision(first, second) : ofTag(first, item.digest)) });
    }
  }
  return all;
}

function ofRevision(image: MetaItem | undefined, counted: MetaItem | undefined): Partial<Content> {
  const pulls = counted && decodePulls(counted.value);
  return {
    ...pushedOf((image && decodeRecord(image.value)) ?? {}),
    ...(pulls === undefined ? {} : { pulls: { count: pulls.count, lastMs: pulls.lastMs } }),
  };
}

function ofTag(searched: MetaItem | undefined, digest: string): Partial<Content> {
  const record = searched && decodeTagRecord(searched.value);
  return record?.digest !== digest || record.taggedMs === undefined ? {} : { taggedMs: record.taggedMs };
}
