// Original file: proto/outrigger/blob/v1/blob.proto

import type { BlobInfoInput as _outrigger_blob_v1_BlobInfoInput, BlobInfo as _outrigger_blob_v1_BlobInfo } from '../../../outrigger/blob/v1/BlobInfo.ts';

export interface StatResultInput {
  'key'?: (string);
  'info'?: (_outrigger_blob_v1_BlobInfoInput | null);
  '_info'?: "info";
}

export interface StatResult {
  'key': (string);
  'info'?: (_outrigger_blob_v1_BlobInfo | null);
  '_info'?: "info";
}
