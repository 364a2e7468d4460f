/**
 * Several cores with the registry's rules on the same two repositories: images pushed, retagged, pulled, mounted and
 * deleted at once. A tag names a manifest that is there, a manifest its layers; what was acknowledged is seen by all cores.
 */
import { createHash } from "node:crypto";
import type { RequestContext } from "../../../registry/repository/contract.ts";
import { collect } from "../../../registry/repository/core.ts";
import {
  blobKey,
  imageKey,
  layerLink,
  parseLink,
  parseSearchKey,
  revisionLink,
  searchTagKey,
  tagLink,
} from "../../../registry/repository/keys.ts";
import { mediaTypes } from "../../../registry/repository/manifest.ts";
import { decodeTagRecord } from "../../../registry/search/record.ts";
import { type Change, History, type ReadInHistory, type WriteInHistory } from "../history.ts";
import type { Task } from "../plan.ts";
import { Random } from "../random.ts";
import { type CoreSlot, pause, type Simulation, told, UNLUCKY, type Workload } from "../simulation.ts";

const NAMES = ["r/a", "r-b"];
const TAGS = ["1.0", "1.0-alpine", "latest"];
const WRITE_MS = 10_000;
const SLACK_MS = 5_000;

interface Blob {
  readonly digest: string;
  readonly bytes: Buffer;
}

interface Image extends Blob {
  /** Indexes of its config and layers. */
  readonly blobs: readonly number[];
}

const blobs: readonly Blob[] = Array.from({ length: 4 }, (_, i) => blobOf(new Random(i + 77).bytes(20 + i * 23)));
const images: readonly Image[] = [
  [0, 1],
  [0, 2],
  [0, 1, 2],
  [0, 3],
  [1, 2, 3],
].map((of, i) => imageOf(of, i));

/** Each register of the model: what it is about, and its history. */
type Register = "tag" | "revision" | "layer";

export class RegistryWorkload implements Workload {
  readonly #simulation: Simulation;
  readonly #histories = new Map<string, History>();
  /** Things somebody has begun to delete: they may be missing from then on. */
  readonly #deleting = new Set<string>();
  #requests = 0;
  #looked = -1;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    simulation.backend.onChange = () => {
      this.#changed = true;
    };
  }

  #changed = false;

  async task(task: Task, slot: CoreSlot): Promise<void> {
    const random = new Random(task.seed);
    if (slot.core === undefined || !slot.core.started) return;
    const { hot } = this.#simulation.plan;
    const name = hot ? "r/a" : random.pick(NAMES);
    const tag = random.pick(TAGS);
    const image = random.below(hot ? 2 : images.length);
    const blob = random.below(hot ? 3 : blobs.length);
    switch (task.what) {
      case "push image":
        return this.#pushImage(slot, name, image, random.chance(0.3) ? [...TAGS].slice(0, 2) : [tag], random);
      case "retag":
        await this.#putManifest(slot, name, image, [tag]);
        return;
      case "pull image":
        return this.#pull(slot, name, tag);
      case "read tag":
        await (random.chance(0.4) ? this.#searchTag(slot, name, tag) : this.#readTag(slot, name, tag));
        return;
      case "delete tag":
        return this.#deleteTag(slot, name, tag);
      case "delete manifest":
        return this.#deleteManifest(slot, name, image);
      case "delete blob":
        return this.#deleteBlob(slot, name, blob);
      case "push blob":
        await this.#pushBlob(slot, name, blob, random);
        return;
      case "mount blob":
        return this.#mount(slot, name, blob);
      case "list tags":
        return this.#listTags(slot, name);
      default:
        throw new Error(`no such task: ${task.what}`);
    }
  }

  async finish(slot: CoreSlot): Promise<void> {
    let looker = slot;
    // With `cores: one` any core may be the one that holds the stores.
    while (looker.core?.started !== true) {
      await pause(slot.life.clock, 100);
      looker = this.#simulation.cores.find(({ core }) => core?.started) ?? slot;
    }
    for (const name of NAMES) {
      await this.#listTags(looker, name);
      for (const tag of TAGS) {
        await this.#readTag(looker, name, tag);
        await this.#searchTag(looker, name, tag);
        await this.#pull(looker, name, tag);
      }
    }
    await this.#wholeStore(looker);
  }

  /** Where the backend can be looked into, after every change. */
  look(): void {
    if (!this.#changed || this.#simulation.plan.topology !== "replicas") return;
    this.#changed = false;
    const { backend } = this.#simulation;
    if (backend.itemChanges === this.#looked) return;
    this.#looked = backend.itemChanges;
    const items = new Map([...backend.items].map(([key, { value }]) => [key, value.toString()]));
    this.#assertNothingDangles(items, (digest) => backend.blobs.has(blobKey(digest)));
    this.#assertSearchIsRight(items);
  }

  /** All that search tells has its fact, and every fact is told. */
  #assertSearchIsRight(items: ReadonlyMap<string, string>): void {
    const { world } = this.#simulation;
    const expect = (holds: boolean, key: string) =>
      world.expect("search tells of what there is", holds, () => `${key}: ${items.get(key)}`);
    for (const [key, value] of items) {
      const link = parseLink(key);
      if (link?.kind === "revision") expect(items.has(imageKey(link.name, link.digest)), key);
      if (link?.kind === "tag") expect(items.has(searchTagKey(link.name, link.tag)), key);
      const searched = parseSearchKey(key);
      if (searched?.kind === "tag") {
        const digest = decodeTagRecord(Buffer.from(value))?.digest;
        expect(items.get(tagLink(searched.name, searched.tag)) === digest, key);
      } else if (searched?.kind === "image" || searched?.kind === "pulls") {
        expect(items.has(revisionLink(searched.name, searched.digest)), key);
      }
    }
  }

  #assertNothingDangles(items: ReadonlyMap<string, string>, hasBytes: (digest: string) => boolean): void {
    const { world } = this.#simulation;
    for (const [key, digest] of items) {
      const link = parseLink(key);
      if (link === undefined) continue;
      if (link.kind === "tag") {
        world.expect(
          "a tag names a manifest that is there",
          items.has(revisionLink(link.name, digest)),
          () => `${key} names ${digest}`,
        );
      } else if (link.kind === "revision") {
        const image = images.find((one) => one.digest === link.digest);
        world.expect("linked bytes are there", hasBytes(link.digest), () => `${key} has no bytes`);
        for (const blob of image?.blobs ?? []) {
          const layer = blobs[blob] as Blob;
          world.expect(
            "a manifest's layers are in its repository",
            items.has(layerLink(link.name, layer.digest)) && hasBytes(layer.digest),
            () => `${key} needs blob ${blob}, ${layer.digest}, which is not in ${link.name}`,
          );
        }
      } else if (link.kind === "layer") {
        world.expect("linked bytes are there", hasBytes(link.digest), () => `${key} has no bytes`);
      }
    }
  }

  async #wholeStore(slot: CoreSlot): Promise<void> {
    const { core } = slot;
    if (core === undefined) return;
    try {
      const bytes = await core.blobs.list({ prefix: "docker/" });
      const { items, more } = await core.meta.list({ prefix: "" });
      const keys = new Set(bytes.items.map(({ key }) => key));
      const known = new Map(items.map(({ key, value }) => [key, value.toString()]));
      this.#assertNothingDangles(known, (digest) => keys.has(blobKey(digest)));
      // A page is of one moment.
      if (!more) this.#assertSearchIsRight(known);
    } catch (error) {
      this.#allow("look at everything", told(error), [], error);
    }
  }

  // Pushes.

  async #pushImage(
    slot: CoreSlot,
    name: string,
    image: number,
    tags: readonly string[],
    random: Random,
  ): Promise<void> {
    for (const blob of (images[image] as Image).blobs) {
      const there = random.chance(0.7) ? await this.#statBlob(slot, name, blob) : false;
      if (!there && !(await this.#pushBlob(slot, name, blob, random))) return;
    }
    await this.#putManifest(slot, name, image, tags);
  }

  async #statBlob(slot: CoreSlot, name: string, blob: number): Promise<boolean> {
    const read = this.#read(slot, "layer", name, blob);
    try {
      const found = await repositories(slot).statBlob(name, (blobs[blob] as Blob).digest, this.#context());
      read.saw([found === undefined ? 0 : 1]);
      return found !== undefined;
    } catch (error) {
      this.#allow("stat of a blob", told(error), [], error);
      read.failed();
      return false;
    }
  }

  async #pushBlob(slot: CoreSlot, name: string, blob: number, random: Random): Promise<boolean> {
    const { bytes, digest } = blobs[blob] as Blob;
    const context = this.#context();
    const write = this.#write(slot, "layer", name, blob, [{ key: 0, put: 1 }], context);
    try {
      const registry = repositories(slot);
      let session = registry.startUpload(name, "sha256");
      const cut = random.chance(0.4) ? random.below(bytes.length) : 0;
      if (cut > 0) {
        session = await registry.appendUpload(
          session,
          { offsetBytes: 0, bytes: pieces(slot, bytes.subarray(0, cut), random) },
          context,
        );
      }
      const found = await registry.finishUpload(
        session,
        digest,
        { offsetBytes: session.offsetBytes, bytes: pieces(slot, bytes.subarray(session.offsetBytes), random) },
        context,
      );
      this.#simulation.world.expect("a pushed blob is answered as it is", found.sizeBytes === bytes.length, () =>
        JSON.stringify(found),
      );
      write.applied();
      return true;
    } catch (error) {
      this.#allow("push of a blob", told(error), this.#storm() ? ["oci BLOB_UPLOAD_UNKNOWN"] : [], error);
      write.unknown();
      return false;
    }
  }

  async #mount(slot: CoreSlot, name: string, blob: number): Promise<void> {
    const context = this.#context();
    const write = this.#write(slot, "layer", name, blob, [{ key: 0, put: 1 }], context);
    try {
      const found = await repositories(slot).mountBlob(
        name,
        (blobs[blob] as Blob).digest,
        { mayRead: () => true },
        context,
      );
      if (found === undefined) write.unknown();
      else write.applied();
    } catch (error) {
      this.#allow("mount", told(error), [], error);
      write.unknown();
    }
  }

  async #putManifest(slot: CoreSlot, name: string, image: number, tags: readonly string[]): Promise<void> {
    const { bytes, digest } = images[image] as Image;
    const context = this.#context();
    const writes = [
      this.#write(slot, "revision", name, image, [{ key: 0, put: 1 }], context),
      ...tags.map((tag) => this.#write(slot, "tag", name, TAGS.indexOf(tag), [{ key: 0, put: image + 1 }], context)),
    ];
    try {
      const pushed = await repositories(slot).putManifest(
        name,
        { bytes, contentType: mediaTypes.ociManifest, tags },
        context,
      );
      this.#simulation.world.expect("a pushed manifest is answered as it is", pushed.digest === digest, () =>
        JSON.stringify(pushed),
      );
      for (const write of writes) write.applied();
    } catch (error) {
      const reason = told(error);
      if (reason === "oci MANIFEST_BLOB_UNKNOWN") {
        this.#simulation.world.coverage.count("rule a manifest without its layers is refused");
        for (const write of writes) write.refused();
        return;
      }
      this.#allow("push of a manifest", reason, [], error);
      for (const write of writes) write.unknown();
    }
  }

  // Pulls.

  async #readTag(slot: CoreSlot, name: string, tag: string): Promise<number> {
    const read = this.#read(slot, "tag", name, TAGS.indexOf(tag));
    try {
      const found = await repositories(slot).getManifest(name, { tag }, this.#context());
      const image = found === undefined ? 0 : images.findIndex(({ digest }) => digest === found.digest) + 1;
      if (found !== undefined) {
        this.#simulation.world.expect(
          "a manifest's bytes are those pushed",
          image > 0 && found.bytes.equals((images[image - 1] as Image).bytes),
          () => `${name}:${tag} is ${found.digest}`,
        );
      }
      read.saw([image]);
      return image;
    } catch (error) {
      this.#allow("read of a tag", told(error), [], error);
      read.failed();
      return 0;
    }
  }

  /** The same register, as search tells it. */
  async #searchTag(slot: CoreSlot, name: string, tag: string): Promise<void> {
    const read = this.#read(slot, "tag", name, TAGS.indexOf(tag));
    try {
      const view = await repositories(slot).search.view(this.#context());
      const digest = view.repository(name)?.tag(tag)?.digest;
      read.saw([digest === undefined ? 0 : images.findIndex((image) => image.digest === digest) + 1]);
    } catch (error) {
      this.#allow("search", told(error), [], error);
      read.failed();
    }
  }

  async #pull(slot: CoreSlot, name: string, tag: string): Promise<void> {
    const { world } = this.#simulation;
    const image = (await this.#readTag(slot, name, tag)) - 1;
    if (image < 0) return;
    const registry = repositories(slot);
    for (const blob of (images[image] as Image).blobs) {
      const { digest, bytes } = blobs[blob] as Blob;
      try {
        const read = await registry.readBlob(name, digest, undefined, this.#context());
        if (read === undefined) {
          // Legitimately only once somebody has taken the manifest away.
          world.expect(
            "what a manifest needs can be pulled",
            this.#deleting.has(`${name} ${image}`),
            () => `blob ${blob} of ${name}:${tag} (image ${image}) is missing`,
          );
          return;
        }
        const got = await collect(read);
        world.expect("bytes pulled are the bytes pushed", got.equals(bytes), () => `${digest} has ${got.length} bytes`);
      } catch (error) {
        this.#allow("pull of a blob", told(error), [], error);
        return;
      }
    }
  }

  async #listTags(slot: CoreSlot, name: string): Promise<void> {
    try {
      const listing = await repositories(slot).listTags(name, { last: "", limit: 100 }, this.#context());
      const names = listing?.names ?? [];
      this.#simulation.world.expect(
        "tags are listed in order, each once",
        names.every((tag, i) => i === 0 || (names[i - 1] as string) < tag),
        () => names.join(),
      );
    } catch (error) {
      this.#allow("list of tags", told(error), [], error);
    }
  }

  // Deletes.

  async #deleteTag(slot: CoreSlot, name: string, tag: string): Promise<void> {
    const context = this.#context();
    const write = this.#write(slot, "tag", name, TAGS.indexOf(tag), [{ key: 0, put: 0 }], context);
    try {
      // Not there is as good as gone: both leave nothing.
      await repositories(slot).deleteTag(name, tag, context);
      write.applied();
    } catch (error) {
      this.#allow("delete of a tag", told(error), [], error);
      write.unknown();
    }
  }

  async #deleteManifest(slot: CoreSlot, name: string, image: number): Promise<void> {
    this.#deleting.add(`${name} ${image}`);
    const context = this.#context();
    const revision = this.#write(slot, "revision", name, image, [{ key: 0, put: 0 }], context);
    const tags = TAGS.map((_, tag) =>
      this.#write(slot, "tag", name, tag, [{ key: 0, want: { content: image + 1 }, put: 0 }], context),
    );
    try {
      await repositories(slot).deleteManifest(name, (images[image] as Image).digest, context);
      revision.applied();
    } catch (error) {
      this.#allow("delete of a manifest", told(error), [], error);
      revision.unknown();
    }
    // Which tags named it then is not told.
    for (const tag of tags) tag.unknown();
  }

  async #deleteBlob(slot: CoreSlot, name: string, blob: number): Promise<void> {
    const context = this.#context();
    const write = this.#write(slot, "layer", name, blob, [{ key: 0, put: 0 }], context);
    try {
      await repositories(slot).deleteBlob(name, (blobs[blob] as Blob).digest, context);
      write.applied();
    } catch (error) {
      const reason = told(error);
      if (reason === "oci DENIED") {
        this.#simulation.world.coverage.count("rule a layer that a manifest needs is not taken away");
        write.refused();
        return;
      }
      this.#allow("delete of a blob", reason, [], error);
      write.unknown();
    }
  }

  // What they share.

  #context(): RequestContext {
    return { requestId: `q${this.#requests++}`, signal: new AbortController().signal };
  }

  #history(register: Register, name: string, index: number): History {
    const id = `${register} ${name} ${index}`;
    let history = this.#histories.get(id);
    if (history === undefined) {
      history = new History(this.#simulation.world, `every core sees the same ${register}`, 1);
      this.#histories.set(id, history);
    }
    return history;
  }

  #read(slot: CoreSlot, register: Register, name: string, index: number): ReadInHistory {
    const read = this.#history(register, name, index).beginRead([0]);
    slot.life.onDeath(() => read.failed());
    return read;
  }

  /** A rule's work is several calls, each of which may be repeated: its effect may come more than once until it ends. */
  #write(
    slot: CoreSlot,
    register: Register,
    name: string,
    index: number,
    changes: readonly Change[],
    context: RequestContext,
  ): { applied(): void; refused(): void; unknown(): void } {
    const write: WriteInHistory = this.#history(register, name, index).beginWrite(changes, Number.POSITIVE_INFINITY);
    write.repeats();
    let open = true;
    const once = (end: () => void) => {
      if (open) end();
      open = false;
    };
    const unknown = () => once(() => write.unknown(this.#last()));
    slot.life.onDeath(unknown);
    return {
      applied: () =>
        once(() =>
          write.applied(
            this.#simulation.disturbed.has(context.requestId) || this.#simulation.plan.backendFaults > 0,
            this.#last(),
          ),
        ),
      refused: () => once(() => (this.#storm() ? write.unknown(this.#last()) : write.refused())),
      unknown,
    };
  }

  #last(): number {
    const { world, stoppedUntilMs, plan } = this.#simulation;
    const stopped = plan.topology === "filesystem" ? stoppedUntilMs : 0;
    return Math.max(world.nowMs, stopped) + WRITE_MS + SLACK_MS;
  }

  #storm(): boolean {
    const { plan } = this.#simulation;
    const { cut, hole, late, repeat } = plan.weather;
    return plan.faults.length > 0 || plan.backendFaults > 0 || cut + hole + late + repeat > 0;
  }

  #allow(what: string, reason: string, allowed: readonly string[], error: unknown): void {
    const { world } = this.#simulation;
    world.coverage.count(`told ${reason}`);
    world.expect(
      "what fails, fails for a reason that the caller can act on",
      UNLUCKY.has(reason) || reason === "oci UNAVAILABLE" || allowed.includes(reason),
      () => `${what}: ${reason}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }
}

function repositories({ core }: CoreSlot) {
  if (core === undefined) throw new Error("the core is not there");
  return core.repositories;
}

async function* pieces(slot: CoreSlot, bytes: Buffer, random: Random): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + random.between(1, 48));
    if (random.chance(0.3)) await pause(slot.life.clock, random.fraction() * 10);
    yield bytes.subarray(at, end);
    at = end;
  }
}

function blobOf(bytes: Buffer): Blob {
  return { bytes, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` };
}

function imageOf(of: readonly number[], number: number): Image {
  const descriptor = (index: number, mediaType: string) => {
    const { digest, bytes } = blobs[index] as Blob;
    return { mediaType, digest, size: bytes.length };
  };
  const [config, ...layers] = of as [number, ...number[]];
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor(config, "application/vnd.oci.image.config.v1+json"),
    layers: layers.map((layer) => descriptor(layer, "application/vnd.oci.image.layer.v1.tar+gzip")),
    annotations: { number: String(number) },
  };
  return { ...blobOf(Buffer.from(JSON.stringify(manifest))), blobs: of };
}
