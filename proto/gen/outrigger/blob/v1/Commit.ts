// Original file: proto/outrigger/blob/v1/blob.proto

import type { Long } from '@grpc/proto-loader';

export interface CommitInput {
  'key'?: (string);
  'size'?: (number | string | Long);
  'digest'?: (string);
  'ifAbsent'?: (boolean);
  'notAfterMs'?: (number | string | Long);
  '_size'?: "size";
}

export interface Commit {
  'key': (string);
  'size'?: (number);
  'digest': (string);
  'ifAbsent': (boolean);
  'notAfterMs': (number);
  '_size'?: "size";
}
