// Original file: proto/outrigger/blob/v1/blob.proto

import type { BlobInfoInput as _outrigger_blob_v1_BlobInfoInput, BlobInfo as _outrigger_blob_v1_BlobInfo } from '../../../outrigger/blob/v1/BlobInfo.ts';

export interface ListResponseInput {
  'items'?: (_outrigger_blob_v1_BlobInfoInput)[];
  'more'?: (boolean);
}

export interface ListResponse {
  'items': (_outrigger_blob_v1_BlobInfo)[];
  'more': (boolean);
}
