/** Who the driver is to Cloud Storage: the SDK finds the credentials, renews tokens, and signs URLs. */
import { Storage } from "@google-cloud/storage";
import { aborted } from "./aborted.ts";
import { credentialsFailure, type Place } from "./failures.ts";

/** Least and most of V4 signed URLs. */
const MOST_TTL_MS = 7 * 24 * 60 * 60 * 1000;

export interface SignedUrl {
  readonly url: string;
  readonly expiresMs: number;
}

export class Credentials {
  readonly #storage: Storage;
  readonly #place: Place;

  constructor(place: Place) {
    this.#place = place;
    this.#storage = new Storage({
      apiEndpoint: place.endpoint,
      ...(place.keyFile === undefined ? {} : { keyFilename: place.keyFile }),
      retryOptions: { autoRetry: false },
    });
  }

  /** Authorization, and whose quota counts. @throws BACKEND_DOWN in a sentence */
  async headers(signal: AbortSignal): Promise<Record<string, string>> {
    if (this.#place.anonymous) return {};
    try {
      return await aborted(signal, this.#storage.authClient.getRequestHeaders(`${this.#place.endpoint}/`));
    } catch (error) {
      signal.throwIfAborted();
      throw credentialsFailure(error, this.#place);
    }
  }

  /**
   * Whether these credentials sign: with their own key, or through the IAM API, which is asked for one signature.
   * @returns why not, in a sentence
   */
  async whyNotSigning(signal: AbortSignal): Promise<string | undefined> {
    if (this.#place.anonymous) return "nobody signs for --anonymous";
    try {
      await aborted(signal, this.sign("signing/test", 60_000, Date.now()));
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return `the credentials cannot sign URLs: ${(error as Error).message.split("\n")[0]}`;
    }
  }

  /** @param object its whole name in the bucket */
  async sign(object: string, ttlMs: number, nowMs: number): Promise<SignedUrl> {
    // Whole seconds, and not beyond seven days.
    const expiresMs = Math.floor((nowMs + Math.min(ttlMs, MOST_TTL_MS - 1000)) / 1000) * 1000;
    const { userProject } = this.#place;
    const [url] = await this.#storage
      .bucket(this.#place.bucket)
      .file(object)
      .getSignedUrl({
        version: "v4",
        action: "read",
        expires: expiresMs,
        ...(userProject === undefined ? {} : { queryParams: { userProject } }),
      });
    return { url, expiresMs };
  }
}
