/** Uploads of a blob store over an object store. */
import type { BlobDriver, CallContext, Page, Upload, UploadFacts } from "../contract.ts";
import type { ObjectStore } from "./contract.ts";
import type { ObjectBlobSettings } from "./driver.ts";

export class ObjectUploads {
  constructor(_store: ObjectStore, _settings: ObjectBlobSettings & { readonly persistStepBytes: number }) {}

  async open(_uploadId: string, _options: Parameters<BlobDriver["open"]>[1], _call: CallContext): Promise<Upload> {
    throw new Error("uploads are not there yet");
  }

  async abort(_uploadId: string, _call: CallContext): Promise<void> {}

  async list(_request: Parameters<BlobDriver["listUploads"]>[0], _call: CallContext): Promise<Page<UploadFacts>> {
    return { items: [], more: false };
  }

  sweepNowAndThen(): () => void {
    return () => {};
  }

  async close(): Promise<void> {}
}
