/** A load whose every answer is known beforehand: each worker has repositories of its own, and asks any member. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { bytesContent, descriptorOf, type Manifest, manifestOf, mediaTypes } from "../helpers/oci.ts";
import type { RegistryClient, Reply } from "../helpers/registry-client.ts";

export interface LoadOptions {
  readonly workers: number;
  readonly repositoriesEach: number;
  /** 0 to 1. */
  readonly random: () => number;
  /** Whom a request may be sent to, as of now. */
  readonly clients: () => readonly RegistryClient[];
}

interface Repository {
  readonly name: string;
  /** What each tag names, as acknowledged. */
  readonly tags: Map<string, Manifest>;
  /** Acknowledged and not deleted. */
  readonly manifests: Map<string, Manifest>;
  readonly deleted: Set<string>;
  count: number;
}

const TAGS = ["latest", "stable", "edge"];
/** A member may be starting, or of another opinion, for some seconds. */
const PATIENCE_MS = 60_000;

export class Load {
  readonly repositories: Repository[] = [];
  readonly #options: LoadOptions;
  readonly #workers: Promise<void>[] = [];
  #isEnding = false;
  operations = 0;
  retries = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    for (let number = 0; number < options.workers * options.repositoriesEach; number += 1) {
      const name = `load/app-${number}`;
      this.repositories.push({ name, tags: new Map(), manifests: new Map(), deleted: new Set(), count: 0 });
    }
  }

  /** Something in every repository. */
  async fill(): Promise<void> {
    for (const repository of this.repositories) for (const tag of ["latest", "old"]) await this.#push(repository, tag);
  }

  start(): void {
    const { workers, repositoriesEach } = this.#options;
    for (let worker = 0; worker < workers; worker += 1) {
      const own = this.repositories.slice(worker * repositoriesEach, (worker + 1) * repositoriesEach);
      this.#workers.push(this.#work(own));
    }
    for (const worker of this.#workers) worker.catch(() => {});
  }

  /** Rejects as soon as an answer was wrong. */
  get failed(): Promise<never> {
    return Promise.race(this.#workers.map((worker) => worker.then(() => new Promise<never>(() => {}))));
  }

  async stop(): Promise<void> {
    this.#isEnding = true;
    await Promise.all(this.#workers);
  }

  /** Everything, asked of this member. */
  async check(client: RegistryClient): Promise<void> {
    assert.deepEqual(await client.catalog(), this.#names());
    for (const repository of this.repositories) await this.#checkAll(repository, client);
  }

  async #work(own: readonly Repository[]): Promise<void> {
    while (!this.#isEnding) {
      const repository = this.#pick(own);
      const turn = this.#options.random();
      if (turn < 0.35) await this.#push(repository, this.#pick(TAGS));
      else if (turn < 0.45) await this.#deleteTag(repository);
      else if (turn < 0.55) await this.#deleteManifest(repository);
      else if (turn < 0.65) await this.#checkCatalog();
      else await this.#checkSome(repository);
      this.operations += 1;
    }
  }

  /** Whole at any moment: also a repository whose manifests are all deleted still has layers. */
  async #checkCatalog(): Promise<void> {
    const reply = await this.#until([200], "GET", "/v2/_catalog?n=1000");
    const { repositories } = JSON.parse(reply.body.toString()) as { repositories: string[] };
    assert.deepEqual(repositories, this.#names());
  }

  #names(): string[] {
    return this.repositories.map(({ name }) => name).sort();
  }

  async #push(repository: Repository, tag: string): Promise<void> {
    repository.count += 1;
    const layer = bytesContent(Buffer.from(`layer ${repository.name} ${repository.count}`));
    const config = bytesContent(Buffer.from(`{"n":${repository.count}}`));
    const manifest = manifestOf({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: descriptorOf(config, mediaTypes.ociConfig),
      layers: [descriptorOf(layer, mediaTypes.ociLayer)],
    });
    for (const blob of [layer, config]) {
      const digest = blob.digest;
      const path = `/v2/${repository.name}/blobs/uploads/?digest=${digest}`;
      await this.#until([201], "POST", path, { body: Buffer.concat([...blob.read()]) });
    }
    await this.#until([201], "PUT", `/v2/${repository.name}/manifests/${tag}`, {
      headers: { "content-type": manifest.mediaType },
      body: manifest.bytes,
    });
    repository.tags.set(tag, manifest);
    repository.manifests.set(manifest.digest, manifest);
    repository.deleted.delete(manifest.digest);
  }

  async #deleteTag(repository: Repository): Promise<void> {
    const tag = this.#pick([...repository.tags.keys()]);
    if (tag === undefined) return;
    await this.#until([202, 404], "DELETE", `/v2/${repository.name}/manifests/${tag}`);
    repository.tags.delete(tag);
    await this.#absent(repository, tag);
  }

  async #deleteManifest(repository: Repository): Promise<void> {
    const digest = this.#pick([...repository.manifests.keys()]);
    if (digest === undefined) return;
    await this.#until([202, 404], "DELETE", `/v2/${repository.name}/manifests/${digest}`);
    repository.manifests.delete(digest);
    repository.deleted.add(digest);
    for (const [tag, manifest] of repository.tags) if (manifest.digest === digest) repository.tags.delete(tag);
    await this.#absent(repository, digest);
  }

  async #checkSome(repository: Repository): Promise<void> {
    const tag = this.#pick(TAGS);
    const wanted = repository.tags.get(tag);
    if (wanted) await this.#present(repository, tag, wanted);
    else await this.#absent(repository, tag);
    const [digest] = repository.deleted;
    if (digest !== undefined) await this.#absent(repository, digest);
    const names = await this.#until([200, 404], "GET", `/v2/${repository.name}/tags/list`);
    const listed = names.status === 404 ? [] : (JSON.parse(names.body.toString()) as { tags: string[] }).tags;
    assert.deepEqual(listed, [...repository.tags.keys()].sort(), `tags of ${repository.name}`);
  }

  async #checkAll(repository: Repository, client: RegistryClient): Promise<void> {
    const { name, tags, manifests, deleted } = repository;
    const found = await client.request("GET", `/v2/${name}/tags/list`);
    const listed = found.status === 404 ? [] : (JSON.parse(found.body.toString()) as { tags: string[] }).tags;
    assert.deepEqual(listed, [...tags.keys()].sort(), name);
    for (const [tag, { digest }] of tags) assert.equal((await client.getManifest(name, tag)).digest, digest);
    for (const [digest, manifest] of manifests) {
      assert.deepEqual((await client.getManifest(name, digest)).bytes, manifest.bytes);
      const { config, layers } = JSON.parse(manifest.bytes.toString()) as {
        config: { digest: string };
        layers: { digest: string }[];
      };
      for (const blob of [config, ...layers]) await client.expect(200, "GET", `/v2/${name}/blobs/${blob.digest}`);
    }
    for (const digest of deleted) await client.expect(404, "GET", `/v2/${name}/manifests/${digest}`);
  }

  async #present(repository: Repository, reference: string, wanted: Manifest): Promise<void> {
    const reply = await this.#until([200, 404], "GET", `/v2/${repository.name}/manifests/${reference}`);
    const said = `${repository.name}:${reference}`;
    assert.equal(reply.status, 200, `${said} is lost`);
    assert.equal(reply.headers["docker-content-digest"], wanted.digest, `${said} stepped back`);
  }

  async #absent(repository: Repository, reference: string): Promise<void> {
    const reply = await this.#until([200, 404], "GET", `/v2/${repository.name}/manifests/${reference}`);
    assert.equal(reply.status, 404, `${repository.name}:${reference} came back`);
  }

  /** Asks members until one answers; what it answers then counts. */
  async #until(
    statuses: readonly number[],
    method: string,
    path: string,
    options: { readonly headers?: Record<string, string>; readonly body?: Buffer } = {},
  ): Promise<Reply> {
    const untilMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const client = this.#pick(this.#options.clients());
      let said: string;
      try {
        const reply = await client.request(method, path, options);
        if (statuses.includes(reply.status)) return reply;
        said = `${reply.status} ${reply.body}`;
        assert.ok(reply.status >= 500, `${method} ${path} at ${client.base}: ${said}`);
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        said = String(error);
      }
      this.retries += 1;
      if (performance.now() > untilMs) throw new Error(`${method} ${path}: ${said}, for a minute`);
      await sleep(50);
    }
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#options.random() * items.length)] as Item;
  }
}
