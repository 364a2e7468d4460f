// Original file: proto/outrigger/blob/v1/blob.proto

import type { BlobInfoInput as _outrigger_blob_v1_BlobInfoInput, BlobInfo as _outrigger_blob_v1_BlobInfo } from '../../../outrigger/blob/v1/BlobInfo.ts';
import type { Long } from '@grpc/proto-loader';

export interface ReadStartInput {
  'info'?: (_outrigger_blob_v1_BlobInfoInput | null);
  'start'?: (number | string | Long);
  'length'?: (number | string | Long);
}

export interface ReadStart {
  'info': (_outrigger_blob_v1_BlobInfo | null);
  'start': (number);
  'length': (number);
}
