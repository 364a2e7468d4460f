/** A member of the cluster that is none, with content: what it is asked, and what it keeps waiting. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { mediaTypes } from "../../../registry/repository/manifest.ts";
import { Gates } from "../../helpers/gates.ts";
import { digestOf, imageOf } from "../repository/world.ts";
import { say } from "./fake-member.ts";

type Kind = "blobs" | "manifests";

export class Has {
  readonly id: string;
  readonly content = new Map<string, { readonly kind: Kind; readonly bytes: Buffer; readonly type: string }>();
  /** "GET <digest>" */
  readonly asked: string[] = [];
  /** Likewise, those for which another member asks for itself, not for a client. */
  readonly askedForItself: string[] = [];
  /** As what it was asked. */
  readonly roles = new Map<string, Set<unknown>>();
  /** Those that wait for it, of `askedForItself` alone. */
  readonly gates = new Gates();
  /** Its storage cannot be reached. */
  isLost = false;

  constructor(id: string) {
    this.id = id;
  }

  blob(text: string, digest = digestOf(text)): string {
    this.content.set(digest, { kind: "blobs", bytes: Buffer.from(text), type: "application/octet-stream" });
    return digest;
  }

  manifest(bytes: Buffer, type: string = mediaTypes.ociManifest, digest = digestOf(bytes)): string {
    this.content.set(digest, { kind: "manifests", bytes, type });
    return digest;
  }

  image(layers: readonly string[]): string {
    for (const text of ["{}", ...layers]) this.blob(text);
    return this.manifest(imageOf({ layers }));
  }

  count(what: string): number {
    return this.asked.filter((one) => one === what).length;
  }

  readonly answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [kind, digest = ""] = (request.url ?? "").split("/").slice(-2);
    const what = `${request.method} ${digest}`;
    this.asked.push(what);
    this.roles.set(what, (this.roles.get(what) ?? new Set()).add(request.headers["outrigger-role"]));
    if (request.headers["x-request-id"] === undefined) {
      this.askedForItself.push(what);
      await this.gates.passed(what);
    }
    const found = this.content.get(digest);
    if (this.isLost || found === undefined || found.kind !== kind)
      return say(this.id, this.isLost ? 503 : 404, { errors: [] })(request, response);
    const { bytes, type } = found;
    response.writeHead(200, {
      "Outrigger-Member": this.id,
      "Content-Type": type,
      "Content-Length": bytes.length,
      "Docker-Content-Digest": digest,
    });
    response.end(request.method === "HEAD" ? "" : bytes);
  };
}
