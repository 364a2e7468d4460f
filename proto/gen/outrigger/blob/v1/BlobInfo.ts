// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface BlobInfoInput {
  'key'?: (string);
  'size'?: (number | string | Long);
  'etag'?: (string);
  'modifiedMs'?: (number | string | Long);
  'digests'?: (string)[];
}

export interface BlobInfo {
  'key': (string);
  'size': (number);
  'etag': (string);
  'modifiedMs': (number);
  'digests': (string)[];
}
