// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface SignUrlResponseInput {
  'url'?: (string);
  'expiresMs'?: (number | string | Long);
}

export interface SignUrlResponse {
  'url': (string);
  'expiresMs': (number);
}
