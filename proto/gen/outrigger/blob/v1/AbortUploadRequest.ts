// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface AbortUploadRequestInput {
  'uploadId'?: (string);
  'ifIdleMs'?: (number | string | Long);
  '_ifIdleMs'?: "ifIdleMs";
}

export interface AbortUploadRequest {
  'uploadId': (string);
  'ifIdleMs'?: (number);
  '_ifIdleMs'?: "ifIdleMs";
}
