// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface SignUrlRequestInput {
  'key'?: (string);
  'ttlMs'?: (number | string | Long);
}

export interface SignUrlRequest {
  'key': (string);
  'ttlMs': (number);
}
