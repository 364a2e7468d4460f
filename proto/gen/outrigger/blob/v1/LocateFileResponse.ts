// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface LocateFileResponseInput {
  'path'?: (string);
  'size'?: (number | string | Long);
  'etag'?: (string);
}

export interface LocateFileResponse {
  'path': (string);
  'size': (number);
  'etag': (string);
}
