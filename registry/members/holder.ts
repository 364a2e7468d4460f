/** A member that may hold what another lacks: asked for it, and believed as far as its answer can be checked. */
import type { BlobRead } from "../../client/contract.ts";
import type { Clock } from "../../proto/clock.ts";
import type { ManifestFound } from "../repository/contract.ts";
import { untilAgreed } from "./agree.ts";
import { MAX_WHOLE_BYTES, type OpenAnswer, type WholeAnswer } from "./answers.ts";
import type { MemberClient } from "./client.ts";
import { MemberWrong } from "./errors.ts";
import { blobPath, manifestPath } from "./paths.ts";
import type { Role } from "./peers.ts";
import { assertManifest, verified } from "./verify.ts";

/** Its methods throw MemberDisagrees, MemberDown, MemberWrong; `undefined`: it has not. */
export class Holder {
  readonly member: string;
  readonly #role: Role;
  readonly #client: MemberClient;
  readonly #clock: Clock;

  constructor(member: string, role: Role, client: MemberClient, clock: Clock) {
    this.member = member;
    this.#role = role;
    this.#client = client;
    this.#clock = clock;
  }

  async manifest(name: string, reference: string, signal: AbortSignal): Promise<ManifestFound | undefined> {
    const answer = await this.ask("GET", manifestPath(name, reference), signal);
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw this.wrong(answer, `for the manifest ${reference} of ${name}`);
    const digest = String(answer.headers["docker-content-digest"] ?? "");
    assertManifest(this.member, reference, digest, answer.body);
    const mediaType = answer.headers["content-type"] ?? "";
    return { digest, mediaType, bytes: answer.body, sizeBytes: answer.body.length };
  }

  async blobSize(name: string, digest: string, signal: AbortSignal): Promise<number | undefined> {
    const answer = await this.ask("HEAD", blobPath(name, digest), signal);
    return answer.status === 404 ? undefined : this.#length(answer, `for the blob ${digest} of ${name}`);
  }

  /** @param range within the blob */
  async blob(
    name: string,
    digest: string,
    range: { readonly offsetBytes: number; readonly limitBytes?: number } | undefined,
    signal: AbortSignal,
  ): Promise<BlobRead | undefined> {
    const end = range?.limitBytes === undefined ? "" : range.offsetBytes + range.limitBytes - 1;
    const headers = range === undefined ? {} : { range: `bytes=${range.offsetBytes}-${end}` };
    const request = { method: "GET", path: blobPath(name, digest), role: this.#role, headers, signal } as const;
    const answer = await untilAgreed(this.#clock, signal, () => this.#client.open(this.member, request));
    try {
      if (answer.status === 404) {
        answer.discard();
        return undefined;
      }
      const lengthBytes = this.#length(answer, `for the blob ${digest} of ${name}`);
      if (answer.status !== (range === undefined ? 200 : 206)) throw this.wrong(answer, "for a part of a blob");
      return {
        info: { key: digest, sizeBytes: lengthBytes, etag: "", modifiedMs: 0, digests: [] },
        startBytes: range?.offsetBytes ?? 0,
        lengthBytes,
        body: range === undefined ? verified(this.member, digest, answer.body) : answer.body,
        cancel: async () => answer.discard(),
      };
    } catch (error) {
      answer.discard();
      throw error;
    }
  }

  protected ask(method: string, path: string, signal: AbortSignal, deadlineMs?: number): Promise<WholeAnswer> {
    const deadline = deadlineMs === undefined ? {} : { deadlineMs };
    const request = { method, path, role: this.#role, signal, maxBytes: MAX_WHOLE_BYTES, ...deadline } as const;
    return untilAgreed(this.#clock, signal, () => this.#client.ask(this.member, request));
  }

  #length(answer: OpenAnswer | WholeAnswer, asked: string): number {
    const length = Number(answer.headers["content-length"]);
    if (answer.status >= 300 || !Number.isSafeInteger(length)) throw this.wrong(answer, asked);
    return length;
  }

  protected wrong({ status }: { readonly status: number }, asked: string): MemberWrong {
    return new MemberWrong(this.member, `answers ${status} when asked ${asked}`);
  }
}
