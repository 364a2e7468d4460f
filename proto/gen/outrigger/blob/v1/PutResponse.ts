// Original file: proto/outrigger/blob/v1/blob.proto

import type { BlobInfoInput as _outrigger_blob_v1_BlobInfoInput, BlobInfo as _outrigger_blob_v1_BlobInfo } from '../../../outrigger/blob/v1/BlobInfo.ts';

export interface PutResponseInput {
  'info'?: (_outrigger_blob_v1_BlobInfoInput | null);
}

export interface PutResponse {
  'info': (_outrigger_blob_v1_BlobInfo | null);
}
