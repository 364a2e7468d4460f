/**
 * Pushes, pulls, tags moved and deleted by seeded workers, each request at any of the cores, compared with a model. Each
 * worker has a repository of its own, so what it was told last is what must be there, whichever core it asks next.
 */
import { type Content, digestOf, type Image, image } from "../helpers/oci.ts";
import { type Random, randomOf } from "../helpers/random.ts";
import { locationOf, type RegistryClient, UnexpectedStatus, withDigest } from "../helpers/registry-client.ts";

/** More than `sealedWaitSeconds` of the guide. */
const PATIENCE_MS = 180_000;
const TAGS = ["a", "b", "c", "d", "latest"] as const;

export interface Repository {
  readonly name: string;
  /** Every manifest that is there, by digest. */
  readonly images: Map<string, Image>;
  /** Manifests that were deleted. */
  readonly gone: Set<string>;
  readonly tags: Map<string, string>;
}

export class MoveLoad {
  readonly repositories: Repository[];
  readonly #clients: readonly RegistryClient[];
  readonly #randoms: readonly Random[];
  readonly #seed: number;
  #made = 0;
  readonly counts = { pushes: 0, pulls: 0, tags: 0, tagDeletes: 0, deletes: 0 };

  constructor(clients: readonly RegistryClient[], workers: number, seed: number) {
    this.#clients = clients;
    this.#seed = seed;
    this.repositories = Array.from({ length: workers }, (_, worker) => ({
      name: `moved/worker-${worker}`,
      images: new Map(),
      gone: new Set(),
      tags: new Map(),
    }));
    this.#randoms = this.repositories.map((_, worker) => randomOf(seed + worker));
  }

  /** One thing, checked against the model. */
  async act(worker: number): Promise<void> {
    const [repository, random] = [this.repositories[worker], this.#randoms[worker]];
    if (repository === undefined || random === undefined) throw new RangeError(`no worker ${worker}`);
    const dice = random.next();
    if (repository.images.size === 0 || dice < 0.3) await this.#push(repository, random);
    else if (dice < 0.6) await this.#pull(repository, random);
    else if (dice < 0.75) await this.#tag(repository, random);
    else if (dice < 0.85) await this.#deleteTag(repository, random);
    else if (dice < 0.9) await this.#deleteImage(repository, random);
    else await this.#look(repository, random);
  }

  #client(random: Random): RegistryClient {
    return random.pick(this.#clients);
  }

  async #push(repository: Repository, random: Random): Promise<void> {
    const sizes = Array.from({ length: random.between(1, 2) }, () => random.between(1, 400_000));
    const pushed = image({ seed: `${this.#seed}/${this.#made++}`, layerBytes: sizes });
    for (const blob of pushed.blobs) await this.#pushBlob(repository.name, blob, random);
    const tag = random.pick(TAGS);
    await this.#put(repository, tag, pushed, random);
    repository.images.set(pushed.manifest.digest, pushed);
    repository.tags.set(tag, pushed.manifest.digest);
    this.counts.pushes += 1;
  }

  /** By one to three requests, each at another core. */
  async #pushBlob(name: string, blob: Content, random: Random): Promise<void> {
    const options = { timeoutMs: PATIENCE_MS };
    let location = locationOf(await this.#client(random).expect(202, "POST", `/v2/${name}/blobs/uploads/`, options));
    let sent = 0;
    for (let chunks = random.between(0, 2); chunks > 0; chunks -= 1) {
      const end = random.between(sent, blob.sizeBytes);
      if (end === sent) continue;
      const body = Buffer.concat([...blob.read(sent, end)]);
      location = locationOf(await this.#client(random).expect(202, "PATCH", location, { ...options, body }));
      sent = end;
    }
    const body = Buffer.concat([...blob.read(sent)]);
    await this.#client(random).expect(201, "PUT", withDigest(location, blob.digest), { ...options, body });
  }

  async #put(repository: Repository, reference: string, { manifest }: Image, random: Random): Promise<void> {
    await this.#client(random).expect(201, "PUT", `/v2/${repository.name}/manifests/${reference}`, {
      timeoutMs: PATIENCE_MS,
      headers: { "content-type": manifest.mediaType },
      body: manifest.bytes,
    });
  }

  async #pull(repository: Repository, random: Random): Promise<void> {
    const [digest, wanted] = random.pick([...repository.images]);
    const tags = [...repository.tags].filter(([, named]) => named === digest).map(([tag]) => tag);
    const reference = tags.length > 0 ? random.pick(tags) : digest;
    const manifest = await this.#client(random).getManifest(repository.name, reference);
    if (manifest.digest !== digest)
      throw new Error(`${repository.name}:${reference} is ${manifest.digest}, not ${digest}`);
    for (const blob of wanted.blobs) await this.#client(random).pullBlob(repository.name, blob);
    this.counts.pulls += 1;
  }

  async #tag(repository: Repository, random: Random): Promise<void> {
    const [digest, known] = random.pick([...repository.images]);
    const tag = random.pick(TAGS);
    await this.#put(repository, tag, known, random);
    repository.tags.set(tag, digest);
    await this.#tagIs(repository, tag, random);
    this.counts.tags += 1;
  }

  async #deleteTag(repository: Repository, random: Random): Promise<void> {
    const tag = random.pick(TAGS);
    const status = repository.tags.has(tag) ? 202 : 404;
    const path = `/v2/${repository.name}/manifests/${tag}`;
    await this.#client(random).expect(status, "DELETE", path, { timeoutMs: PATIENCE_MS });
    repository.tags.delete(tag);
    await this.#tagIs(repository, tag, random);
    this.counts.tagDeletes += 1;
  }

  async #deleteImage(repository: Repository, random: Random): Promise<void> {
    const [digest] = random.pick([...repository.images]);
    const path = `/v2/${repository.name}/manifests/${digest}`;
    await this.#client(random).expect(202, "DELETE", path, { timeoutMs: PATIENCE_MS });
    repository.images.delete(digest);
    repository.gone.add(digest);
    for (const [tag, named] of repository.tags) if (named === digest) repository.tags.delete(tag);
    await this.#client(random).expect(404, "GET", path);
    this.counts.deletes += 1;
  }

  /** Tags as they are, at any core; what was deleted is still gone. */
  async #look(repository: Repository, random: Random): Promise<void> {
    await this.#tagIs(repository, random.pick(TAGS), random);
    const client = this.#client(random);
    const listed = await client.expect([200, 404], "GET", `/v2/${repository.name}/tags/list`);
    const tags: string[] = listed.status === 404 ? [] : (JSON.parse(listed.body.toString()).tags ?? []);
    if (tags.join() !== [...repository.tags.keys()].sort().join())
      throw new Error(`${repository.name} lists ${tags}, not ${[...repository.tags.keys()].sort()}`);
    if (repository.gone.size === 0) return;
    const digest = random.pick([...repository.gone]);
    await this.#client(random).expect(404, "GET", `/v2/${repository.name}/manifests/${digest}`);
  }

  async #tagIs(repository: Repository, tag: string, random: Random): Promise<void> {
    const path = `/v2/${repository.name}/manifests/${tag}`;
    const client = this.#client(random);
    const reply = await client.request("GET", path, { headers: { accept: "*/*" } });
    const wanted = repository.tags.get(tag);
    if (reply.status !== (wanted === undefined ? 404 : 200))
      throw new UnexpectedStatus(`GET ${client.base}${path}`, reply);
    if (wanted !== undefined && digestOf(reply.body) !== wanted)
      throw new Error(`GET ${client.base}${path}: ${digestOf(reply.body)}, not ${wanted}`);
  }

  /** All of the model, at each of them. */
  async checkAll(clients: readonly RegistryClient[] = this.#clients): Promise<void> {
    for (const client of clients) {
      const names = this.repositories.filter(({ images }) => images.size > 0).map(({ name }) => name);
      const catalog = await client.catalog();
      const missing = names.filter((name) => !catalog.includes(name));
      if (missing.length > 0) throw new Error(`${client.base} does not list ${missing}`);
      for (const repository of this.repositories) {
        for (const [digest, wanted] of repository.images) await client.pullImage(repository.name, digest, wanted);
        for (const digest of repository.gone)
          await client.expect(404, "GET", `/v2/${repository.name}/manifests/${digest}`);
        for (const tag of TAGS) {
          const wanted = repository.tags.get(tag);
          const path = `/v2/${repository.name}/manifests/${tag}`;
          const reply = await client.expect(wanted === undefined ? 404 : 200, "GET", path, {
            headers: { accept: "*/*" },
          });
          if (wanted !== undefined && digestOf(reply.body) !== wanted)
            throw new Error(`${path} is ${digestOf(reply.body)}, not ${wanted}`);
        }
      }
    }
  }
}
