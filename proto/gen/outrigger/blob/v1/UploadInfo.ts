// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface UploadInfoInput {
  'uploadId'?: (string);
  'persisted'?: (number | string | Long);
  'idleMs'?: (number | string | Long);
}

export interface UploadInfo {
  'uploadId': (string);
  'persisted': (number);
  'idleMs': (number);
}
